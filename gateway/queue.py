"""The calls of one model that wait for a worker, and what is known of the model's pace.

No I/O, no clock. A call is in the queue at most once; one that ends while it waits leaves the
count at once and the queue when it is met.
"""

from __future__ import annotations

from collections import deque

from zeropool.gateway.calls import Call
from zeropool.gateway.fleet import MAX_BACKLOG_S
from zeropool.gateway.tally import Tally
from zeropool.shared.model import ModelInfo

#: What is kept of the sums of time and rows at each batch. Their quotient is the pace: a batch
#: counts by its rows, so that small ones, which cost more for each, do not hide what large ones do.
PACE_MEMORY = 0.8
#: Ended calls that may lie in the queue before it is swept; sweeping is then cheap per call.
MAX_ENDED = 64
MIN_RETRY_AFTER_S = 0.05
MAX_RETRY_AFTER_S = 30.0


class CallQueue:
    """First in, first out, but a call over many rows goes to the end after each task it gave."""

    def __init__(self, info: ModelInfo) -> None:
        self.info = info
        self.waiting = 0
        self.tally = Tally()
        #: Average seconds of a worker's time for one row; None before the first result.
        self.row_s: float | None = None
        self._busy_s = 0.0
        self._busy_rows = 0.0
        self._calls: deque[Call] = deque()

    def __repr__(self) -> str:
        return f"<CallQueue {self.info.qualified_name} waiting={self.waiting} row_s={self.row_s}>"

    @property
    def is_full(self) -> bool:
        """No further call is to be accepted."""
        return self.waiting >= self.info.max_queue

    def append(self, call: Call) -> None:
        """Put a call at the end."""
        if self._enter(call):
            self._calls.append(call)

    def prepend(self, call: Call) -> None:
        """Put a call whose task came back at the front."""
        if self._enter(call):
            self._calls.appendleft(call)

    def pop(self) -> Call | None:
        """Take the first call that has work."""
        while self._calls:
            call = self._calls.popleft()
            if not call.is_queued:
                continue
            self._leave(call)
            if call.has_work:
                return call
        return None

    def ended(self, call: Call) -> None:
        """A call is over; if it waits here, it does not count any more."""
        if not call.is_queued:
            return
        self._leave(call)
        if len(self._calls) > 2 * self.waiting + MAX_ENDED:
            self._calls = deque(call for call in self._calls if call.is_queued)

    def observe(self, rows: int, busy_s: float) -> None:
        """A worker took ``busy_s`` for ``rows`` rows."""
        self.tally.batch_rows.observe(rows)
        self.tally.batch_s.observe(busy_s)
        self._busy_s = PACE_MEMORY * self._busy_s + busy_s
        self._busy_rows = PACE_MEMORY * self._busy_rows + rows
        self.row_s = self._busy_s / self._busy_rows

    def cost_s(self, rows: int) -> float:
        """What a task is expected to cost its worker; before any result, all that it may hold."""
        return MAX_BACKLOG_S if self.row_s is None else self.row_s * rows

    def retry_after_s(self, workers: int) -> float:
        """When a refused caller may find room, at the present pace."""
        if self.row_s is None:
            return 1.0
        wait_s = self.waiting * self.row_s / max(workers, 1)
        return min(max(wait_s, MIN_RETRY_AFTER_S), MAX_RETRY_AFTER_S)

    def check_invariants(self) -> None:
        """The count is that of the calls in the queue, each of which is there once."""
        queued = [call for call in self._calls if call.is_queued]
        if len(queued) != self.waiting or len({id(call) for call in queued}) != len(queued):
            raise RuntimeError(f"{self!r}: {len(queued)} calls are in the queue")

    def _enter(self, call: Call) -> bool:
        if call.is_queued:
            return False
        call.is_queued = True
        self.waiting += 1
        return True

    def _leave(self, call: Call) -> None:
        call.is_queued = False
        self.waiting -= 1
