"""Whether one more call may come in: room in its model's queue, memory, and time to answer it.

No I/O, no clock. What is refused here has cost nothing yet, and its caller hears so at once.
"""

from __future__ import annotations

from typing import Final

from zeropool.gateway.budget import CALL_BYTES, Budget
from zeropool.gateway.calls import Call
from zeropool.gateway.fleet import Fleet
from zeropool.gateway.queue import CallQueue
from zeropool.gateway.tally import Shed
from zeropool.shared.errors import Overloaded
from zeropool.shared.wire.records import Client

#: What a call may wait of the time that it has left; the rest is for computing it, and for what the
#: estimate is wrong by. With all of it, ten times too many calls with a deadline of 1 s had a fifth
#: of a pool's time spent on what came a few milliseconds too late.
WAITING_SHARE: Final = 0.9


class Admission:
    """The gate before the queues."""

    def __init__(self, fleet: Fleet, budget: Budget) -> None:
        self._fleet = fleet
        self._budget = budget

    def check(self, queue: CallQueue, client: Client, size_bytes: int, left_s: float) -> None:
        """See whether one more call of a client may be accepted.

        ``left_s`` is the time until its deadline: what cannot be answered by then is refused at
        once, so that an overloaded pool spends itself on calls that somebody still waits for.

        Raises:
            Overloaded: the queue or the memory is full, or the queue longer than its caller waits.
        """
        size_bytes += CALL_BYTES
        may_wait_s = left_s * WAITING_SHARE
        # One worker alone would need so long; only where that is too long is a closer look due.
        alone_s = queue.waiting * (queue.row_s or 0.0)
        if alone_s <= may_wait_s and not queue.is_full and self._budget.is_easy(size_bytes):
            return
        why, full = Shed.MEMORY, self._budget.refusal(client, size_bytes)
        if not full and not queue.has_place_for(client):
            raise self.no_place(queue, client)
        if not full and (wait_s := queue.wait_s(client, self._workers(queue))) > may_wait_s:
            name = queue.name
            why = Shed.DEADLINE
            full = f"{name}: a wait of {wait_s:.2f} s is too long for the {left_s:.2f} s left"
        if full:
            raise self._overloaded(why, full, queue, client)

    def no_memory(self, call: Call, queue: CallQueue) -> Overloaded:
        """What the caller hears whose results came when there was no memory left for them."""
        reason = f"results of {call.held_bytes} bytes do not fit into max_held_bytes"
        return self._overloaded(Shed.MEMORY, reason, queue, call.client)

    def no_place(self, queue: CallQueue, client: Client) -> Overloaded:
        """What a client hears that has no further place in a full queue."""
        reason = f"queue of {queue.name} holds max_queue {queue.max_queue} calls"
        return self._overloaded(Shed.QUEUE, reason, queue, client)

    def _overloaded(self, why: Shed, reason: str, queue: CallQueue, client: Client) -> Overloaded:
        queue.tally.shed[why] += 1
        after_s = queue.retry_after_s(client, self._workers(queue))
        return Overloaded(f"{reason}; retry_after_s={after_s:.2f}")

    def _workers(self, queue: CallQueue) -> int:
        return len(self._fleet.holding(queue.name))
