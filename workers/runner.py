"""Runs one batch through its model and encodes every result. No socket, no clock.

A CALL becomes the finished reply event, so that the gateway passes it on unread. One bad row, or
one output that no client could decode, is that caller's error and nobody else's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from zeropool.shared.errors import DeadlineExceeded, ZeropoolError
from zeropool.shared.jobs import Job, Kind, Outcome, Result
from zeropool.shared.wire import event as wire
from zeropool.shared.wire.event import MessageIds
from zeropool.shared.wire.records import RemoteFailure
from zeropool.workers.answer_columns import PackedAnswers
from zeropool.workers.batcher import Batch
from zeropool.workers.columns import Columns
from zeropool.workers.failures import describe
from zeropool.workers.loaded_model import LoadedModel, has_errors
from zeropool.workers.output import encode_prediction
from zeropool.workers.plain import encode_each
from zeropool.workers.row_answers import NOT_THE_MODELS_FAULT, RowAnswers

#: Most rows of one `predict_columns`, unless `max_batch_size` is more. A row of an array costs so
#: little that 64 are not worth the call: iris takes 0.42 µs a row with 64 of them, 0.19 with 1,024.
COLUMN_ROWS: Final = 1_024

# Bound once: looking a member up on its enum costs 0.15 µs on Python 3.11, as much as a call.
_CALL: Final = Kind.CALL
_ROWS: Final = Kind.ROWS
#: As the number that it is in a message: to ask a member of an enum for it costs an encoder more
#: than the rest of a result does.
_OK: Final = cast("Outcome", int(Outcome.OK))
_ERROR: Final = Outcome.ERROR
_PREDICT: Final = "predict"
_PREDICT_BATCH: Final = "predict_batch"
_PREDICT_COLUMNS: Final = "predict_columns"


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
        #: Called with the method for each job that fails, and not by its caller's fault; and where
        #: `predict_columns` or `predict_batch` fails, though the rows are predicted after all.
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
            if not jobs:
                return
        predictions = self._predicted(model, rows, jobs[0])
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
        if not isinstance(error, NOT_THE_MODELS_FAULT):
            self._on_failure(job, error, _PREDICT)
        args = wire.encode_failure(job.version, RemoteFailure(*describe(error, method)))
        body = wire.encode_reply(self._ids(), job.reply_to, wire.ERR, args)
        return Result(job.job_id, job.attempt, _ERROR, body)

    def _too_late(self, job: Job) -> Result:
        error = DeadlineExceeded(f"{job.model}: not started before its deadline")
        if job.kind is _CALL:
            return self._failed(job, error, f"{job.model}_predict")
        answers = RowAnswers(job)
        answers.add([error] * job.rows)
        return self._rows_result(job, answers)

    # Rows

    def _run_rows(self, model: LoadedModel, job: Job) -> Result:
        suffix = "batch" if job.kind is _ROWS else "stream"
        method = f"{model.info.qualified_name}_predict_{suffix}"
        answers = RowAnswers(job)
        try:
            self._answer_rows(model, job, method, answers)
        except ZeropoolError as error:
            answers = RowAnswers(job)
            answers.add([error] * job.rows)
        return self._rows_result(job, answers)

    def _answer_rows(self, model: LoadedModel, job: Job, method: str, answers: RowAnswers) -> None:
        if model.predict_columns is not None:
            columns = model.input.decode_columns(job.args)
            if columns is not None:
                self._predict_columns(model, columns, job, method, answers)
                return
        self._predict_valid(model, model.input.decode_rows(job.args, method), job, answers)

    def _predict_columns(
        self, model: LoadedModel, columns: Columns, job: Job, method: str, answers: RowAnswers
    ) -> None:
        """The same as `_predict` for rows that are columns; where that fails, of rows again."""
        count: int = len(next(iter(columns.values())))
        step = max(model.info.max_batch_size, COLUMN_ROWS)
        rows: list[object] = []
        for start in range(0, count, step):
            end = min(start + step, count)
            part = {name: values[start:end] for name, values in columns.items()}
            self._arm(model.info.timeout_s)
            found = model.predict_arrays(part, end - start)
            if isinstance(found, PackedAnswers):
                answers.add_packed(found)
            elif isinstance(found, Exception):
                if not rows:
                    # Once for a job. It may be one row's fault, or that of the method itself,
                    # which nothing else would tell: the rows are predicted all the same.
                    self._on_failure(job, found, _PREDICT_COLUMNS)
                    rows = model.input.decode_rows(job.args, method)
                self._predict_valid(model, rows[start:end], job, answers)
            else:
                answers.add(found)

    def _predict_valid(
        self, model: LoadedModel, rows: list[object], job: Job, answers: RowAnswers
    ) -> None:
        """The same for rows of which some may be errors, which stay in their places."""
        if not has_errors(rows):
            self._predict(model, rows, job, answers.add)
            return
        good = [row for row in rows if not isinstance(row, ZeropoolError)]
        predictions: list[object] = []
        self._predict(model, good, job, predictions.extend)
        predicted = iter(predictions)
        answers.add([row if isinstance(row, ZeropoolError) else next(predicted) for row in rows])

    def _predict(
        self,
        model: LoadedModel,
        rows: list[object],
        job: Job,
        take: Callable[[list[object]], None],
    ) -> None:
        """One prediction for each row, or an exception, in as many batches as it takes."""
        step = model.info.max_batch_size if model.info.batches else 1
        for start in range(0, len(rows), step):
            take(self._predicted(model, rows[start : start + step], job))

    def _predicted(self, model: LoadedModel, rows: list[object], job: Job) -> list[object]:
        """What the model makes of rows of this job, or of this one and others."""
        self._arm(model.info.timeout_s)
        predictions = model.predict_rows(rows)
        error = model.batch_error
        if error is not None:
            # Nothing else would tell why the model is slow: its rows are predicted all the same.
            model.batch_error = None
            self._on_failure(job, error, _PREDICT_BATCH)
        return predictions

    def _rows_result(self, job: Job, answers: RowAnswers) -> Result:
        result = answers.result()
        if answers.failure is not None:
            self._on_failure(job, answers.failure, _PREDICT)
        return result


def _encoded(output: object) -> bytes | Exception:
    if isinstance(output, Exception):
        return output
    try:
        return encode_prediction(output)
    except ZeropoolError as error:
        return error
