"""Runs one batch through its model and encodes every result. No socket, no clock.

A CALL becomes the finished reply event, so that the gateway passes it on unread. One bad row, or
one output that no client could decode, is that caller's error and nobody else's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import msgspec

from zeropool.shared.errors import CallerError, CapacityError, DeadlineExceeded, ZeropoolError
from zeropool.shared.jobs import Job, Kind, Outcome, Result, RowError
from zeropool.shared.wire import event as wire
from zeropool.shared.wire.event import MessageIds
from zeropool.shared.wire.records import NIL, RemoteFailure
from zeropool.workers.batcher import Batch
from zeropool.workers.columns import Columns
from zeropool.workers.failures import describe
from zeropool.workers.loaded_model import LoadedModel, has_errors
from zeropool.workers.output import encode_prediction
from zeropool.workers.plain import encode_each, encode_plain

#: Most rows of one `predict_columns`, unless `max_batch_size` is more. A row of an array costs so
#: little that 64 are not worth the call: iris takes 0.42 µs a row with 64 of them, 0.19 with 1,024.
COLUMN_ROWS: Final = 1_024

_PREDICTION_ITEM: Final = b"\x82\xa5index%b\xaaprediction%b"
# Bound once: looking a member up on its enum costs 0.15 µs on Python 3.11, as much as a call.
_CALL: Final = Kind.CALL
_ROWS: Final = Kind.ROWS
#: As the number that it is in a message: to ask a member of an enum for it costs an encoder more
#: than the rest of a result does.
_OK: Final = cast("Outcome", int(Outcome.OK))
_ERROR: Final = Outcome.ERROR
_PREDICT: Final = "predict"
_PREDICT_COLUMNS: Final = "predict_columns"
_NOT_THE_MODELS_FAULT: Final = (CallerError, CapacityError)


class Runner:
    """The models of one worker, ready to answer jobs."""

    def __init__(
        self,
        models: Sequence[LoadedModel],
        ids: MessageIds | None = None,
        arm: Callable[[float], None] = lambda _: None,
        on_failure: Callable[[Job, Exception, str], None] = lambda _job, _error, _method: None,
    ) -> None:
        self._models = {model.info.qualified_name: model for model in models}
        self._ids = ids or MessageIds()
        #: Called before each prediction with its hard limit in seconds.
        self._arm = arm
        #: Called with the method for each job that fails, and not by its caller's fault; and for
        #: one that `predict_columns` fails, though its rows are predicted after all.
        self._on_failure = on_failure

    def __repr__(self) -> str:
        return f"<Runner models={','.join(self._models)}>"

    def run(self, batch: Batch) -> list[Result]:
        """Answer every job of a batch: calls, or tasks of many rows."""
        model = self._models[batch.model]
        results = [self._too_late(job) for job in batch.expired]
        if not batch.jobs:
            return results
        if batch.jobs[0].kind is _CALL:
            self._run_calls(model, batch.jobs, results)
        else:
            results += [self._run_rows(model, job) for job in batch.jobs]
        return results

    # Calls

    def _run_calls(self, model: LoadedModel, jobs: list[Job], results: list[Result]) -> None:
        """Add a result for each call; of those whose arguments are wrong first."""
        method = model.predict_method
        rows = model.input.decode_calls([job.args for job in jobs])
        if rows is None:
            jobs, rows = self._decode_each(model, jobs, method, results)
        self._arm(model.info.timeout_s)
        predictions = model.predict_rows(rows)
        values = encode_each(predictions)
        if values is None:
            for job, prediction in zip(jobs, predictions, strict=True):
                results.append(self._answered(job, prediction, method))
        else:
            self._add_answers(jobs, values, results)

    def _decode_each(
        self, model: LoadedModel, jobs: list[Job], method: str, results: list[Result]
    ) -> tuple[list[Job], list[object]]:
        """The calls whose arguments are right, and their rows; the others are answered."""
        decoded: list[Job] = []
        rows: list[object] = []
        for job in jobs:
            try:
                rows.append(model.input.decode_call(job.args, method))
            except ZeropoolError as error:
                results.append(self._failed(job, error, method))
            else:
                decoded.append(job)
        return decoded, rows

    def _add_answers(self, jobs: list[Any], values: list[bytes], results: list[Result]) -> None:
        # Any: what is only passed on as it is, mypyc would take for numbers, and make again. A name
        # of another module, it would look up for each.
        ids = self._ids
        result: Any = Result
        for at in range(len(values)):
            job = jobs[at]
            body = wire.encode_ok(ids(), job.reply_to, values[at])
            results.append(result(job.job_id, job.attempt, _OK, body))

    def _answered(self, job: Job, prediction: object, method: str) -> Result:
        value = _encoded(prediction)
        if not isinstance(value, bytes):
            return self._failed(job, value, method)
        body = wire.encode_ok(self._ids(), job.reply_to, value)
        return Result(job.job_id, job.attempt, _OK, body)

    def _failed(self, job: Job, error: Exception, method: str) -> Result:
        if not isinstance(error, _NOT_THE_MODELS_FAULT):
            self._on_failure(job, error, _PREDICT)
        args = wire.encode_failure(job.version, RemoteFailure(*describe(error, method)))
        body = wire.encode_reply(self._ids(), job.reply_to, wire.ERR, args)
        return Result(job.job_id, job.attempt, _ERROR, body)

    def _too_late(self, job: Job) -> Result:
        error = DeadlineExceeded(f"{job.model}: not started before its deadline")
        if job.kind is _CALL:
            return self._failed(job, error, f"{job.model}_predict")
        return self._rows_result(job, [error] * job.rows)

    # Rows

    def _run_rows(self, model: LoadedModel, job: Job) -> Result:
        suffix = "batch" if job.kind is _ROWS else "stream"
        method = f"{model.info.qualified_name}_predict_{suffix}"
        try:
            outputs = self._outputs(model, job, method)
        except ZeropoolError as error:
            outputs = [error] * job.rows
        return self._rows_result(job, outputs)

    def _outputs(self, model: LoadedModel, job: Job, method: str) -> list[object]:
        if model.predict_columns is not None:
            columns = model.input.decode_columns(job.args)
            if columns is not None:
                return self._predict_columns(model, columns, job, method)
        return self._predict_valid(model, model.input.decode_rows(job.args, method))

    def _predict_columns(
        self, model: LoadedModel, columns: Columns, job: Job, method: str
    ) -> list[object]:
        """The same as `_predict` for rows that are columns; where that fails, of rows again."""
        count: int = len(next(iter(columns.values())))
        step = max(model.info.max_batch_size, COLUMN_ROWS)
        rows: list[object] = []
        predictions: list[object] = []
        for start in range(0, count, step):
            end = min(start + step, count)
            part = {name: values[start:end] for name, values in columns.items()}
            self._arm(model.info.timeout_s)
            found = model.predict_arrays(part, end - start)
            if isinstance(found, Exception):
                if not rows:
                    # Once for a job. It may be one row's fault, or that of the method itself,
                    # which nothing else would tell: the rows are predicted all the same.
                    self._on_failure(job, found, _PREDICT_COLUMNS)
                    rows = model.input.decode_rows(job.args, method)
                found = self._predict_valid(model, rows[start:end])
            predictions += found
        return predictions

    def _predict_valid(self, model: LoadedModel, rows: list[object]) -> list[object]:
        """The same for rows of which some may be errors, which stay in their places."""
        if not has_errors(rows):
            return self._predict(model, rows)
        good = [row for row in rows if not isinstance(row, ZeropoolError)]
        predicted = iter(self._predict(model, good))
        return [row if isinstance(row, ZeropoolError) else next(predicted) for row in rows]

    def _predict(self, model: LoadedModel, rows: list[object]) -> list[object]:
        """One prediction for each row, or an exception, in as many batches as it takes."""
        step = model.info.max_batch_size if model.info.batches else 1
        predictions: list[object] = []
        for start in range(0, len(rows), step):
            self._arm(model.info.timeout_s)
            predictions += model.predict_rows(rows[start : start + step])
        return predictions

    def _rows_result(self, job: Job, outputs: list[object]) -> Result:
        """Encode the outputs of a job's rows; an exception among them is that row's error."""
        if job.kind is _ROWS and (packed := encode_plain(outputs)) is not None:
            return Result(job.job_id, job.attempt, _OK, packed)
        bodies: list[bytes] = []
        errors: list[RowError] = []
        failure: Exception | None = None
        for offset, output in enumerate(outputs):
            encoded = _encoded(output)
            if isinstance(encoded, bytes):
                bodies.append(encoded)
                continue
            if failure is None and not isinstance(encoded, _NOT_THE_MODELS_FAULT):
                failure = encoded
            name, message, _ = describe(encoded, job.model)
            errors.append(RowError(offset, name, message))
            bodies.append(NIL)
        if failure is not None:
            self._on_failure(job, failure, _PREDICT)
        if job.kind is _ROWS:
            return Result(job.job_id, job.attempt, _OK, b"".join(bodies), (), tuple(errors))
        return Result(job.job_id, job.attempt, _OK, b"", tuple(_items(job, bodies, errors)))


def _encoded(output: object) -> bytes | Exception:
    if isinstance(output, Exception):
        return output
    try:
        return encode_prediction(output)
    except ZeropoolError as error:
        return error


def _items(job: Job, bodies: list[bytes], errors: list[RowError]) -> list[bytes]:
    pack = msgspec.msgpack.encode
    items = [
        _PREDICTION_ITEM % (pack(index), body) for index, body in enumerate(bodies, job.first_index)
    ]
    for error in errors:
        items[error.offset] = pack(
            {
                "index": job.first_index + error.offset,
                "error": {"name": error.name, "message": error.message},
            }
        )
    return items
