"""Models that predict rows as columns."""

from typing import ClassVar

from fixture_models.plain import PlainModel


class ColumnModel(PlainModel):
    """Doubles x, and tells how many rows came together, and as what; a negative x spoils all."""

    qualified_name = "columnar"
    input_schema: ClassVar = {
        "type": "object",
        "properties": {"x": {"type": "number"}, "n": {"type": "integer"}},
        "required": ["x", "n"],
        "additionalProperties": False,
    }

    def predict(self, data):
        return self.predict_batch([data])[0]

    def predict_batch(self, rows):
        if min(row["x"] for row in rows) < 0:
            message = "x is negative"
            raise ValueError(message)
        return [{"y": 2 * row["x"], "rows": len(rows), "as": "rows"} for row in rows]

    def predict_columns(self, columns):
        x = columns["x"]
        if x.min() < 0:
            message = "some x is negative"
            raise ValueError(message)
        return [{"y": y, "rows": len(x), "as": "columns"} for y in (2 * x).tolist()]


class ScriptedColumnModel(ColumnModel):
    """Its `predict_columns` returns (or raises) what a test has put into `answer`."""

    qualified_name = "scripted_columns"
    answer = None

    def predict_columns(self, columns):
        if isinstance(self.answer, BaseException):
            raise self.answer
        self.columns = columns
        return self.answer


class BrokenColumnModel(ColumnModel):
    """Its `predict_columns` can not work with any columns."""

    qualified_name = "broken_columns"

    def predict_columns(self, columns):
        return columns + 1


class UnusedColumnModel(ColumnModel):
    """Its rows are numbers, but not any number will do."""

    qualified_name = "unused_columns"
    input_schema: ClassVar = {
        "type": "object",
        "properties": {"x": {"type": "number", "minimum": 0}},
        "required": ["x"],
        "additionalProperties": False,
    }


class ColumnsAreNoMethod(ColumnModel):
    predict_columns = 1
