"""A model that was loaded, and predicting with it so that one bad row never spoils the others.

Every prediction of every model passes here; so it is compiled, and apart from `models`, which loads
them. Knows nothing of jobs, bytes or deadlines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from zeropool.shared.errors import ModelRefused
from zeropool.shared.model import ModelInfo
from zeropool.workers.answer_columns import (
    PackedAnswers,
    WrongAnswer,
    answers_of,
    is_sequence,
)
from zeropool.workers.columns import Columns
from zeropool.workers.failures import ModelFailed, message_of
from zeropool.workers.validation import CompiledSchema

_Answers = TypeVar("_Answers", list[object], PackedAnswers | list[object])


class LoadedModel:
    """One model instance with its published face and its compiled input schema.

    Args:
        source: ``module.Class``, for messages.
        predict_columns: None as well where the input schema is not one of columns.
    """

    __slots__ = (
        "batch_error",
        "info",
        "input",
        "model",
        "predict_batch",
        "predict_columns",
        "predict_method",
        "source",
    )

    def __init__(  # noqa: PLR0913, PLR0917 - the whole of what was loaded
        self,
        source: str,
        info: ModelInfo,
        input_schema: CompiledSchema,
        model: Any,  # noqa: ANN401  # the author's
        predict_batch: Callable[[Sequence[object]], Any] | None,
        predict_columns: Callable[[Columns], Any] | None = None,
    ) -> None:
        self.source = source
        self.info = info
        self.input = input_schema
        self.model = model
        self.predict_batch = predict_batch
        self.predict_columns = predict_columns
        #: What `predict_batch` raised at last, though all its rows were predicted after all;
        #: whoever tells of it forgets it.
        self.batch_error: Exception | None = None
        #: What clients call for one prediction.
        self.predict_method = f"{info.qualified_name}_predict"

    def __repr__(self) -> str:
        way = "per row" if self.predict_batch is None else "in batches"
        way += "" if self.predict_columns is None else " or columns"
        return f"<LoadedModel {self.info.qualified_name} from {self.source}, predicts {way}>"

    @property
    def ignores_columns(self) -> bool:
        """The model could predict columns, but its input schema has none."""
        return self.predict_columns is None and hasattr(self.model, "predict_columns")

    def predict_rows(self, rows: Sequence[object]) -> list[object | Exception]:
        """Return n predictions for n rows, an exception in the place of each row that failed.

        A batch that fails as a whole is repeated row by row, so that only the bad rows fail.
        `KeyboardInterrupt` alone goes through.
        """
        batch_error: Exception | None = None
        if self.predict_batch is not None and len(rows) > 1:
            predict, count = self.predict_batch, len(rows)
            # A copy: it may change its list.
            predictions = self._predict_together(
                lambda: _predictions(predict(list(rows)), count), count, "predict_batch"
            )
            if not isinstance(predictions, Exception):
                return predictions
            batch_error = predictions
        alone = [self._predict_alone(row) for row in rows]
        if batch_error is not None and not has_errors(alone):
            self.batch_error = batch_error
        return alone

    def predict_arrays(
        self, columns: Columns, count: int
    ) -> PackedAnswers | list[object | Exception] | Exception:
        """Return what `predict_columns` makes of n rows as columns of n values, or what it raised.

        To be asked only where the model has it. Which row it is that fails, `predict_rows` tells.
        """
        predict = self.predict_columns
        if predict is None:
            return ModelFailed(f"{self.info.qualified_name} has no predict_columns")
        return self._predict_together(
            lambda: _answers(predict(columns), count), count, "predict_columns"
        )

    def warmup(self) -> None:
        """Let the model prepare itself, if it wants to; raise `ModelRefused` if it fails."""
        warmup = getattr(self.model, "warmup", None)
        if warmup is None:
            return
        try:
            warmup()
        except (Exception, SystemExit) as error:
            raise refused(self.source, f"warmup raised {told(error)}") from error

    def close(self) -> None:
        """Let the model release what it holds, if it wants to; what it raises goes through."""
        close = getattr(self.model, "close", None)
        if close is not None:
            close()

    def _predict_alone(self, row: object) -> object | Exception:
        try:
            return self._row_result(self.model.predict(row), "predict")
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  # a model may raise anything, even SystemExit
            return self._row_error(error, "predict")

    def _predict_together(
        self, predicted: Callable[[], _Answers], count: int, method: str
    ) -> _Answers | list[object | Exception] | Exception:
        """Return what a method makes of many rows, or what it raised."""
        try:
            answers = predicted()
        except KeyboardInterrupt:
            raise
        except WrongAnswer as wrong:
            return self._wrong_answer(wrong, count, method)
        except BaseException as error:  # noqa: BLE001  # as above; a row may be the cause of it
            return self._row_error(error, method)
        if isinstance(answers, PackedAnswers) or not has_errors(answers):
            return answers
        return [self._row_result(item, method) for item in answers]

    def _wrong_answer(
        self, wrong: WrongAnswer, count: int, method: str
    ) -> list[object | Exception]:
        """Return the error of each row of an answer that has not one prediction for each."""
        name = self.info.qualified_name
        reason = f"{method} of {name} returned {message_of(wrong)} for {count} rows"
        return [ModelFailed(reason) for _ in range(count)]

    def _row_result(self, result: object, method: str) -> object | Exception:
        return self._row_error(result, method) if isinstance(result, BaseException) else result

    def _row_error(self, error: BaseException, method: str) -> Exception:
        """Return an error that can be handed on: `SystemExit` must not end the worker."""
        if isinstance(error, Exception):
            return error
        failed = ModelFailed(f"{method} of {self.info.qualified_name} raised {told(error)}")
        failed.__cause__ = error
        return failed


def has_errors(outputs: Iterable[object]) -> bool:
    """Tell whether an exception is among them."""
    known: type = float
    for output in outputs:
        kind = type(output)
        if kind is not known:
            if issubclass(kind, BaseException):
                return True
            known = kind
    return False


def _answers(answer: Any, count: int) -> PackedAnswers | list[object]:  # noqa: ANN401  # whatever the model returned
    """Return the answers of n rows, which may be columns; raise `WrongAnswer` otherwise."""
    return answers_of(answer, count) if isinstance(answer, dict) else _predictions(answer, count)


def _predictions(answer: Any, count: int) -> list[object]:  # noqa: ANN401  # whatever the model returned
    """Return the predictions of n rows as a list; raise `WrongAnswer` where they are none."""
    if not is_sequence(answer):
        raise WrongAnswer(f"{type(answer).__name__!r}, not a list")
    predictions = list(answer)
    if len(predictions) != count:
        raise WrongAnswer(f"{len(predictions)} predictions")
    return predictions


def refused(source: str, reason: str) -> ModelRefused:
    """Return the error for a model that can not be served."""
    return ModelRefused(f"model {source}: {reason}")


def told(error: BaseException) -> str:
    """Return how an error of a model's own code is told."""
    return f"{type(error).__name__}: {message_of(error)}"
