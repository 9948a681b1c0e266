"""Frames of ZMTP 1.0, for clients of libzmq 2: messages come out as from `Frames`. No I/O.

Every frame is a length, which counts the flags, then the flags, then the body.
Source: rfc.zeromq.org/spec/13.
"""

from __future__ import annotations

import struct
from typing import Final

from zeropool.shared.errors import MessageTooLarge, ProtocolError
from zeropool.shared.wire.zmtp import FURTHER_FRAME_BYTES, MAX_FRAMES, MORE

_MAX_SHORT: Final = 254
_LONG: Final = 0xFF
_SIZE: Final = struct.Struct(">Q")
_LONG_HEAD_BYTES: Final = 9


def old_frame(body: bytes, flags: int = 0) -> bytes:
    """One frame."""
    size = len(body) + 1
    if size <= _MAX_SHORT:
        return b"%c%c%b" % (size, flags, body)
    return b"%c%b%c%b" % (_LONG, _SIZE.pack(size), flags, body)


class OldFrames:
    """The frames that come on one connection, put together to messages."""

    def __init__(self, max_message_bytes: int) -> None:
        #: As of `Frames`: of the messages that `receive` gave last, those with hops.
        self.hops: dict[int, list[bytes]] = {}
        self._max_message_bytes = max_message_bytes
        self._rest = bytearray()
        self._earlier: list[bytes] = []
        self._earlier_bytes = 0

    @property
    def held_bytes(self) -> int:
        """What is kept of a message that is not complete."""
        return len(self._rest) + self._earlier_bytes

    def receive(self, data: bytes) -> list[bytes]:
        """Take bytes as they came; return the last frames of the messages that are complete.

        Raises:
            ProtocolError: the peer breaks the rules; the connection is of no more use.
        """
        self.hops.clear()
        self._rest += data
        payloads: list[bytes] = []
        at, end = 0, len(self._rest)
        while at < end:
            flags_at = at + 1
            size = self._rest[at]
            if size == _LONG:
                flags_at = at + _LONG_HEAD_BYTES
                if flags_at > end:
                    break
                size = _SIZE.unpack_from(self._rest, at + 1)[0]
            if size == 0:
                raise ProtocolError("frame without flags")
            if self._earlier_bytes + size > self._max_message_bytes:
                whole = self._earlier_bytes + size
                raise MessageTooLarge(f"message of {whole} bytes exceeds {self._max_message_bytes}")
            after = flags_at + size
            if after > end:
                break
            self._take(bytes(self._rest[flags_at:after]), payloads)
            at = after
        del self._rest[:at]
        return payloads

    def _take(self, frame: bytes, payloads: list[bytes]) -> None:
        flags, body = frame[0], frame[1:]
        if flags & MORE:
            self._earlier_bytes += len(body) + 2
            if len(self._earlier) < MAX_FRAMES:
                self._earlier.append(body)
            else:
                self._earlier_bytes += FURTHER_FRAME_BYTES
            return
        if len(self._earlier) > 1:
            self.hops[len(payloads)] = self._earlier[:-1]
        self._earlier = []
        self._earlier_bytes = 0
        payloads.append(body)
