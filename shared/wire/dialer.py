"""One connection, as ZMTP, at the end that has made it: greeting and handshake. No I/O, no clock.

Refuses to know what a message means, and who moves the bytes; frames are `shared.wire.zmtp`'s, and
the other end is an `Answerer`.
Source: rfc.zeromq.org/spec/23 (ZMTP 3.0).
"""

from __future__ import annotations

from zeropool.shared.errors import ProtocolError
from zeropool.shared.wire import zmtp
from zeropool.shared.wire.kinds import Kind, may_talk


class Dialer:
    """One connection's incoming bytes. ``replies`` is what the protocol itself has to say."""

    def __init__(self, kind: Kind, max_message_bytes: int) -> None:
        #: The peer may be sent messages.
        self.is_ready = False
        #: Frames to be sent; its owner takes them off.
        self.replies: list[bytes] = [zmtp.GREETING]
        self._kind = kind
        self._is_greeted = False
        self._greeting = b""
        self._frames = zmtp.Frames(max_message_bytes)

    def receive(self, data: bytes) -> list[bytes]:
        """Take bytes as they came; return the last frames of the messages that are complete.

        Raises:
            ProtocolError: the peer speaks something else; the connection is of no more use.
        """
        if not self._is_greeted:
            data = self._greeting + data
            if len(data) < zmtp.GREETING_BYTES:
                self._check_signature(data)
                self._greeting = data
                return []
            self._greet(data[: zmtp.GREETING_BYTES])
            data = data[zmtp.GREETING_BYTES :]
        payloads = self._frames.receive(data)
        if self._frames.commands:
            for ready in self._frames.answer_commands(self.replies):
                self._take_ready(ready)
        if payloads and not self.is_ready:
            raise ProtocolError("the server sent a message before it was ready")
        return payloads

    def _check_signature(self, data: bytes) -> None:
        is_whole = len(data) >= zmtp.SIGNATURE_BYTES
        if data[:1] not in (b"", b"\xff") or (is_whole and data[9] != zmtp.SIGNATURE[9]):
            raise ProtocolError("the server does not speak ZMTP")

    def _greet(self, greeting: bytes) -> None:
        self._check_signature(greeting)
        major = greeting[zmtp.MAJOR_AT]
        if major < zmtp.OLDEST_MAJOR:
            raise ProtocolError(f"the server speaks ZMTP {major}, which is too old")
        mechanism = zmtp.mechanism_of(greeting)
        if mechanism:
            raise ProtocolError(f"the server wants the security mechanism {mechanism}")
        self._is_greeted = True
        self._greeting = b""
        self.replies.append(zmtp.ready_command(self._kind.value))

    def _take_ready(self, ready: bytes) -> None:
        other = zmtp.socket_type_of(ready)
        # Some servers do not tell; what they are shows when they answer.
        if other and not may_talk(self._kind, other):
            name = other.decode("ascii", "replace")
            raise ProtocolError(f"the server is a {name}, with which no {self._kind.name} can talk")
        self.is_ready = True
