"""Models that predict many rows at once."""

import time

from fixture_models.plain import PlainModel


class BatchModel(PlainModel):
    """Tells each row the size of the batch that it was part of. A negative row spoils its batch."""

    qualified_name = "batch_size"
    input_schema = {"type": "number"}  # noqa: RUF012

    def __init__(self):
        self.is_warm = False
        self.is_closed = False

    def warmup(self):
        self.is_warm = True

    def close(self):
        self.is_closed = True

    def predict(self, data):
        return self.predict_batch([data])[0]

    def predict_batch(self, rows):
        if min(rows) < 0:
            message = f"no root of {min(rows)}"
            raise ValueError(message)
        return [{"root": row**0.5, "batch_size": len(rows)} for row in rows]


class ScriptedBatchModel(PlainModel):
    """Its `predict_batch` returns (or raises) what a test has put into `answer`."""

    qualified_name = "scripted_batch"
    answer = None

    def predict(self, data):
        return {"alone": data}

    def predict_batch(self, rows):
        if isinstance(self.answer, BaseException):
            raise self.answer
        self.batch = rows
        return self.answer


class SlowBatchModel(PlainModel):
    """Takes as long for a whole batch as for one row, as a neural network may."""

    qualified_name = "slow_batch"

    def predict(self, data):
        return self.predict_batch([data])[0]

    def predict_batch(self, rows):
        time.sleep(0.05)
        return [{"row": row, "batch_size": len(rows)} for row in rows]
