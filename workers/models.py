"""Loading a model class, and checking it against the contract.

The contract is structural: a class with display_name, qualified_name, description, major_version,
minor_version, input_schema, output_schema and predict(data), and optionally predict_batch(rows),
predict_columns(columns), warmup(), close() and retry_safe. A model that follows the original
service's `ml_model_abc.MLModel` is served unmodified. What can not be served is refused with
`ModelRefused` when it is loaded. Refuses to know how it predicts: see `loaded_model`.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from zeropool.shared.errors import ModelRefused
from zeropool.shared.model import ModelInfo
from zeropool.workers.loaded_model import LoadedModel, refused, told
from zeropool.workers.validation import compile_schema

_T = TypeVar("_T")

#: A qualified name becomes part of method names, and names with an underscore first are ours.
QUALIFIED_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


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
        raise refused(source, f"predict_columns gets arrays of numpy: {told(error)}") from error


def check_unique(models: Iterable[LoadedModel]) -> None:
    """Raise `ModelRefused` if two models have the same qualified name."""
    sources: dict[str, str] = {}
    for model in models:
        name = model.info.qualified_name
        if name in sources:
            raise refused(model.source, f"qualified_name {name!r} is taken by {sources[name]}")
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
            raise refused(self._source, f"attribute {name!r} is missing")
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
            raise refused(self._source, f"qualified_name {name!r} is no name: {reason}")
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
            raise refused(self._source, f"attribute {name!r} raised {told(error)}") from error

    def _wrong_type(self, name: str, value: object, expected: str) -> ModelRefused:
        found = type(value).__name__
        return refused(self._source, f"attribute {name!r} must be {expected}, not {found!r}")


def _instance(module_name: str, class_name: str, source: str) -> Any:  # noqa: ANN401  # the author's
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise refused(source, f"can not import {module_name}: {told(error)}") from error
    kind = getattr(module, class_name, None)
    if not isinstance(kind, type):
        raise refused(source, f"module {module_name} has no class {class_name}")
    try:
        return kind()
    except (Exception, SystemExit) as error:
        raise refused(source, f"its constructor raised {told(error)}") from error


def _where(source: str, part: str) -> str:
    return f"model {source}: {part}"
