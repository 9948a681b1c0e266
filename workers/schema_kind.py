"""One compiled schema, whatever library wrote it: what is published, and two ways to accept data.

Holds what the four kinds have in common: `SchemaKind` itself, the records that msgspec decodes
straight from bytes, and the reading of MessagePack that is plain data (no extension types, no
map keys other than text or bytes). Knows no kind and no call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, Union

import msgspec

from zeropool.shared.errors import InvalidInput
from zeropool.workers.failures import bounded
from zeropool.workers.plain import SCALARS

#: The dialect in which every schema is published.
DIALECT = "https://json-schema.org/draft/2020-12/schema"
#: How the original service began each rejection; clients match on it.
INVALID_PREFIX = "Failed to validate input data: "
#: The extension code that MessagePack reserves for timestamps; msgspec decodes it by itself.
TIMESTAMP_EXT = -1

#: What reading bytes can raise: malformed, bad UTF-8, unhashable keys, nesting, size.
UNREADABLE = (ValueError, TypeError, OverflowError, RecursionError, MemoryError)

#: MessagePack bytes, in any form that msgspec reads.
Packed: TypeAlias = bytes | memoryview | msgspec.Raw


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


def invalid(reason: str) -> InvalidInput:
    """Return the error for data that the schema rejects, with a message of bounded length."""
    return InvalidInput(bounded(INVALID_PREFIX + reason))


def unreadable(error: BaseException) -> InvalidInput:
    """Return the error for bytes that are no data at all."""
    if isinstance(error, RecursionError):
        return invalid("the data is nested too deeply")
    return invalid(f"malformed MessagePack: {error}")


def refuse_extension(code: int, _data: memoryview) -> object:
    """Refuse an extension type (as msgspec's `ext_hook`): no schema of ours can mean one."""
    raise invalid(f"MessagePack extension type {code} is not supported; send text or numbers")


def read_plain(row: Packed) -> Any:  # noqa: ANN401  # any decoded value
    """Return the plain data of one MessagePack value, or raise `InvalidInput`."""
    try:
        value = _PLAIN.decode(row)
        _refuse_foreign(value)
    except UNREADABLE as error:
        raise unreadable(error) from error
    return value


_PLAIN = msgspec.msgpack.Decoder(ext_hook=refuse_extension)


def _refuse_foreign(value: Any) -> None:  # noqa: ANN401  # any decoded value
    kind = type(value)
    if kind is dict:
        _refuse_foreign_keys(value)
        children = value.values()
    elif kind is list:
        children = value
    elif kind in SCALARS:
        return
    else:
        refuse_extension(TIMESTAMP_EXT, memoryview(b""))
    if SCALARS.issuperset(map(type, children)):
        return
    for child in children:
        _refuse_foreign(child)


def _refuse_foreign_keys(value: dict[Any, Any]) -> None:
    for key in value:
        if type(key) is not str and type(key) is not bytes:
            raise invalid(f"map keys must be text, not {type(key).__name__!r}: {key!r}")


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
