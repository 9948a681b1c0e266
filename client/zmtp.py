"""One connection to a server, as ZMTP: greeting and handshake of a DEALER. No I/O, no clock.

Refuses to know what a message means, and who moves the bytes; frames are `shared.wire.zmtp`'s.
Source: rfc.zeromq.org/spec/23 (ZMTP 3.0).
"""

from __future__ import annotations

from zeropool.shared.errors import ProtocolError
from zeropool.shared.wire import zmtp

#: What zerorpc can decode is at most 100 MiB; more than twice that is no answer of anybody.
MAX_MESSAGE_BYTES = 256 * 1024 * 1024

_READY = zmtp.ready_command(b"DEALER")


class Zmtp:
    """One connection's incoming bytes. ``replies`` is what the protocol itself has to say."""

    def __init__(self, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        #: The peer may be sent messages.
        self.is_ready = False
        #: Frames to be sent; its owner takes them off.
        self.replies: list[bytes] = [zmtp.GREETING]
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
        if self._frames.commands and self._frames.answer_commands(self.replies):
            self.is_ready = True
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
        self.replies.append(_READY)
