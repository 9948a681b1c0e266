"""Virtual time: what happens next, in order, and nothing else that passes. Seconds."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from typing import Any


class Clock:
    """The one queue of all that is going to happen; equal times keep the order of their making."""

    def __init__(self) -> None:
        self.now = 0.0
        self.steps = 0
        self._due: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._serial = count()

    def at(self, when: float, action: Callable[..., None], *args: object) -> None:
        """Have something happen; what is past happens next."""
        heapq.heappush(self._due, (when, next(self._serial), action, args))

    def after(self, span_s: float, action: Callable[..., None], *args: object) -> None:
        """Have something happen in a while."""
        heapq.heappush(self._due, (self.now + span_s, next(self._serial), action, args))

    def run(self, until: float, *, stop: Callable[[], bool] = lambda: False) -> None:
        """Let time pass up to ``until``, or until ``stop``."""
        due = self._due
        while due and due[0][0] <= until and not stop():
            when, _, action, args = heapq.heappop(due)
            self.now = max(self.now, when)
            self.steps += 1
            action(*args)
        if not stop():
            self.now = max(self.now, until)


class Alarm:
    """One timer that its owner sets again after every step, as a shell does with its poll."""

    def __init__(self, clock: Clock, ring: Callable[[], None]) -> None:
        self._clock = clock
        self._ring = ring
        self._at = float("inf")

    def set(self, when: float) -> None:
        """Ring at ``when``, unless it rings before that anyway; too early harms nobody."""
        if when < self._at:
            self._at = when
            self._clock.at(when, self._due)

    def _due(self) -> None:
        if self._clock.now < self._at:
            return
        self._at = float("inf")
        self._ring()
