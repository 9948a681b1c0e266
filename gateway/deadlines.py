"""When to look at which call: a heap of their deadlines. No I/O, no clock.

One entry for each call: deadlines move, to later only, and an entry with its call when it is met.
Source of the idea: nsqd, in_flight_pqueue.go.
"""

from __future__ import annotations

import math
from heapq import heapify, heappop, heappush
from typing import Final

from zeropool.gateway.calls import Call

#: Entries of ended calls that may lie in the heap before it is swept.
MAX_ENDED: Final = 64


class Deadlines:
    """The open calls, the one first whose time may run out first. Monotonic seconds."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Call]] = []

    def __len__(self) -> int:
        """Entries, those of ended calls included."""
        return len(self._heap)

    def __repr__(self) -> str:
        return f"<Deadlines entries={len(self)}>"

    def add(self, call: Call, order: int, now: float) -> None:
        """Watch a call; ``order`` tells it from all others."""
        heappush(self._heap, (call.check_at(now), order, call))

    def next_deadline(self) -> float:
        """When the first call may run out of time. May be early, never late."""
        return self._heap[0][0] if self._heap else math.inf

    def pop_overdue(self, now: float) -> Call | None:
        """The next open call whose time is over, which is then watched no longer."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            _, order, call = heappop(heap)
            if call.is_over:
                continue
            if call.deadline_at <= now:
                return call
            self.add(call, order, now)
        return None

    def ended(self, open_calls: int) -> None:
        """A call has ended, and so many are open: let go of those that have, once they are many."""
        if len(self) > 2 * open_calls + MAX_ENDED:
            self._heap = [entry for entry in self._heap if not entry[2].is_over]
            heapify(self._heap)
