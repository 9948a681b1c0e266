"""Loading a model class, and predicting with it so that one bad row never spoils the others.

The contract is structural: a class with display_name, qualified_name, description, major_version,
minor_version, input_schema, output_schema and predict(data), and optionally predict_batch(rows),
predict_columns(columns), warmup(), close() and retry_safe. A model that follows the original
service's `ml_model_abc.MLModel` is served unmodified. What can not be served is refused with
`ModelRefused` when it is loaded. Knows nothing of jobs, bytes or deadlines.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
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
from zeropool.workers.validation import CompiledSchema, compile_schema

_T = TypeVar("_T")
_Answers = TypeVar("_Answers", list[object], PackedAnswers | list[object])

#: A qualified name becomes part of method names, and names with an underscore first are ours.
QUALIFIED_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass(slots=True)
class LoadedModel:
    """One model instance with its published face and its compiled input schema."""

    #: ``module.Class``, for messages.
    source: str
    info: ModelInfo
    input: CompiledSchema
    model: Any
    predict_batch: Callable[[Sequence[object]], Any] | None
    #: None as well where the input schema is not one of columns.
    predict_columns: Callable[[Columns], Any] | None = None

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
        if self.predict_batch is not None and len(rows) > 1:
            predict, count = self.predict_batch, len(rows)
            # A copy: it may change its list.
            predictions = self._predict_together(
                lambda: _predictions(predict(list(rows)), count), count, "predict_batch"
            )
            if not isinstance(predictions, Exception):
                return predictions
        return [self._predict_alone(row) for row in rows]

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
            raise _refused(self.source, f"warmup raised {_told(error)}") from error

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
        failed = ModelFailed(f"{method} of {self.info.qualified_name} raised {_told(error)}")
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


def load_model(  # noqa: PLR0913 - the limits that a configuration gives
    module_name: str,
    class_name: str,
    *,
    max_batch_size: int,
    timeout_s: float,
    max_queue: int,
    max_wait_s: float = 0.0,
) -> LoadedModel:
    """Import the module, make one instance of the class and check it against the contract.

    Raises `ModelRefused` with module, class and reason.
    """
    source = f"{module_name}.{class_name}"
    model = _instance(module_name, class_name, source)
    attributes = _Attributes(model, source)
    compiled_input = compile_schema(attributes.read("input_schema"), _where(source, "input_schema"))
    compiled_output = compile_schema(
        attributes.read("output_schema"), _where(source, "output_schema")
    )
    attributes.method("predict")
    predict_batch = attributes.optional_method("predict_batch")
    predict_columns = attributes.optional_method("predict_columns")
    if predict_columns is not None:
        _require_numpy(source)
    attributes.optional_method("warmup")
    attributes.optional_method("close")
    info = ModelInfo(
        qualified_name=attributes.qualified_name(),
        display_name=attributes.typed("display_name", str),
        description=attributes.typed("description", str),
        major_version=attributes.typed("major_version", int),
        minor_version=attributes.typed("minor_version", int),
        input_schema=compiled_input.json_schema,
        output_schema=compiled_output.json_schema,
        retry_safe=attributes.typed("retry_safe", bool) if attributes.has("retry_safe") else True,
        max_batch_size=max_batch_size,
        batches=predict_batch is not None,
        max_wait_s=max_wait_s,
        timeout_s=timeout_s,
        max_queue=max_queue,
    )
    if not compiled_input.has_columns:
        predict_columns = None
    return LoadedModel(source, info, compiled_input, model, predict_batch, predict_columns)


def _require_numpy(source: str) -> None:
    try:
        importlib.import_module("numpy")
    except ImportError as error:
        raise _refused(source, f"predict_columns gets arrays of numpy: {_told(error)}") from error


def check_unique(models: Iterable[LoadedModel]) -> None:
    """Raise `ModelRefused` if two models have the same qualified name."""
    sources: dict[str, str] = {}
    for model in models:
        name = model.info.qualified_name
        if name in sources:
            raise _refused(model.source, f"qualified_name {name!r} is taken by {sources[name]}")
        sources[name] = model.source


class _Attributes:
    """Reads the contract's attributes off a model; each failure is a `ModelRefused`."""

    def __init__(self, model: Any, source: str) -> None:  # noqa: ANN401  # the author's
        self._model = model
        self._source = source

    def has(self, name: str) -> bool:
        return self._value_or(name, None) is not None

    def read(self, name: str) -> Any:  # noqa: ANN401  # the author's
        missing = object()
        value = self._value_or(name, missing)
        if value is missing:
            raise _refused(self._source, f"attribute {name!r} is missing")
        return value

    def typed(self, name: str, kind: type[_T]) -> _T:
        """Return the attribute; True and False are no numbers."""
        value = self.read(name)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self._wrong_type(name, value, f"of type {kind.__name__!r}")
        return value

    def qualified_name(self) -> str:
        name = self.typed("qualified_name", str)
        if QUALIFIED_NAME.fullmatch(name) is None:
            reason = "letters, digits and underscores, with a letter first, are allowed"
            raise _refused(self._source, f"qualified_name {name!r} is no name: {reason}")
        return name

    def method(self, name: str) -> Callable[..., Any]:
        value = self.read(name)
        if not callable(value):
            raise self._wrong_type(name, value, "a method")
        return value  # type: ignore[no-any-return]

    def optional_method(self, name: str) -> Callable[..., Any] | None:
        return self.method(name) if self.has(name) else None

    def _value_or(self, name: str, default: object) -> Any:  # noqa: ANN401  # the author's
        try:
            return getattr(self._model, name, default)
        except (Exception, SystemExit) as error:
            raise _refused(self._source, f"attribute {name!r} raised {_told(error)}") from error

    def _wrong_type(self, name: str, value: object, expected: str) -> ModelRefused:
        found = type(value).__name__
        return _refused(self._source, f"attribute {name!r} must be {expected}, not {found!r}")


def _instance(module_name: str, class_name: str, source: str) -> Any:  # noqa: ANN401  # the author's
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise _refused(source, f"can not import {module_name}: {_told(error)}") from error
    kind = getattr(module, class_name, None)
    if not isinstance(kind, type):
        raise _refused(source, f"module {module_name} has no class {class_name}")
    try:
        return kind()
    except (Exception, SystemExit) as error:
        raise _refused(source, f"its constructor raised {_told(error)}") from error


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


def _where(source: str, part: str) -> str:
    return f"model {source}: {part}"


def _refused(source: str, reason: str) -> ModelRefused:
    return ModelRefused(f"model {source}: {reason}")


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {message_of(error)}"
