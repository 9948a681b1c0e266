"""ZMTP 2 and 3, the framing beneath ZeroMQ's tcp and ipc: bytes in, messages out. No I/O, no clock.

Knows frames, and the parts of the greeting and of the NULL mechanism that both ends share. Of a
message it gives the last frame, which is a ZeroRPC event; frames that lead back through devices
stand apart, as hardly any message has them. Refuses to know what a message means, who moves the
bytes, and what a command asks for. It is spoken here, and not by libzmq, because a call then needs
no second thread for its socket: it waits for two system calls instead of four hand-overs between
threads, and all messages that have arrived are one read.
Source: rfc.zeromq.org/spec/23 (ZMTP 3.0), spec/37 (3.1, for PING) and spec/15 (2.0).
"""

from __future__ import annotations

import struct
from typing import Final

from zeropool.shared.errors import MessageTooLarge, ProtocolError

MORE: Final = 0x01
LONG: Final = 0x02
COMMAND: Final = 0x04

#: A greeting, in which version, mechanism and padding have their places.
GREETING_BYTES: Final = 64
SIGNATURE_BYTES: Final = 10
MAJOR_AT: Final = 10
OLDEST_MAJOR: Final = 3
_MECHANISM_AT, _MECHANISM_END = 12, 32
_NULL: Final = b"NULL".ljust(20, b"\0")
#: The length in it is that of an empty identity for who speaks ZMTP 1.
SIGNATURE: Final = b"\xff" + bytes(7) + b"\x01\x7f"
#: What follows version 3: its minor, the mechanism, and that nobody is its server.
GREETING_END: Final = b"\x00" + _NULL + bytes(32)
GREETING: Final = SIGNATURE + b"\x03" + GREETING_END

#: Commands are small: READY has some properties, PING at most 16 bytes to repeat.
MAX_COMMAND_BYTES: Final = 8 * 1024
#: Frames of one message that are kept: more than lead back through any chain of devices.
MAX_FRAMES: Final = 16
#: And what each further one counts at least: empty ones take two bytes, and would go on for long
#: before a message is too large.
FURTHER_FRAME_BYTES: Final = 64
#: Smaller pieces of a frame are joined as they come: one that was read into a large buffer takes a
#: page of memory, however small it is.
MIN_PIECE_BYTES: Final = 16 * 1024
#: After its name, a PING has two bytes of time to live, and what the PONG repeats.
_PING, _PONG = b"\x04PING", b"\x04PONG"
_PING_CONTEXT_AT: Final = len(_PING) + 2
_PING_CONTEXT_END: Final = _PING_CONTEXT_AT + 16
_ERROR: Final = b"\x05ERROR"
READY: Final = b"\x05READY"
_SOCKET_TYPE: Final = b"\x0bSocket-Type"

_MAX_SHORT: Final = 255
_SHORT_HEAD_BYTES: Final = 2
_LONG_HEAD_BYTES: Final = 9
#: Of a message whose last frame is short: those of the delimiter and of that frame.
_USUAL_HEAD_BYTES: Final = 4
_SIZE: Final = struct.Struct(">Q")
#: What stands before the last frame of a message, by its size: formatting costs more than the rest.
_SHORT_HEADS: Final = [b"\x01\x00\x00%c" % size for size in range(_MAX_SHORT + 1)]
#: The same of a message of that frame alone.
_LAST_HEADS: Final = [b"\x00%c" % size for size in range(_MAX_SHORT + 1)]


def message_head(size_bytes: int) -> bytes:
    """What stands before the last frame of a message of two, the first one being the delimiter."""
    if size_bytes <= _MAX_SHORT:
        return _SHORT_HEADS[size_bytes]
    return b"\x01\x00\x02%b" % _SIZE.pack(size_bytes)


def frame_message(payload: bytes) -> bytes:
    """A message of two frames: the empty delimiter and ``payload``."""
    return message_head(len(payload)) + payload


def frame_head(size_bytes: int, flags: int = 0) -> bytes:
    """What stands before the body of a frame."""
    if size_bytes <= _MAX_SHORT:
        return _LAST_HEADS[size_bytes] if not flags else b"%c%c" % (flags, size_bytes)
    return b"%c%b" % (flags | LONG, _SIZE.pack(size_bytes))


def frame(body: bytes, flags: int = 0) -> bytes:
    """One frame."""
    return frame_head(len(body), flags) + body


def ready_command(socket_type: bytes) -> bytes:
    """The frame with which a peer of that type ends the handshake."""
    kind = _SOCKET_TYPE + len(socket_type).to_bytes(4, "big") + socket_type
    return frame(READY + kind + b"\x08Identity\0\0\0\0", COMMAND)


def mechanism_of(greeting: bytes) -> str:
    """Name of the security mechanism that a whole greeting asks for; empty for NULL."""
    mechanism = greeting[_MECHANISM_AT:_MECHANISM_END]
    if mechanism == _NULL:
        return ""
    return mechanism.rstrip(b"\0").decode("ascii", "replace") or "without a name"


def socket_type_of(ready: bytes) -> bytes:
    """The type that the body of a READY names; empty where it names none."""
    at = len(READY)
    while at < len(ready):
        value_at = at + 1 + ready[at] + 4
        name = ready[at : value_at - 4]
        after = value_at + int.from_bytes(ready[value_at - 4 : value_at], "big")
        if name.lower() == _SOCKET_TYPE.lower():
            return ready[value_at:after]
        at = after
    return b""


def answer_to(command: bytes) -> bytes:
    """The frame that answers a command, from its body; empty where it wants none.

    Raises:
        ProtocolError: the peer refuses the connection.
    """
    if command.startswith(_PING):
        return frame(_PONG + command[_PING_CONTEXT_AT:_PING_CONTEXT_END], COMMAND)
    if command.startswith(_ERROR):
        at = len(_ERROR) + 1
        reason = command[at:].decode("utf-8", "replace")
        raise ProtocolError(f"the peer refuses the connection: {reason}")
    return b""


#: Asks for a sign of life; it names no time to live, and nothing to repeat.
PING: Final = frame(_PING + bytes(2), COMMAND)


class Frames:
    """The frames that come on one connection, put together to messages."""

    def __init__(self, max_message_bytes: int) -> None:
        #: Bodies of the commands that have come; their owner has them answered.
        self.commands: list[bytes] = []
        #: Of the messages that `receive` gave last, those with hops: their place, and all frames
        #: before the delimiter.
        self.hops: dict[int, list[bytes]] = {}
        #: What is kept of a message that is not complete.
        self.held_bytes = 0
        #: How much more is missing at least.
        self.missing_bytes = 0
        self._max_message_bytes = max_message_bytes
        # A large frame arrives in many pieces; they are joined once, when they are complete.
        self._pieces: list[bytes] = []
        self._pieces_bytes = 0
        #: Where its body begins in the first piece, if it is the last frame of a message; else 0.
        self._body_at = 0
        #: The frames before the last one, as far as they are kept, and what all of them took.
        self._earlier: list[bytes] = []
        self._earlier_bytes = 0

    def receive(self, data: bytes) -> list[bytes]:
        """Take bytes as they came; return the last frames of the messages that are complete.

        Raises:
            ProtocolError: the peer breaks the rules; the connection is of no more use.
        """
        if self.hops:
            self.hops.clear()
        if self._pieces_bytes:
            if len(self._pieces[-1]) < MIN_PIECE_BYTES:
                self._pieces[-1] += data
            else:
                self._pieces.append(data)
            self._pieces_bytes += len(data)
            self.missing_bytes -= len(data)
            if self.missing_bytes > 0:
                self.held_bytes += len(data)
                return []
            if self._body_at and not self.missing_bytes:
                return [self._join_body()]
            data = b"".join(self._pieces)
            self._pieces.clear()
            self._pieces_bytes = 0
        return self._take(data)

    def _join_body(self) -> bytes:
        """The message that the pieces are exactly: with its head, it would be copied once more."""
        body_at = self._body_at
        body = b"".join((memoryview(self._pieces[0])[body_at:], *self._pieces[1:]))
        if self._earlier_bytes:
            self._end_message(0)
        self._pieces.clear()
        self._pieces_bytes = self._body_at = self.held_bytes = 0
        self.missing_bytes = _SHORT_HEAD_BYTES
        return body

    def answer_commands(self, replies: list[bytes]) -> list[bytes]:
        """Take off the commands that have come: what they want goes to ``replies``.

        Returns the bodies of the READYs among them, which mean something else to either end.

        Raises:
            ProtocolError: the peer refuses the connection.
        """
        commands, self.commands = self.commands, []
        readies: list[bytes] = []
        for command in commands:
            if command.startswith(READY):
                readies.append(command)
                continue
            answer = answer_to(command)
            if answer:
                replies.append(answer)
        return readies

    def _take(self, data: bytes) -> list[bytes]:
        payloads: list[bytes] = []
        at, end = self._take_usual(data, 0, payloads), len(data)
        self._body_at = 0
        missing = _SHORT_HEAD_BYTES + at - end
        while end - at >= _SHORT_HEAD_BYTES:
            flags = data[at]
            body_at = at + _SHORT_HEAD_BYTES
            size = data[at + 1]
            if flags & LONG:
                body_at = at + _LONG_HEAD_BYTES
                if body_at > end:
                    missing = body_at - end
                    break
                size = self._size(data, at + 1)
            self._check(flags, size)
            after = body_at + size
            if after > end:
                missing = after - end
                if not flags & (MORE | COMMAND):
                    self._body_at = body_at - at
                break
            if flags & MORE:
                self._add(data[body_at:after], after - at)
            elif flags & COMMAND:
                self.commands.append(data[body_at:after])
            else:
                if self._earlier_bytes:
                    self._end_message(len(payloads))
                payloads.append(data[body_at:after])
            at = self._take_usual(data, after, payloads)
            missing = _SHORT_HEAD_BYTES + at - end
        if at < end:
            self._pieces.append(data[at:])
            self._pieces_bytes = end - at
        self.missing_bytes = max(0, missing)
        self.held_bytes = self._pieces_bytes + self._earlier_bytes
        return payloads

    def _take_usual(self, data: bytes, at: int, payloads: list[bytes]) -> int:
        """Take the messages of a delimiter and a short last frame, of which there is nothing else.

        Nearly all are such, and whole; the first frame that is not ends it, and where is returned.
        """
        if self._earlier_bytes:
            return at
        end, longest = len(data), self._max_message_bytes - _SHORT_HEAD_BYTES
        while end - at >= _USUAL_HEAD_BYTES and data[at] == MORE:
            size = data[at + _USUAL_HEAD_BYTES - 1]
            after = at + _USUAL_HEAD_BYTES + size
            if data[at + 1] or data[at + 2] or after > end or size > longest:
                break
            payloads.append(data[at + _USUAL_HEAD_BYTES : after])
            at = after
        return at

    def _size(self, data: bytes, at: int) -> int:
        size: int = _SIZE.unpack_from(data, at)[0]
        # Whatever is beyond it is refused; what follows reckons with small numbers.
        return min(size, 1 << 60)

    def _check(self, flags: int, size: int) -> None:
        if flags & ~(MORE | LONG) and flags & ~LONG != COMMAND:
            raise ProtocolError(f"frame with unknown flags {flags:#x}")
        if flags & COMMAND:
            if size > MAX_COMMAND_BYTES:
                raise ProtocolError(f"command of {size} bytes exceeds {MAX_COMMAND_BYTES}")
        elif self._earlier_bytes + size > self._max_message_bytes:
            whole = self._earlier_bytes + size
            raise MessageTooLarge(f"message of {whole} bytes exceeds {self._max_message_bytes}")

    def _add(self, body: bytes, wire_bytes: int) -> None:
        # Also of those that are not kept: so a message of endless frames ends, too.
        self._earlier_bytes += wire_bytes
        if len(self._earlier) < MAX_FRAMES:
            self._earlier.append(body)
        else:
            self._earlier_bytes += FURTHER_FRAME_BYTES

    def _end_message(self, place: int) -> None:
        if len(self._earlier) > 1:
            # The one before the last is the delimiter.
            self.hops[place] = self._earlier[:-1]
            self._earlier = []
        else:
            if self._earlier[0]:
                # No delimiter: it leads nowhere, but has no place in a message of one frame.
                self.hops[place] = []
            self._earlier.clear()
        self._earlier_bytes = 0
