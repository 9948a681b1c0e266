"""Threads that wait, and who wakes whom.

Those that have news are not woken all at once, as they would only queue for the interpreter: each
that wakes wakes the next one before it goes its way. The last one tells the crew so, which then
sends in one go what the others have asked for meanwhile.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Any, Protocol


class Owner(Protocol):
    """Who is told, by the thread that leads and holds the lock."""

    def tell(self, awaited: Any) -> None:  # noqa: ANN401 - each owner knows what it owns
        """There is news."""


class Hopeful(Protocol):
    """For whom a thread leads."""

    @property
    def has_news(self) -> bool:
        """It need not go on."""


class Awaited(Hopeful, Protocol):
    """What a thread waits for. Its `owner` is told of the next news, once."""

    owner: Owner | None


class Seat:
    """A thread that waits and does not lead."""

    __slots__ = ("_seats", "is_leader", "lock", "other")

    def __init__(self, seats: Seats, other: Owner | None) -> None:
        self.lock = threading.Lock()
        self.lock.acquire()
        self.is_leader = False
        #: Who is to be told, too, of the same news.
        self.other = other
        self._seats = seats

    def tell(self, awaited: Awaited) -> None:
        """There is news."""
        self._seats.rise(self)
        if self.other is not None:
            self.other.tell(awaited)


class Seats:
    """All waiting threads of one client. Whoever calls holds its lock, but for `pass_on`."""

    def __init__(self) -> None:
        self._waiting: dict[Seat, None] = {}
        self._rising: deque[Seat] = deque()
        #: A thread was woken that will wake the next one.
        self.is_rising = False

    def __len__(self) -> int:
        return len(self._waiting)

    def take(self, other: Owner | None) -> Seat:
        """A seat for a thread that is about to wait."""
        seat = Seat(self, other)
        self._waiting[seat] = None
        return seat

    def rise(self, seat: Seat) -> None:
        """Have this thread woken, unless it is gone or was woken."""
        if seat in self._waiting:
            del self._waiting[seat]
            self._rising.append(seat)

    def appoint(self) -> bool:
        """Wake somebody to lead; False if nobody waits."""
        if not self._waiting:
            return False
        seat = next(iter(self._waiting))
        del self._waiting[seat]
        seat.is_leader = True
        seat.lock.release()
        return True

    def wake(self) -> None:
        """Wake the first that has news, unless the others are being woken already."""
        if self._rising and not self.is_rising:
            self.is_rising = True
            self._rising.popleft().lock.release()

    def pass_on(self) -> bool:
        """Wake the next one; False if there is none. Called without the lock by who was woken."""
        try:
            seat = self._rising.popleft()
        except IndexError:
            return False
        seat.lock.release()
        return True

    def leave(self, seat: Seat) -> bool:
        """A thread stops waiting by itself; True if it was woken all the same, to pass it on."""
        if seat in self._waiting:
            del self._waiting[seat]
            return False
        if seat in self._rising:
            self._rising.remove(seat)
            return False
        return not seat.is_leader
