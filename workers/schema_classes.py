"""Schemas that are classes: pydantic models and `msgspec.Struct`. Models receive instances.

pydantic is never imported here: a model that uses it has imported it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import msgspec

from zeropool.workers.reading import (
    UNREADABLE,
    Packed,
    invalid,
    read_plain,
    refuse_extension,
    unreadable,
)
from zeropool.workers.schema_kind import SchemaKind, published

#: Most faults of one input that are told.
FAULT_LIMIT = 10

_ANYTHING = msgspec.msgpack.Decoder(ext_hook=refuse_extension)


def is_pydantic_class(candidate: object) -> bool:
    """Tell whether this is a model class of pydantic 2."""
    base = getattr(sys.modules.get("pydantic"), "BaseModel", None)
    return (
        isinstance(base, type)
        and isinstance(candidate, type)
        and issubclass(candidate, base)
        and hasattr(candidate, "model_validate")
    )


def pydantic_kind(model: Any) -> SchemaKind:  # noqa: ANN401  # a class of an optional package
    """Compile a pydantic model class."""
    failure: type[Exception] = sys.modules["pydantic"].ValidationError

    def check(data: Any) -> object:  # noqa: ANN401  # any decoded value
        try:
            checked: object = model.model_validate(data)
        except failure as error:
            raise invalid(_faults(error)) from error
        return checked

    return SchemaKind(
        json_schema=published(model.model_json_schema), validate=check, read=read_plain
    )


def _faults(error: Any) -> str:  # noqa: ANN401  # a pydantic.ValidationError
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(
        f"{'.'.join(map(str, fault['loc'])) or '$'}: {fault['msg']}"
        for fault in faults[:FAULT_LIMIT]
    )


def is_struct_class(candidate: object) -> bool:
    """Tell whether this is a `msgspec.Struct`."""
    return isinstance(candidate, type) and issubclass(candidate, msgspec.Struct)


def struct_kind(struct: type[msgspec.Struct]) -> SchemaKind:
    """Compile a Struct; raise TypeError for one whose fields msgspec can not decode."""
    return SchemaKind(
        json_schema=published(lambda: msgspec.json.schema(struct)),
        validate=_accept,
        read=_struct_reader(struct),
        wire_type=struct,
    )


def _accept(data: object) -> object:
    return data


def _struct_reader(struct: type[msgspec.Struct]) -> Callable[[Packed], object]:
    decoder = msgspec.msgpack.Decoder(struct, ext_hook=refuse_extension)

    def read(row: Packed) -> object:
        try:
            return decoder.decode(row)
        except msgspec.ValidationError as error:
            _refuse_extensions(row)
            raise invalid(str(error)) from error
        except UNREADABLE as error:
            raise unreadable(error) from error

    return read


def _refuse_extensions(row: Packed) -> None:
    """Raise `InvalidInput` with the code of an extension type, which msgspec does not tell."""
    try:
        _ANYTHING.decode(row)
    except UNREADABLE as error:
        raise unreadable(error) from error
