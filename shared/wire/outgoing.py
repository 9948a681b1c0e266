"""What is to be sent on one connection: in order, and as few system calls as it takes. No I/O."""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import Final

#: What is joined before it is sent: copying it costs less than naming each part to the kernel.
MAX_JOINED_BYTES: Final = 64 * 1024
#: Parts that are sent at once; the kernel takes up to 1,024.
MAX_PARTS: Final = 64


class Outgoing:
    """Bytes that wait for one connection, in messages."""

    __slots__ = ("_messages", "_sent_of_first", "held_bytes")

    def __init__(self) -> None:
        self.held_bytes = 0
        self._messages: deque[bytes] = deque()
        self._sent_of_first = 0

    def __repr__(self) -> str:
        return f"<Outgoing messages={len(self._messages)} bytes={self.held_bytes}>"

    @property
    def behind_bytes(self) -> int:
        """What waits behind the message that is on its way."""
        if not self._messages:
            return 0
        return self.held_bytes - (len(self._messages[0]) - self._sent_of_first)

    def add(self, message: bytes) -> None:
        """Put a message at the end."""
        self._messages.append(message)
        self.held_bytes += len(message)

    def parts(self) -> list[bytes | memoryview]:
        """What to send next, as one or several buffers; `took` is to be told how much went."""
        messages = self._messages
        first: bytes | memoryview = messages[0]
        if self._sent_of_first:
            # A large message goes in many pieces; to copy its rest for each would take for ever.
            first = memoryview(messages[0])[self._sent_of_first :]
        if len(messages) == 1:
            return [first]
        parts: list[bytes | memoryview] = [first]
        if self.held_bytes > MAX_JOINED_BYTES:
            parts += islice(messages, 1, MAX_PARTS)
            return parts
        parts += islice(messages, 1, None)
        joined = b"".join(parts)
        messages.clear()
        messages.append(joined)
        self._sent_of_first = 0
        return [joined]

    def took(self, sent_bytes: int) -> None:
        """So much of what `parts` gave is on its way."""
        self.held_bytes -= sent_bytes
        sent_bytes += self._sent_of_first
        messages = self._messages
        while messages and sent_bytes >= len(messages[0]):
            sent_bytes -= len(messages.popleft())
        self._sent_of_first = sent_bytes
