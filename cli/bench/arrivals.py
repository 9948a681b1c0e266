"""When the calls of an open loop are due. Seconds. No clock, no chance of its own.

An open loop does not wait for answers: callers come when they come. A call counts from the time at
which it was due, so that a generator or a server that is late for one call does not hide how long
the next ones would have waited.
Source of the fault that this avoids: Tene, "How NOT to Measure Latency" (coordinated omission).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator


def steady(rate: float) -> Iterator[float]:
    """Gaps between calls that come ``rate`` times a second, evenly."""
    while True:
        yield 1.0 / rate


def poisson(rate: float, draw: Callable[[], float]) -> Iterator[float]:
    """Gaps between calls of independent callers; ``draw`` gives numbers from 0 to below 1."""
    while True:
        yield -math.log(1.0 - draw()) / rate


class Arrivals:
    """A queue of calls that come whether or not somebody takes them."""

    __slots__ = ("_gaps", "next_at")

    def __init__(self, gaps: Iterator[float], began_at: float) -> None:
        self._gaps = gaps
        #: When the next call is due.
        self.next_at = began_at + next(gaps)

    def __repr__(self) -> str:
        return f"<Arrivals next_at={self.next_at:.6f}>"

    def take(self) -> float:
        """Take the next call; return when it was due."""
        due_at = self.next_at
        self.next_at = due_at + next(self._gaps)
        return due_at
