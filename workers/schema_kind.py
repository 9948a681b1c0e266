"""One compiled schema, whatever library wrote it: what is published, and two ways to accept data.

Holds what the four kinds have in common: `SchemaKind` itself, and the records that msgspec decodes
straight from bytes. Knows no kind and no call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Union

import msgspec

from zeropool.workers.reading import Packed

#: The dialect in which every schema is published.
DIALECT = "https://json-schema.org/draft/2020-12/schema"


class Inexact(Exception):  # noqa: N818  # an answer between our own functions, never shown
    """A schema means something that no msgspec type says exactly."""


@dataclass(frozen=True, slots=True)
class SchemaKind:
    """What each kind of schema offers to the decoding of calls."""

    #: What is published.
    json_schema: dict[str, Any]
    #: The exact validator: plain data in, what the model receives out. Raises `InvalidInput`,
    #: or whatever the model author's own code raises.
    validate: Callable[[Any], object]
    #: Bytes of one row to the data that `validate` takes. Raises `InvalidInput`.
    read: Callable[[Packed], Any]
    #: A type that accepts nothing that `validate` would refuse or change; None if there is none.
    wire_type: Any = None
    #: From an instance of `wire_type` to what the model receives; None if that is the same.
    finish: Callable[[Any], object] | None = None
    #: Whether `validate` will accept, told without explaining; None where that costs as much.
    accepts: Callable[[Any], bool] | None = None


def record_type(fields: Mapping[str, tuple[Any, bool]]) -> Any:  # noqa: ANN401  # a new type
    """Return a Struct for a map with exactly these keys: name to (type, is required).

    Keys need not be identifiers. An absent optional key stays absent in `to_builtins`.
    """
    ordered = sorted(fields.items(), key=lambda item: not item[1][1])
    names = {f"field_{index}": name for index, (name, _) in enumerate(ordered)}
    definitions: list[Any] = [
        (attribute, kind) if required else (attribute, kind | msgspec.UnsetType, msgspec.UNSET)
        for attribute, (_, (kind, required)) in zip(names, ordered, strict=True)
    ]
    return msgspec.defstruct(
        "Record", definitions, forbid_unknown_fields=True, rename=names, gc=False
    )


def union_type(kinds: Sequence[Any]) -> Any:  # noqa: ANN401  # a type
    """Return the type that accepts what one of these accepts; raise `Inexact` for none at all."""
    if not kinds:
        raise Inexact
    return Union[tuple(kinds)]  # noqa: UP007  # as many as there are


def published(make: Callable[[], Any]) -> dict[str, Any]:
    """Return the JSON Schema that `make` writes, or the empty one if it can not or it is unusable.

    Some schemas (callables, conversions) have no counterpart in JSON Schema; such a model is
    served all the same.
    """
    try:
        schema = portable(make())
    except Exception:  # noqa: BLE001  # the libraries raise their own, and the author's, errors
        return {"$schema": DIALECT}
    return schema


def portable(schema: Any) -> dict[str, Any]:  # noqa: ANN401  # what the author gave us
    """Return a copy in plain JSON types, with the dialect named; raise TypeError or ValueError."""
    copy = msgspec.json.decode(msgspec.json.encode(schema), type=dict[str, Any])
    return {"$schema": DIALECT} | copy
