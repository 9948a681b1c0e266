"""Requests of one connection as messages: what most of them have in common is packed once.

No I/O, no clock. Of the same form as `encode_request` in `shared/wire/event.py` makes them.
"""

from __future__ import annotations

from typing import Final

import msgspec

from zeropool.shared.wire.event import (
    DEADLINE_HEAD,
    DEADLINE_VERSION,
    REQUEST_HEAD,
    REQUEST_VERSION,
)
from zeropool.shared.wire.zmtp import message_head

_encode: Final = msgspec.msgpack.encode
#: Said of a request that does not tell how much time there is.
UNTOLD_S: Final = -1.0
#: Of either request.
_HEAD_BYTES: Final = len(REQUEST_HEAD)
_MAX_SHORT: Final = 255
#: Up to the id, by the size of the whole request.
_SHORT: Final = [message_head(size) + REQUEST_HEAD for size in range(_MAX_SHORT + 1)]
_DEADLINE_SHORT: Final = [message_head(size) + DEADLINE_HEAD for size in range(_MAX_SHORT + 1)]


class Requests:
    """Makes requests. Calls that are made together have, as a rule, one method and as much time."""

    __slots__ = ("_between", "_method", "_name", "_timeout_s")

    def __init__(self) -> None:
        self._method = ""
        self._name = _encode("")
        self._timeout_s = UNTOLD_S
        #: What stands between the id and the arguments.
        self._between = REQUEST_VERSION + self._name

    def message(self, channel_id: bytes, method: str, args: bytes, timeout_s: float) -> bytes:
        """A request as a message of two frames; ``args`` are packed, ``timeout_s`` may be UNTOLD_S.

        Raises:
            UnicodeEncodeError: the method's name has no MessagePack form.
        """
        if timeout_s != self._timeout_s or method != self._method:
            self._prepare(method, timeout_s)
        between = self._between
        size = _HEAD_BYTES + len(channel_id) + len(between) + len(args)
        if size <= _MAX_SHORT:
            heads = _SHORT if timeout_s < 0.0 else _DEADLINE_SHORT
            return heads[size] + channel_id + between + args
        head = REQUEST_HEAD if timeout_s < 0.0 else DEADLINE_HEAD
        return b"".join((message_head(size), head, channel_id, between, args))

    def _prepare(self, method: str, timeout_s: float) -> None:
        if method != self._method:
            self._name = _encode(method)
            self._method = method
        if timeout_s < 0.0:
            self._between = REQUEST_VERSION + self._name
        else:
            self._between = DEADLINE_VERSION + _encode(timeout_s) + self._name
        self._timeout_s = timeout_s
