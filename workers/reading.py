"""From MessagePack to plain data: no extension types, no map keys other than text or bytes.

What no type of msgspec says exactly is read here before its schema judges it; so it is compiled.
Knows no schema. No I/O.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import msgspec

from zeropool.shared.errors import InvalidInput
from zeropool.workers.failures import bounded
from zeropool.workers.plain import SCALARS

#: How the original service began each rejection; clients match on it.
INVALID_PREFIX: Final = "Failed to validate input data: "
#: The extension code that MessagePack reserves for timestamps; msgspec decodes it by itself.
TIMESTAMP_EXT: Final = -1

#: What reading bytes can raise: malformed, bad UTF-8, unhashable keys, nesting, size.
UNREADABLE: Final = (ValueError, TypeError, OverflowError, RecursionError, MemoryError)

#: MessagePack bytes, in any form that msgspec reads.
Packed: TypeAlias = bytes | memoryview | msgspec.Raw


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


_PLAIN: Final = msgspec.msgpack.Decoder(ext_hook=refuse_extension)


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
        return
    # They are of one kind as a rule. One function: a second would halve the depth of the source.
    known: type = float
    for child in children:
        kind = type(child)
        if kind is not known:
            if kind in SCALARS:
                known = kind
            else:
                _refuse_foreign(child)


def _refuse_foreign_keys(value: dict[Any, Any]) -> None:
    for key in value:
        if type(key) is not str and type(key) is not bytes:
            raise invalid(f"map keys must be text, not {type(key).__name__!r}: {key!r}")
