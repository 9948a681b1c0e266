"""One connection, as ZMTP, at the end that has accepted it: whichever version the other speaks.

Knows the greetings of ZMTP 1, 2 and 3 and the NULL mechanism. Nothing is sent that a peer of an
older version would take for a message: first the signature, then, when it has shown what it speaks,
the rest. Refuses to know what a payload means, whom it is from, and who moves the bytes; the other
end is a `Dialer`. No I/O, no clock.
Source: rfc.zeromq.org/spec/23 (ZMTP 3.0), spec/15 (2.0), spec/13 (1.0); how libzmq 4.3.5 greets.
"""

from __future__ import annotations

from typing import Final

from zeropool.shared.errors import ProtocolError
from zeropool.shared.wire import zmtp
from zeropool.shared.wire.kinds import NUMBERS, Kind, may_talk, may_talk_2
from zeropool.shared.wire.old_zmtp import OldFrames, old_frame

#: A major version is there, and with it that of ZMTP 2, whose greeting has one byte more.
_VERSION_BYTES: Final = zmtp.MAJOR_AT + 1
_GREETING_2_BYTES: Final = _VERSION_BYTES + 1
_ANONYMOUS: Final = zmtp.frame(b"")


class Answerer:
    """One connection's incoming bytes. ``replies`` is what the protocol itself has to say."""

    def __init__(self, kind: Kind, max_message_bytes: int) -> None:
        #: The handshake is over: its requests count, and it may be sent replies.
        self.is_ready = False
        #: Bytes to be sent; their owner takes them off.
        self.replies: list[bytes] = [zmtp.SIGNATURE]
        self._kind = kind
        self._greeting = b""
        self._is_greeted = False
        #: The version was told it.
        self._has_answered = False
        #: In ZMTP 1 and 2 its identity comes first, like a message.
        self._owes_identity = False
        self._max_message_bytes = max_message_bytes
        self._frames = zmtp.Frames(max_message_bytes)
        self._old: OldFrames | None = None

    @property
    def held_bytes(self) -> int:
        """What is kept of what is not complete."""
        if self._old is not None:
            return self._old.held_bytes
        return len(self._greeting) + self._frames.held_bytes

    @property
    def missing_bytes(self) -> int:
        """How much more has to come, at least, before anything is complete."""
        return 0 if self._old is not None else self._frames.missing_bytes

    @property
    def hops(self) -> dict[int, list[bytes]]:
        """Of the messages that came last, those that came through devices: place and hops."""
        return self._frames.hops if self._old is None else self._old.hops

    def receive(self, data: bytes) -> list[bytes]:
        """Take bytes as they came; return the payloads of the messages that are complete.

        Raises:
            MessageTooLarge: the connection is of no more use.
            ProtocolError: the same; it speaks something else.
        """
        if not self._is_greeted:
            data = self._greet(self._greeting + data)
            if not self._is_greeted:
                return []
        if self._old is not None:
            payloads = self._old.receive(data)
        else:
            payloads = self._frames.receive(data)
            if self._frames.commands:
                for ready in self._frames.answer_commands(self.replies):
                    self._take_ready(ready)
        if self._owes_identity and payloads:
            self._owes_identity = False
            self._take_identity(payloads)
        if payloads and not self.is_ready:
            raise ProtocolError("it sent a message before it was ready")
        return payloads

    def frame(self, payload: bytes) -> bytes:
        """A message with the empty delimiter."""
        if self._old is None:
            return zmtp.frame_message(payload)
        return self.frame_through([], payload)

    def frame_through(self, hops: list[bytes], payload: bytes) -> bytes:
        """A message that goes back through devices."""
        make = zmtp.frame if self._old is None else old_frame
        before = [make(hop, zmtp.MORE) for hop in (*hops, b"")]
        return b"".join((*before, make(payload, 0)))

    # The greeting

    def _greet(self, said: bytes) -> bytes:
        """Answer a greeting as far as it has come; return what follows it when it is whole."""
        self._greeting = said
        if not said:
            return b""
        if said[0] != zmtp.SIGNATURE[0]:
            return self._greet_1(said)
        if len(said) < zmtp.SIGNATURE_BYTES:
            return b""
        if not said[zmtp.SIGNATURE_BYTES - 1] & 1:
            return self._greet_1(said)
        return self._greet_versioned(said)

    def _greet_versioned(self, said: bytes) -> bytes:
        if not self._has_answered:
            self._has_answered = True
            self.replies.append(b"%c" % zmtp.OLDEST_MAJOR)
        if len(said) < _VERSION_BYTES:
            return b""
        if said[zmtp.MAJOR_AT] < zmtp.OLDEST_MAJOR:
            return self._greet_2(said)
        if len(said) < zmtp.GREETING_BYTES:
            return b""
        mechanism = zmtp.mechanism_of(said)
        if mechanism:
            raise ProtocolError(f"it wants the security mechanism {mechanism}")
        self._end_greeting(zmtp.GREETING_END + zmtp.ready_command(self._kind.value))
        return said[zmtp.GREETING_BYTES :]

    def _greet_2(self, said: bytes) -> bytes:
        if len(said) < _GREETING_2_BYTES:
            return b""
        if not may_talk_2(self._kind, said[_VERSION_BYTES]):
            raise ProtocolError("its socket is of a type that nobody answers")
        self._owes_identity = self.is_ready = True
        self._end_greeting(b"%c%b" % (NUMBERS[self._kind], _ANONYMOUS))
        return said[_GREETING_2_BYTES:]

    def _greet_1(self, said: bytes) -> bytes:
        # It takes our signature for an anonymous identity.
        self._owes_identity = self.is_ready = True
        self._old = OldFrames(self._max_message_bytes)
        self._end_greeting(b"")
        return said

    def _end_greeting(self, answer: bytes) -> None:
        self._is_greeted = True
        self._greeting = b""
        if answer:
            self.replies.append(answer)

    def _take_identity(self, payloads: list[bytes]) -> None:
        del payloads[0]
        hops = self.hops
        if hops:
            moved = {place - 1: through for place, through in hops.items() if place}
            hops.clear()
            hops.update(moved)

    def _take_ready(self, ready: bytes) -> None:
        other = zmtp.socket_type_of(ready)
        if not may_talk(self._kind, other):
            name = other.decode("ascii", "replace") or "socket of no type"
            raise ProtocolError(f"its socket is a {name}, which nobody answers")
        self.is_ready = True
