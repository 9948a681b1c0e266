"""Threads that wait, and who wakes whom.

Those that have news are not woken all at once, as they would only queue for the interpreter: each
that wakes wakes the next one before it goes its way. The last one tells the crew so, which then
sends in one go what the others have asked for meanwhile.
"""

from __future__ import annotations

import threading
from collections import deque

from zeropool.client.awaited import Listener, Owner


class Seat(Listener):
    """A thread that waits and does not lead."""

    __slots__ = ("_seats", "is_leader", "lock")

    def __init__(self, seats: Seats, other: Owner | None) -> None:
        super().__init__(other)
        self.lock = threading.Lock()
        self.lock.acquire()
        self.is_leader = False
        self._seats = seats

    def hear(self) -> None:
        """There is news."""
        self._seats.rise(self)


class Seats:
    """All waiting threads of one client. Whoever calls holds its lock, but for `pass_on`."""

    def __init__(self) -> None:
        self._waiting: dict[Seat, None] = {}
        self._rising: deque[Seat] = deque()
        #: Which nobody has, and nobody tells: making a lock takes as long as waking a thread.
        self._free: list[Seat] = []
        #: A thread was woken that will wake the next one.
        self.is_rising = False

    def __len__(self) -> int:
        return len(self._waiting)

    def take(self, other: Owner | None) -> Seat:
        """A seat for a thread that is about to wait."""
        if self._free:
            seat = self._free.pop()
            seat.other = other
        else:
            seat = Seat(self, other)
        self._waiting[seat] = None
        return seat

    def give_back(self, seat: Seat) -> None:
        """Whoever had this seat was told and is awake, so that nothing knows it any more.

        Also without the lock.
        """
        seat.other = None
        self._free.append(seat)

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
