"""What the gateway knows of a method: who answers it, and what it says of itself."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any


class Shape(enum.Enum):
    """How a model's method takes its rows and gives its predictions."""

    CALL = "call"
    BATCH = "batch"
    STREAM = "stream"


class ModelMethod:
    """A method that a model answers."""

    __slots__ = ("doc", "model", "name", "shape")

    def __init__(self, name: str, model: str, shape: Shape, doc: str) -> None:
        self.name = name
        self.model = model
        self.shape = shape
        self.doc = doc

    def __repr__(self) -> str:
        return f"<ModelMethod {self.name}>"

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the positional parameters."""
        return ("data",) if self.shape is Shape.CALL else ("rows",)


class OwnMethod:
    """A method that the gateway answers itself.

    Args:
        name: what it is called by.
        parameters: names of the positional ones.
        doc: what it does.
        answer: gets the checked arguments, and returns any value that msgpack can carry.
        needs_models: the answer is of no use before workers have said what they hold.
    """

    __slots__ = ("answer", "doc", "name", "needs_models", "parameters")

    def __init__(
        self,
        name: str,
        parameters: tuple[str, ...],
        doc: str,
        answer: Callable[..., Any],
        *,
        needs_models: bool = False,
    ) -> None:
        self.name = name
        self.parameters = parameters
        self.doc = doc
        self.answer = answer
        self.needs_models = needs_models

    def __repr__(self) -> str:
        return f"<OwnMethod {self.name}>"


Method = ModelMethod | OwnMethod
