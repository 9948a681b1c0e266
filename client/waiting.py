"""Calls that wait for a server, in order and within bounds. No I/O, no clock."""

from __future__ import annotations

from typing import Final

from zeropool.client.call import Call
from zeropool.shared.errors import Overloaded

#: Whoever makes more calls than this, while no server is there, had better know.
MAX_WAITING_CALLS: Final = 10_000
#: Of requests that no server has taken, on each connection and before there is one.
MAX_UNSENT_BYTES: Final = 64 * 1024 * 1024
#: What is told to who comes when it is full: the longest wait between tries to connect.
RETRY_AFTER_S: Final = 1.0


class Waiting:
    """Calls without a server, oldest first."""

    def __init__(self, max_bytes: int = MAX_UNSENT_BYTES) -> None:
        # A set that keeps its order.
        self._calls: dict[Call, None] = {}
        self._bytes = 0
        self._max_bytes = max_bytes

    def __len__(self) -> int:
        return len(self._calls)

    def __contains__(self, call: Call) -> bool:
        return call in self._calls

    def __repr__(self) -> str:
        return f"<Waiting calls={len(self._calls)} bytes={self._bytes}>"

    @property
    def calls(self) -> list[Call]:
        """All of them."""
        return list(self._calls)

    def add(self, call: Call) -> None:
        """One more; see `check_room`."""
        self._calls[call] = None
        self._bytes += len(call.args)

    def remove(self, call: Call) -> None:
        """It waits no more."""
        del self._calls[call]
        self._bytes -= len(call.args)

    def take(self) -> list[Call]:
        """Take all of them out."""
        calls = list(self._calls)
        self._calls.clear()
        self._bytes = 0
        return calls

    def check_room(self, call: Call) -> None:
        """Make sure that this call may wait here.

        Raises:
            Overloaded: it may not. One call alone may be as large as it likes.
        """
        if len(self._calls) >= MAX_WAITING_CALLS:
            raise self._refusal(self._bytes)
        self.check_room_behind(call, self._bytes)

    def check_room_behind(self, call: Call, held_bytes: int) -> None:
        """Make sure that this call may wait behind so many bytes, of a connection's.

        Raises:
            Overloaded: as `check_room`.
        """
        if held_bytes and held_bytes + len(call.args) > self._max_bytes:
            raise self._refusal(held_bytes)

    def _refusal(self, held_bytes: int) -> Overloaded:
        return Overloaded(
            f"{len(self._calls)} calls and {held_bytes} bytes wait for a server to take them; "
            f"retry_after_s={RETRY_AFTER_S:.2f}"
        )
