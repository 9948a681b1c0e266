"""ZMTP 3.0, the framing beneath ZeroMQ's tcp and ipc: bytes in, messages out. No I/O, no clock.

Knows the greeting, the NULL mechanism and frames, for a DEALER. Of a message that arrives only the
last frame is given, which is a ZeroRPC event; what stands before it is routing. Refuses to know
what a message means, and who moves the bytes. It is spoken here, and not by libzmq, because a
client then needs no second thread for its socket: a call waits for two system calls instead of four
hand-overs between threads, and all replies that have arrived are one read.
Source: rfc.zeromq.org/spec/23 (ZMTP 3.0) and spec/37 (3.1, for PING).
"""

from __future__ import annotations

import struct

from zeropool.shared.errors import ProtocolError

#: What zerorpc can decode is at most 100 MiB; more than twice that is no answer of anybody.
MAX_MESSAGE_BYTES = 256 * 1024 * 1024

_MORE = 0x01
_LONG = 0x02
_COMMAND = 0x04
#: A greeting, in which version, mechanism and padding have their places.
_GREETING_BYTES = 64
_SIGNATURE_END = 9
_MAJOR_AT = 10
_MECHANISM_AT, _MECHANISM_END = 12, 32
_NULL = b"NULL".ljust(20, b"\0")
_OLDEST_MAJOR = 3
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + _NULL + bytes(32)
_READY = b"\x05READY\x0bSocket-Type\0\0\0\x06DEALER\x08Identity\0\0\0\0"
#: After its name, a PING has two bytes of time to live, and what the PONG repeats.
_PING, _PONG = b"\x04PING", b"\x04PONG"
_PING_CONTEXT_AT = len(_PING) + 2
#: Commands are small: READY has some properties, PING at most 16 bytes to repeat.
_MAX_COMMAND_BYTES = 8 * 1024
_MAX_SHORT = 255
_LONG_HEAD_BYTES = 9
_SIZE = struct.Struct(">Q")


def frame_message(payload: bytes) -> bytes:
    """A message of two frames: the empty delimiter and ``payload``."""
    size = len(payload)
    if size <= _MAX_SHORT:
        return b"\x01\x00\x00%c%b" % (size, payload)
    return b"\x01\x00\x02%b%b" % (_SIZE.pack(size), payload)


class Zmtp:
    """One connection's incoming bytes. ``replies`` is what the protocol itself has to say."""

    def __init__(self, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        #: The peer may be sent messages.
        self.is_ready = False
        #: Frames to be sent; its owner takes them off.
        self.replies: list[bytes] = [GREETING]
        self._max_message_bytes = max_message_bytes
        self._is_greeted = False
        self._rest = b""
        # A large frame arrives in many pieces; they are joined once, when they are complete.
        self._pieces: list[bytes] = []
        self._pieces_bytes = 0
        self._wanted_bytes = 0

    def receive(self, data: bytes) -> list[bytes]:
        """Take bytes as they came; return the last frames of the messages that are complete.

        Raises:
            ProtocolError: the peer speaks something else; the connection is of no more use.
        """
        if self._pieces or (self._rest and self._wanted_bytes):
            self._pieces.append(data)
            self._pieces_bytes += len(data)
            if len(self._rest) + self._pieces_bytes < self._wanted_bytes:
                return []
            data = b"".join((self._rest, *self._pieces))
            self._pieces.clear()
            self._pieces_bytes = self._wanted_bytes = 0
        elif self._rest:
            data = self._rest + data
        self._rest = b""
        if not self._is_greeted:
            if len(data) < _GREETING_BYTES:
                self._check_signature(data)
                self._rest = data
                return []
            self._greet(data[:_GREETING_BYTES])
            data = data[_GREETING_BYTES:]
        return self._frames(data)

    def _check_signature(self, data: bytes) -> None:
        is_odd = data[:1] not in (b"", b"\xff") or (len(data) > _SIGNATURE_END and data[9] != 0x7F)
        if is_odd:
            raise ProtocolError("the server does not speak ZMTP")

    def _greet(self, greeting: bytes) -> None:
        self._check_signature(greeting)
        if greeting[_MAJOR_AT] < _OLDEST_MAJOR:
            raise ProtocolError(f"the server speaks ZMTP {greeting[_MAJOR_AT]}, which is too old")
        mechanism = greeting[_MECHANISM_AT:_MECHANISM_END]
        if mechanism != _NULL:
            name = mechanism.rstrip(b"\0").decode("ascii", "replace")
            raise ProtocolError(f"the server wants the security mechanism {name}")
        self._is_greeted = True
        self.replies.append(b"%c%c%b" % (_COMMAND, len(_READY), _READY))

    def _frames(self, data: bytes) -> list[bytes]:
        payloads: list[bytes] = []
        at, end = 0, len(data)
        while end - at >= 2:
            flags = data[at]
            if flags & _LONG:
                if end - at < _LONG_HEAD_BYTES:
                    break
                body_at = at + _LONG_HEAD_BYTES
                size = _SIZE.unpack_from(data, at + 1)[0]
                self._check_size(flags, size)
            else:
                body_at = at + 2
                size = data[at + 1]
            after = body_at + size
            if after > end:
                self._wanted_bytes = after - at
                break
            if not flags & ~_LONG:
                payloads.append(data[body_at:after])
            elif flags & _COMMAND:
                self._command(data[body_at:after])
            elif flags & ~(_MORE | _LONG):
                raise ProtocolError(f"frame with unknown flags {flags:#x}")
            at = after
        if at < end:
            self._rest = data[at:]
        if payloads and not self.is_ready:
            raise ProtocolError("the server sent a message before it was ready")
        return payloads

    def _check_size(self, flags: int, size: int) -> None:
        limit = _MAX_COMMAND_BYTES if flags & _COMMAND else self._max_message_bytes
        if size > limit:
            raise ProtocolError(f"frame of {size} bytes exceeds {limit}")

    def _command(self, body: bytes) -> None:
        if body.startswith(_PING):
            self.replies.append(_command_frame(_PONG + body[_PING_CONTEXT_AT:]))
        elif body.startswith(b"\x05READY"):
            self.is_ready = True
        elif body.startswith(b"\x05ERROR"):
            reason = body[len(b"\x05ERROR") + 1 :].decode("utf-8", "replace")
            raise ProtocolError(f"the server refuses the connection: {reason}")


def _command_frame(body: bytes) -> bytes:
    if len(body) <= _MAX_SHORT:
        return b"%c%c%b" % (_COMMAND, len(body), body)
    return b"%c%b%b" % (_COMMAND | _LONG, _SIZE.pack(len(body)), body)
