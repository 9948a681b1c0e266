"""Calls that came before the workers, in order of arrival: kept until one brings their method.

Knows how many there may be, and how long each will wait; their bytes stand in the budget. Refuses
to know methods, and when the wait is over. No I/O, no clock.
"""

from __future__ import annotations

import math
from typing import Final

from zeropool.gateway.budget import CALL_BYTES, Account, Budget
from zeropool.shared.errors import Overloaded
from zeropool.shared.wire.channel import Channel
from zeropool.shared.wire.requested import Requested

#: As many as may wait for one model by default: here, nobody knows the models' own limits.
MAX_CALLS: Final = 10_000
#: Workers need about this long to load their models.
RETRY_AFTER_S: Final = 1.0


def due_at(request: Requested) -> float:
    """When the caller's own time is over; it counts from the arrival of the call."""
    timeout_s = request.event.timeout_s
    return math.inf if timeout_s is None else request.channel.pulse.since + timeout_s


def _size_bytes(request: Requested) -> int:
    return request.event.args_bytes + CALL_BYTES


class Lobby:
    """The waiting calls."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._requests: dict[Channel, Requested] = {}
        self._accounts: dict[Channel, Account] = {}
        #: When the first call may run out of time. May be early, never late.
        self._due_at = math.inf

    def __len__(self) -> int:
        return len(self._requests)

    def __repr__(self) -> str:
        return f"<Lobby calls={len(self)}>"

    @property
    def held_bytes(self) -> int:
        """What the waiting calls hold."""
        return sum(map(_size_bytes, self._requests.values()))

    def add(self, request: Requested) -> None:
        """Let a call wait.

        Raises:
            Overloaded: too many calls or bytes wait.
        """
        client = request.channel.client
        size_bytes = _size_bytes(request)
        if len(self) >= MAX_CALLS:
            full = f"{MAX_CALLS} calls wait for the first workers"
        else:
            full = self._budget.refusal(client, size_bytes)
        if full:
            raise Overloaded(f"{full}; retry_after_s={RETRY_AFTER_S:.2f}")
        self._requests[request.channel] = request
        self._accounts[request.channel] = self._budget.take(client, size_bytes)
        self._due_at = min(self._due_at, due_at(request))

    def remove(self, channel: Channel) -> None:
        """The caller is gone."""
        request = self._requests.pop(channel, None)
        if request is not None:
            self._budget.change(self._accounts.pop(channel), -_size_bytes(request))

    def take_all(self) -> list[Requested]:
        """Everybody leaves."""
        requests = list(self._requests.values())
        for request in requests:
            self.remove(request.channel)
        self._due_at = math.inf
        return requests

    def next_deadline(self) -> float:
        """When the first call may run out of time."""
        return self._due_at

    def take_overdue(self, now: float) -> list[Requested]:
        """The calls whose callers' time is over leave."""
        if now < self._due_at:
            return []
        overdue = [request for request in self._requests.values() if due_at(request) <= now]
        for request in overdue:
            self.remove(request.channel)
        self._due_at = min(map(due_at, self._requests.values()), default=math.inf)
        return overdue
