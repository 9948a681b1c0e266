"""How many of many calls are in flight, and in which order their results are given out.

No I/O, no clock. A call counts from its beginning until its result is taken, so that neither a slow
call at the front nor a slow reader makes results pile up.
"""

from __future__ import annotations

import enum
from typing import cast

from zeropool.client.call import Call


class Order(enum.Enum):
    """When a result is given out."""

    #: After those of all calls that began before it.
    INPUT = "input"
    #: As soon as it is there.
    ARRIVAL = "arrival"


class Window:
    """Calls that have begun, and their results.

    Args:
        size: most calls that have begun and whose results are not taken.
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"a window of {size} calls: expected 1 or more")
        self._size = size
        self._begun = 0
        self._taken = 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._taken} of {self._begun} taken>"

    @property
    def has_room(self) -> bool:
        """One more call may begin."""
        return self._begun - self._taken < self._size

    @property
    def is_empty(self) -> bool:
        """The results of all calls that began are taken."""
        return self._begun == self._taken

    @property
    def open(self) -> list[Call]:
        """Calls without a result."""
        raise NotImplementedError

    def begin(self, call: Call) -> None:
        """One more call begins."""
        raise NotImplementedError

    def holds(self, call: Call) -> bool:
        """This call has begun, and has no result."""
        raise NotImplementedError

    def end(self, call: Call, result: object) -> None:
        """There is the result of a call that it holds."""
        raise NotImplementedError

    def take(self) -> list[object]:
        """What may be given out now; see `result_in`."""
        raise NotImplementedError

    def result_in(self, taken: object) -> object:
        """The result in something that `take` gave."""
        raise NotImplementedError


class InOrder(Window):
    """Results by themselves, after those of all calls that began before."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        #: The results that are not taken; where one is missing, its call, which no result is.
        self._slots: list[object] = []

    @property
    def open(self) -> list[Call]:
        """Calls without a result."""
        return [slot for slot in self._slots if isinstance(slot, Call)]

    def begin(self, call: Call) -> None:
        """One more call begins."""
        call.number = self._begun
        self._begun += 1
        self._slots.append(call)

    def holds(self, call: Call) -> bool:
        """This call has begun, and has no result."""
        place = call.number - self._taken
        return 0 <= place < len(self._slots) and self._slots[place] is call

    def end(self, call: Call, result: object) -> None:
        """There is the result of a call that it holds."""
        self._slots[call.number - self._taken] = result

    def take(self) -> list[object]:
        """The results up to the first that is missing."""
        taken: list[object] = []
        for slot in self._slots:
            if isinstance(slot, Call):
                break
            taken.append(slot)
        del self._slots[: len(taken)]
        self._taken += len(taken)
        return taken

    def result_in(self, taken: object) -> object:
        """It is the result."""
        return taken


class AsTheyCome(Window):
    """Pairs of a call's number, from 0, and its result, as soon as it is there."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        # A set that keeps its order.
        self._open: dict[Call, None] = {}
        self._arrived: list[object] = []

    @property
    def open(self) -> list[Call]:
        """Calls without a result."""
        return list(self._open)

    def begin(self, call: Call) -> None:
        """One more call begins."""
        call.number = self._begun
        self._begun += 1
        self._open[call] = None

    def holds(self, call: Call) -> bool:
        """This call has begun, and has no result."""
        return call in self._open

    def end(self, call: Call, result: object) -> None:
        """There is the result of a call that it holds."""
        del self._open[call]
        self._arrived.append((call.number, result))

    def take(self) -> list[object]:
        """The pairs that have come since."""
        taken, self._arrived = self._arrived, []
        self._taken += len(taken)
        return taken

    def result_in(self, taken: object) -> object:
        """It is a pair."""
        pair = cast("tuple[int, object]", taken)
        return pair[1]


def window_of(size: int, order: Order) -> Window:
    """A window that gives results out in this order."""
    return InOrder(size) if order is Order.INPUT else AsTheyCome(size)
