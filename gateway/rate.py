"""How often something happens, of late. No I/O, no clock: times are monotonic seconds."""

from __future__ import annotations

from collections import deque
from typing import Final

#: Rates are averages over this many whole seconds.
RATE_WINDOW_S: Final = 10


class Rate:
    """Events per second over the last `RATE_WINDOW_S` seconds."""

    def __init__(self) -> None:
        #: Whole seconds that are over, and the events in each.
        self._seconds: deque[tuple[int, int]] = deque()
        #: The one that goes on, and its events.
        self._second = -1
        self._events = 0

    def count(self, now: float) -> None:
        """Take note of an event that happens now."""
        if not self._second <= now < self._second + 1:
            self._begin(int(now))
        self._events += 1

    def per_s(self, now: float) -> float:
        """The average rate."""
        self._forget(now)
        events = sum([events for _, events in self._seconds])
        if self._second > now - RATE_WINDOW_S:
            events += self._events
        return events / RATE_WINDOW_S

    def _begin(self, second: int) -> None:
        if self._events:
            self._seconds.append((self._second, self._events))
        self._second = second
        self._events = 0
        self._forget(second)

    def _forget(self, now: float) -> None:
        while self._seconds and self._seconds[0][0] <= now - RATE_WINDOW_S:
            self._seconds.popleft()
