"""The order of a rolling reload: one place after the other, in each the successor first.

Knows which place is at its turn, whether its successor has to become ready or its predecessor to
drain, and what a second reload and a failure mean for the rest. Refuses to know what a place or a
configuration is. No I/O, no clock, no processes. Times are monotonic seconds.
Source of the meanings: gunicorn's table of signals, HUP; unlike gunicorn, one at a time.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable


class Roll:
    """A rolling reload under way, or none."""

    def __init__(self) -> None:
        self._waiting: deque[str] = deque()
        self._place: str | None = None
        self._ready_by = math.inf
        self._is_renewed = False

    def __repr__(self) -> str:
        return f"<Roll at={self._place} waiting={len(self._waiting)}>"

    @property
    def is_active(self) -> bool:
        """Some place has not got its successor yet, or its predecessor still drains."""
        return self._place is not None or bool(self._waiting)

    def begin(self, places: Iterable[str]) -> None:
        """Roll these places, all of them, as soon as the step under way has ended."""
        self._waiting = deque(places)
        self._is_renewed = self._place is not None

    def next_place(self) -> str | None:
        """The place whose successor is to be started now."""
        if self._place is not None or not self._waiting:
            return None
        return self._waiting[0]

    def started(self, ready_by: float) -> None:
        """The next place's successor has been started; it has until ``ready_by``."""
        self._place = self._waiting.popleft()
        self._ready_by = ready_by

    def next_deadline(self) -> float:
        """When the successor under way is overdue; infinity where none is awaited."""
        return self._ready_by

    def is_overdue(self, now: float) -> bool:
        """The successor has not become ready in its time."""
        return now >= self._ready_by

    def ready(self) -> None:
        """The successor works; its predecessor is to drain."""
        self._ready_by = math.inf

    def ended(self) -> bool:
        """The step is over: the predecessor has gone. Tell whether that was the last one."""
        self._end_step()
        return not self._waiting

    def failed(self) -> bool:
        """The successor does not work, so no other is tried; tell whether the roll goes on.

        It does where a newer reload was asked for meanwhile: that one has not been tried yet.
        """
        if not self._is_renewed:
            self._waiting.clear()
        self._end_step()
        return bool(self._waiting)

    def add(self, place: str) -> None:
        """A place that came while the roll is under way takes part in it."""
        self._waiting.append(place)

    def forget(self, place: str) -> bool:
        """A place is no more. Tell whether the roll was waiting for it alone and is now over."""
        was_active = self.is_active
        if place in self._waiting:
            self._waiting.remove(place)
        if place == self._place:
            self._end_step()
        return was_active and not self.is_active

    def _end_step(self) -> None:
        self._place = None
        self._ready_by = math.inf
        self._is_renewed = False
