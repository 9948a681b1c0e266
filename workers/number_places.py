"""Where a schema says *number*: the places at which an integer on the wire becomes a float.

MessagePack clients send what their language has: Node sends ``5`` for ``5.0``, and
``4294967296.0`` for an integer beyond 32 bits. Knows only places and numbers; the schema kinds
fill a `NumberPlaces` tree from their own notation. A bool is never a number here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class NumberPlaces:
    """What may stand at one place of the data, as far as numbers are concerned.

    Trees may contain themselves (a recursive schema), so nothing here walks a whole tree.
    """

    #: A float is acceptable here.
    floats: bool = False
    #: An int is acceptable here *as an int*, so it stays one even where a float would do.
    ints: bool = False
    #: A float without fraction is an integer here and becomes one (JSON Schema's "integer").
    wholes: bool = False
    properties: dict[str, NumberPlaces] = field(default_factory=dict)
    #: Values of a mapping whose keys `properties` does not name.
    rest: NumberPlaces | None = None
    #: Leading items of a list, each with its own place.
    prefix: list[NumberPlaces] = field(default_factory=list)
    #: All further items of a list.
    items: NumberPlaces | None = None

    def settle(self, value: Any) -> Any:  # noqa: ANN401  # any decoded value
        """Return the value with its numbers in the schema's types; containers change in place."""
        kind = type(value)
        if kind is int:
            return float(value) if self.floats and not self.ints else value
        if kind is float:
            return self._whole(value) if self.wholes and not self.floats else value
        if kind is dict:
            self._settle_mapping(value)
        elif kind is list:
            self._settle_list(value)
        return value

    @staticmethod
    def _whole(value: float) -> float | int:
        return int(value) if value.is_integer() else value

    def _settle_mapping(self, value: dict[Any, Any]) -> None:
        for name, place in self.properties.items():
            if name in value:
                value[name] = place.settle(value[name])
        if self.rest is None:
            return
        for name in value.keys() - self.properties.keys():
            value[name] = self.rest.settle(value[name])

    def _settle_list(self, value: list[Any]) -> None:
        for index, place in enumerate(self.prefix[: len(value)]):
            value[index] = place.settle(value[index])
        items = self.items
        if items is None or (items.floats and set(map(type, value)) == {float}):
            return
        start = len(self.prefix)
        value[start:] = [items.settle(item) for item in value[start:]]
