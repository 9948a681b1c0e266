"""The calls of one model that wait for a worker, fair between clients, and the model's pace.

No I/O, no clock. Each client has a line of its own, first in, first out; the lines take turns by
the rows that they were given, so that a client with a thousand calls waits for itself and not the
others for it. A turn is a few rows where rows are cheap: the calls of one client then travel and
come back together, one read and one write instead of one for each. Who has had less than a turn
does not wait for the turns of those who have had more. A call is in the queue at most once; one
that ends while it waits leaves the counts at once and its line when it is met.
Source of the turns: start-time fair queueing (Goyal, Vin and Cheng, 1996), with rows for bytes; of
their length: the quantum of deficit round robin (Shreedhar and Varghese, 1995); of who gives way in
a full queue: longest queue drop (Suter, Lakshman, Stiliadis, Choudhury, 1998).
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from itertools import count
from typing import Final

from zeropool.gateway.calls import Call, Unary
from zeropool.gateway.fleet import MAX_BACKLOG_S
from zeropool.gateway.tally import Tally
from zeropool.shared.config import MAX_ROWS, MAX_SPAN_S
from zeropool.shared.model import ModelInfo
from zeropool.shared.wire.records import Client

#: What is kept of the sums of time and rows at each batch. Their quotient is the pace: a batch
#: counts by its rows, so that small ones, which cost more for each, do not hide what large ones do.
PACE_MEMORY: Final = 0.8
#: How much longer the shortest batch that is remembered seems with each one that came after it.
SHORTEST_GROWTH: Final = 1.01
#: Ended calls that may lie in a line before it is swept; sweeping is then cheap per call.
MAX_ENDED: Final = 64
#: Lines without calls that are kept beside as many as have some: their clients, if they come back
#: soon, may have had more than their turn.
MAX_IDLE_LINES: Final = 64
#: A turn is as many rows as are worth this much of a worker's time, but one at least. It is no more
#: than what is packed for one worker (`placement.PACK_S`).
TURN_S: Final = 0.001
#: And no more than this: most clients have a few calls in flight at most, and those who have many
#: have the better part of what a write and a read cost spared with these.
MAX_TURN_ROWS: Final = 8.0
# Bound once: what other packages define is looked up each time.
_MAX_ROWS: Final[int] = MAX_ROWS
_MAX_BUSY_S: Final[float] = MAX_SPAN_S
#: More entries than a queue has ever had.
_BEFORE_ALL: Final = 1 << 60
MIN_RETRY_AFTER_S: Final = 0.05
MAX_RETRY_AFTER_S: Final = 30.0


class Line:
    """The waiting calls of one client."""

    __slots__ = ("began_at", "calls", "client", "ends_at", "is_listed", "turn_at", "waiting")

    def __init__(self, client: Client) -> None:
        self.client = client
        self.calls: deque[Call] = deque()
        self.waiting = 0
        #: The rows that it was given, on the queue's own scale.
        self.turn_at = -math.inf
        #: The same when its turn began, which is its place among the lines, and when that ends.
        self.began_at = -math.inf
        self.ends_at = -math.inf
        #: It is in the heap of turns.
        self.is_listed = False

    def __repr__(self) -> str:
        return f"<Line waiting={self.waiting} began_at={self.began_at} turn_at={self.turn_at}>"

    def begin_turn(self, turn_at: float, rows: float) -> None:
        """The next turn begins at this place, and is so many rows."""
        self.turn_at = self.began_at = turn_at
        self.ends_at = turn_at + rows

    def newest(self) -> Call | None:
        """The call that came last, of those of which nothing has been given to a worker."""
        for call in reversed(self.calls):
            if call.is_queued and not call.has_begun:
                return call
        return None

    def sweep(self) -> None:
        """Let go of calls that have ended."""
        if len(self.calls) > 2 * self.waiting + MAX_ENDED:
            self.calls = deque(call for call in self.calls if call.is_queued)


class CallQueue:
    """The lines of all clients that want one model."""

    def __init__(self, info: ModelInfo) -> None:
        self.waiting = 0
        self.tally = Tally()
        #: Average seconds of a worker's time for one row; None before the first result.
        self.row_s: float | None = None
        #: What the shortest batch of late took a worker, which is no less than what any batch costs
        #: however few its rows are.
        self.shortest_s = math.inf
        #: Seconds of workers' time that the model has had; its place among the models.
        self.used_s = 0.0
        self._busy_s = 0.0
        self._busy_rows = 0.0
        self._lines: dict[Client, Line] = {}
        #: Lines in the order of their turns: place, order of listing, line. A line's turn may be
        #: over, or its own place later than its entry says; it is put right when it comes up.
        self._turns: list[tuple[float, int, Line]] = []
        self._order = count()
        #: Lines with a waiting call.
        self._active = 0
        #: The latest place of those that were served: where a newcomer begins.
        self._turn_at = 0.0
        #: Rows of one turn.
        self._turn_rows = 1.0
        self.learn(info)

    def learn(self, info: ModelInfo) -> None:
        """The model is this, from now on."""
        # Asked for again and again, and what is decoded costs more to read.
        self.name = info.qualified_name
        self.batches = info.batches
        self.max_batch_size = info.max_batch_size
        self.max_queue = info.max_queue
        self.max_wait_s = info.max_wait_s
        self.retry_safe = info.retry_safe
        self.timeout_s = info.timeout_s

    def __repr__(self) -> str:
        return (
            f"<CallQueue {self.name} waiting={self.waiting} "
            f"clients={self._active} row_s={self.row_s}>"
        )

    # Who may come in

    @property
    def is_full(self) -> bool:
        """A further call needs somebody else's place."""
        return self.waiting >= self.max_queue

    def has_place_for(self, client: Client) -> bool:
        """Tell whether a further call of this client would be taken in."""
        return not self.is_full or self._giving_way(client) is not None

    def give_way(self, client: Client) -> Call | None:
        """The call that has to make room for one of this client's; None where there is none."""
        line = self._giving_way(client)
        return None if line is None else line.newest()

    def _giving_way(self, client: Client) -> Line | None:
        line = self._lines.get(client)
        mine = line.waiting if line else 0
        if (mine + 1) * self._active > self.max_queue:
            # It has its share; also the usual end for one that floods, found without a search.
            return None
        longest = max(self._lines.values(), key=_length)
        if longest.waiting <= mine + 1 or longest.newest() is None:
            return None
        return longest

    def append(self, call: Call) -> None:
        """Put a call at the end of its client's line."""
        line = self._enter(call)
        if line is not None:
            line.calls.append(call)

    def prepend(self, call: Call) -> None:
        """Put a call whose task came back at the front of its client's line."""
        line = self._enter(call)
        if line is not None:
            line.calls.appendleft(call)

    def has_only_unary(self) -> bool:
        """All that waits is one row for each call."""
        lines = [line for line in self._lines.values() if line.waiting]
        return all([isinstance(call, Unary) for line in lines for call in line.calls])  # noqa: C419

    # Who goes first

    def pop(self) -> Call | None:
        """Take the first call, of the client whose turn it is; it costs that client one row."""
        while (line := self._next_line()) is not None:
            call = self._take_from(line)
            if call is not None:
                line.turn_at += 1.0
                # Where nobody waits, nobody can have had more than others.
                turn_at = line.began_at if self.waiting else line.turn_at
                self._turn_at = max(self._turn_at, turn_at)
                return call
        return None

    def _next_line(self) -> Line | None:
        """The line whose turn goes on, or begins; None where nobody waits."""
        turns = self._turns
        while turns:
            began_at, _, line = turns[0]
            if not line.waiting:
                heapq.heappop(turns)
                line.is_listed = False
                continue
            if line.turn_at >= line.ends_at:
                line.begin_turn(line.turn_at, self._turn_rows)
            if began_at == line.began_at:
                return line
            heapq.heapreplace(turns, (line.began_at, next(self._order), line))
        return None

    def _take_from(self, line: Line) -> Call | None:
        """The first call of a line that has work, if there is one."""
        calls = line.calls
        while calls:
            call = calls.popleft()
            if not call.is_queued:
                continue
            call.is_queued = False
            line.waiting -= 1
            self.waiting -= 1
            if not line.waiting:
                self._active -= 1
            if call.has_work:
                return call
        return None

    def charge(self, call: Call, rows: int) -> None:
        """A task of so many rows was made of a call that was popped."""
        if rows > 1:
            self._lines[call.client].turn_at += rows - 1

    def ended(self, call: Call) -> None:
        """A call is over; if it waits here, it does not count any more."""
        if not call.is_queued:
            return
        call.is_queued = False
        line = self._lines[call.client]
        line.waiting -= 1
        self.waiting -= 1
        if not line.waiting:
            self._active -= 1
        line.sweep()

    # The pace

    def observe(self, rows: int, busy_s: float) -> bool:
        """A worker says that it took ``busy_s`` for ``rows`` rows; False if that cannot be."""
        # No model may take more, and the sums must stay finite, and such that msgpack carries them.
        if not (0 < rows <= _MAX_ROWS and 0.0 <= busy_s <= _MAX_BUSY_S):
            return False
        self.tally.batch_rows.observe(rows)
        self.tally.batch_s.observe(busy_s)
        self.used_s += busy_s
        self.shortest_s = min(busy_s, self.shortest_s * SHORTEST_GROWTH)
        self._busy_s = PACE_MEMORY * self._busy_s + busy_s
        self._busy_rows = PACE_MEMORY * self._busy_rows + rows
        self.row_s = self._busy_s / self._busy_rows
        self._turn_rows = MAX_TURN_ROWS
        if self.row_s * MAX_TURN_ROWS > TURN_S:
            self._turn_rows = max(1.0, TURN_S // self.row_s)
        return True

    def cost_s(self, rows: int) -> float:
        """What a task is expected to cost its worker; before any result, all that it may hold."""
        return MAX_BACKLOG_S if self.row_s is None else self.row_s * rows

    def wait_s(self, client: Client, workers: int) -> float:
        """How long one more call of a client would wait, at the present pace.

        Until each call in the client's own line, every other client is given as many rows, give or
        take a turn.
        """
        if self.row_s is None:
            return 0.0
        line = self._lines.get(client)
        mine = line.waiting if line else 0
        ahead = min(self.waiting, (mine + 1) * self._active)
        return ahead * self.row_s / max(workers, 1)

    def retry_after_s(self, client: Client, workers: int) -> float:
        """When a refused caller may find room, at the present pace."""
        if self.row_s is None:
            return 1.0
        return min(max(self.wait_s(client, workers), MIN_RETRY_AFTER_S), MAX_RETRY_AFTER_S)

    def check_invariants(self) -> None:
        """The counts are those of the calls in the lines, each of which is there once."""
        waiting = active = 0
        for line in self._lines.values():
            queued = [call for call in line.calls if call.is_queued]
            if len(queued) != line.waiting or len({id(call) for call in queued}) != len(queued):
                raise RuntimeError(f"{self!r}: {len(queued)} calls are in {line!r}")
            if queued and not line.is_listed:
                raise RuntimeError(f"{self!r}: {line!r} never gets its turn")
            waiting += line.waiting
            active += line.waiting > 0
        if (waiting, active) != (self.waiting, self._active):
            raise RuntimeError(f"{self!r}: {waiting} calls of {active} clients are in the queue")
        listed = [line for _, _, line in self._turns]
        if len({id(line) for line in listed}) != len(listed):
            raise RuntimeError(f"{self!r}: a line has two turns")

    # The one place where calls and lines come and go

    def _enter(self, call: Call) -> Line | None:
        if call.is_queued:
            return None
        call.is_queued = True
        client = call.client
        line = self._lines.get(client)
        if line is None:
            if len(self._lines) > 2 * self._active + MAX_IDLE_LINES:
                self._sweep()
            line = self._lines[client] = Line(client)
        if not line.waiting:
            self._active += 1
            if line.ends_at <= self._turn_at:
                # Who has had nothing for a while has no claim to all that it could have had.
                line.begin_turn(max(line.turn_at, self._turn_at), self._turn_rows)
        if not line.is_listed:
            line.is_listed = True
            heapq.heappush(self._turns, (line.began_at, self._entry_order(), line))
        line.waiting += 1
        self.waiting += 1
        return line

    def _entry_order(self) -> int:
        """Behind lines of the same place; before them where each of them may have several rows."""
        order = next(self._order)
        return order if self._turn_rows <= 1.0 else order - _BEFORE_ALL

    def _sweep(self) -> None:
        """Forget the lines without calls, and what they had more than others."""
        for line in list(self._lines.values()):
            if not line.waiting:
                del self._lines[line.client]
                line.is_listed = False
        self._turns = [entry for entry in self._turns if entry[2].is_listed]
        heapq.heapify(self._turns)


def _length(line: Line) -> int:
    return line.waiting
