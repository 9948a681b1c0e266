"""How many of many calls are in flight, and in which order their results are given out.

No I/O, no clock. A call counts from its beginning until its result is taken, so that neither a slow
call at the front nor a slow reader makes results pile up.
"""

from __future__ import annotations

import enum
from collections import deque


class Order(enum.Enum):
    """When a result is given out."""

    #: After those of all calls that began before it.
    INPUT = "input"
    #: As soon as it is there.
    ARRIVAL = "arrival"


class Window:
    """Calls by their number from 0, and their results.

    Args:
        size: most calls that have begun and whose results are not taken.
        order: of the results.
    """

    def __init__(self, size: int, order: Order) -> None:
        if size < 1:
            raise ValueError(f"a window of {size} calls: expected 1 or more")
        self._size = size
        self._order = order
        self._begun = 0
        self._taken = 0
        self._results: dict[int, object] = {}
        self._arrived: deque[int] = deque()

    def __repr__(self) -> str:
        return f"<Window {self._taken} of {self._begun} taken, {len(self._results)} waiting>"

    @property
    def has_room(self) -> bool:
        """One more call may begin."""
        return self._begun - self._taken < self._size

    @property
    def is_empty(self) -> bool:
        """The results of all calls that began are taken."""
        return self._begun == self._taken

    def begin(self) -> int:
        """One more call begins; return its number."""
        self._begun += 1
        return self._begun - 1

    def end(self, number: int, result: object) -> None:
        """There is a call's result."""
        self._results[number] = result
        if self._order is Order.ARRIVAL:
            self._arrived.append(number)

    def take(self) -> list[tuple[int, object]]:
        """The results that may be given out now, with their numbers."""
        taken: list[tuple[int, object]] = []
        if self._order is Order.ARRIVAL:
            while self._arrived:
                number = self._arrived.popleft()
                taken.append((number, self._results.pop(number)))
        else:
            while self._taken + len(taken) in self._results:
                number = self._taken + len(taken)
                taken.append((number, self._results.pop(number)))
        self._taken += len(taken)
        return taken
