"""What becomes of the rows of one job: their predictions as MessagePack, and the errors of some.

Predictions are encoded while the next ones are made, so that never more than some are there as
objects. Refuses to know how they are made. No I/O, no clock.
"""

from __future__ import annotations

from typing import Final

import msgspec

from zeropool.shared.errors import CallerError, CapacityError, ZeropoolError
from zeropool.shared.jobs import Job, Kind, Outcome, Result, RowError
from zeropool.shared.wire.records import NIL
from zeropool.workers.answer_columns import PackedAnswers
from zeropool.workers.failures import describe
from zeropool.workers.output import encode_prediction
from zeropool.workers.plain import encode_plain

#: Predictions that wait to be encoded together. Some thousand maps are more memory than malloc
#: keeps: with 8,192 of them a row cost twice as much, in pages that came and went.
MAX_WAITING: Final = 1_024

#: Errors of which the model knows nothing.
NOT_THE_MODELS_FAULT: Final = (CallerError, CapacityError)

_PREDICTION_ITEM: Final = b"\x82\xa5index%b\xaaprediction%b"
# Bound once: looking a member up on its enum costs 0.15 µs on Python 3.11, as much as a call.
_ROWS: Final = Kind.ROWS
_OK: Final = Outcome.OK


class RowAnswers:
    """The answers to the rows of a job, which come in order."""

    def __init__(self, job: Job) -> None:
        #: The first error that is the model's fault.
        self.failure: Exception | None = None
        self._job = job
        self._is_batch = job.kind is _ROWS
        #: Predictions, and exceptions in the places of others, that are not encoded yet.
        self._waiting: list[object] = []
        #: Of a batch, encoded predictions of some rows each; of a stream, of one row.
        self._bodies: list[bytes] = []
        self._errors: list[RowError] = []
        self._encoded_rows = 0

    def __repr__(self) -> str:
        return f"<RowAnswers rows={self._encoded_rows} errors={len(self._errors)}>"

    def add(self, outputs: list[object]) -> None:
        """Take the predictions of the next rows; an exception among them is that row's error."""
        self._waiting += outputs
        if len(self._waiting) >= MAX_WAITING:
            self._encode_waiting()

    def add_packed(self, answers: PackedAnswers) -> None:
        """The same where they are encoded already."""
        self._encode_waiting()
        if self._is_batch:
            self._bodies.append(answers.joined())
        else:
            self._bodies += answers.each()
        self._encoded_rows += len(answers)

    def result(self) -> Result:
        """What the gateway is told: all rows have been added."""
        self._encode_waiting()
        job = self._job
        if self._is_batch:
            body = self._bodies[0] if len(self._bodies) == 1 else b"".join(self._bodies)
            return Result(job.job_id, job.attempt, _OK, body, (), tuple(self._errors))
        return Result(job.job_id, job.attempt, _OK, b"", tuple(self._items()))

    def _encode_waiting(self) -> None:
        if not self._waiting:
            return
        outputs, self._waiting = self._waiting, []
        packed = encode_plain(outputs) if self._is_batch else None
        if packed is not None:
            self._bodies.append(packed)
        else:
            for offset, output in enumerate(outputs, self._encoded_rows):
                self._bodies.append(self._encoded(offset, output))
        self._encoded_rows += len(outputs)

    def _encoded(self, offset: int, output: object) -> bytes:
        error = output if isinstance(output, Exception) else None
        if error is None:
            try:
                return encode_prediction(output)
            except ZeropoolError as unusable:
                error = unusable
        if self.failure is None and not isinstance(error, NOT_THE_MODELS_FAULT):
            self.failure = error
        name, message, _ = describe(error, self._job.model)
        self._errors.append(RowError(offset, name, message))
        return NIL

    def _items(self) -> list[bytes]:
        pack = msgspec.msgpack.encode
        first_index = self._job.first_index
        items = [
            _PREDICTION_ITEM % (pack(index), body)
            for index, body in enumerate(self._bodies, first_index)
        ]
        for error in self._errors:
            items[error.offset] = pack(
                {
                    "index": first_index + error.offset,
                    "error": {"name": error.name, "message": error.message},
                }
            )
        return items
