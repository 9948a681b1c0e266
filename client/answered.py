"""What an answer says, from its bytes: whose it is, and its value. No I/O, no clock.

Nearly all answers are short and have the form that Zeropool's own gateway gives them, which is told
by comparing bytes; all others are for whoever decodes events (see `link`). Values of short ones are
decoded at once, as that is also how it is known that they are whole.
Source: `encode_ok` in `shared/wire/event.py`.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from zeropool.shared.errors import ProtocolError
from zeropool.shared.wire.event import DECODE_ERRORS, REPLY_HEAD, REPLY_VERSION

_decode: Final = msgspec.msgpack.decode
_UNSET: Final = msgspec.UNSET
#: What is longer is decoded by the thread that wants it, while others go on; and for as long as
#: nobody does, a value takes many times as much memory as its bytes.
MAX_SHORT_BYTES: Final = 4096
#: Up to the server's own id, a bin of 16 bytes as any of ours.
_HEAD: Final = REPLY_HEAD + b"\xc4\x10"
#: From there to the id of the call, which is such a bin, too.
_BETWEEN: Final = REPLY_VERSION
_BETWEEN_AT: Final = len(_HEAD) + 16
_ID_BYTES: Final = 18
#: The name, and the head of an argument array that holds nothing but the value.
_OK: Final = b"\xa2OK\x91"
_VALUE_AT: Final = _BETWEEN_AT + len(_BETWEEN) + _ID_BYTES + len(_OK)
ARGS_AT: Final = _VALUE_AT - 1


def usual_id(payload: bytes) -> bytes:
    """The id that a short answer in the usual form names; empty for any other event.

    Whoever knows the id as one of those that `MessageIds` makes knows that the event is whole and
    says that a call has ended well, if `usual_value` finds a value in it.
    """
    if not payload.startswith(_HEAD) or not _VALUE_AT < len(payload) <= MAX_SHORT_BYTES:
        return b""
    middle = payload[_BETWEEN_AT:_VALUE_AT]
    if not middle.startswith(_BETWEEN) or not middle.endswith(_OK):
        return b""
    return middle[len(_BETWEEN) : len(_BETWEEN) + _ID_BYTES]


def usual_value(payload: bytes) -> Any:  # noqa: ANN401 - what the server answers
    """The value of an answer in the usual form.

    Raises:
        DECODE_ERRORS: there is not one whole value, or it has no form in Python.
    """
    return _decode(payload[_VALUE_AT:])


def decoded(packed: bytes) -> Any:  # noqa: ANN401 - what the server answers
    """The value of msgpack bytes.

    Raises:
        ProtocolError: they are none, or have no form in Python.
    """
    try:
        return _decode(packed)
    except DECODE_ERRORS as error:
        raise ProtocolError(f"the answer cannot be decoded: {error}") from error


class Answered:
    """The call ended well.

    Args:
        packed: ends with the packed argument array of the answer.
        args_at: where that begins.
        value: the answer's, where it is decoded.
    """

    __slots__ = ("_args_at", "_packed", "_value")

    def __init__(self, packed: bytes, args_at: int = 0, value: object = _UNSET) -> None:
        self._packed = packed
        self._args_at = args_at
        self._value = value

    def __repr__(self) -> str:
        return f"Answered(args={self.args!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Answered) and self.args == other.args

    def __hash__(self) -> int:
        return hash(self.args)

    @property
    def args(self) -> bytes:
        """The packed argument array."""
        return self._packed[self._args_at :]

    def value(self) -> Any:  # noqa: ANN401 - what the server answers
        """The value, which is nobody else's.

        Raises:
            ProtocolError: it cannot be decoded.
        """
        value = self._value
        if value is not _UNSET:
            self._value = _UNSET
            return value
        values = decoded(self.args)
        return values[0] if values else None
