"""Replies that clients' connections do not take yet: bounded for each client and in all.

Knows how much waits for whom, and since when a client has taken nothing. What waits, in which
order, is each connection's own (`Outgoing`). Refuses to know sockets. No I/O, no clock.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Final

from zeropool.gateway.budget import UNREAD_PART
from zeropool.shared.wire.records import Client

#: Who reads takes something more often, over any network that is not broken.
STUCK_S: Final = 1.0


class Waiting:
    """What waits for one client."""

    __slots__ = ("behind_bytes", "held_bytes", "progress_at")

    def __init__(self, progress_at: float) -> None:
        #: When it last took something, or the first reply had to wait.
        self.progress_at = progress_at
        self.held_bytes = 0
        #: The part of it behind the reply that is on its way.
        self.behind_bytes = 0


class Unread:
    """All clients for whom something waits.

    Args:
        max_client_bytes: what may wait for one client behind the reply that is on its way.
        max_total_bytes: what the gateway may hold. Clients leave at most half of it unread; only
            one alone, whose one reply is larger, may have all.
        max_wait_s: so long a client may take nothing.
    """

    def __init__(self, *, max_client_bytes: int, max_total_bytes: int, max_wait_s: float) -> None:
        self.held_bytes = 0
        self._max_client_bytes = max_client_bytes
        self._max_total_bytes = max_total_bytes
        self._max_shared_bytes = max_total_bytes // UNREAD_PART
        self._max_wait_s = max_wait_s
        #: In the order of their last progress.
        self._waiting: OrderedDict[Client, Waiting] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def __repr__(self) -> str:
        return f"<Unread clients={len(self._waiting)} bytes={self.held_bytes}>"

    def keep(
        self, client: Client, held_bytes: int, behind_bytes: int, now: float, *, has_taken: bool
    ) -> list[Client]:
        """So much waits for a client now; return those who are given up for it, and forgotten.

        ``behind_bytes`` is the part of it behind the reply that is on its way: only that counts
        for the client's own bound, as one reply may be of any size. Over the bound for all, one
        that has taken nothing for a while is given up, or else one that reads: of several, the one
        for whom the most waits.
        """
        waiting = self._waiting.get(client)
        if waiting is None:
            if not held_bytes:
                return []
            waiting = self._waiting[client] = Waiting(progress_at=now)
        elif has_taken:
            waiting.progress_at = now
            self._waiting.move_to_end(client)
        self.held_bytes += held_bytes - waiting.held_bytes
        waiting.held_bytes = held_bytes
        waiting.behind_bytes = behind_bytes
        if not held_bytes:
            del self._waiting[client]
            return []
        given_up: list[Client] = []
        if behind_bytes > self._max_client_bytes:
            given_up.append(client)
            self.forget(client)
        while self.held_bytes > self._max_shared_bytes and not self._is_one_reply():
            worst = self._worst(now)
            given_up.append(worst)
            self.forget(worst)
        return given_up

    def _is_one_reply(self) -> bool:
        """All that waits is one reply on its way, which may be larger than what many may leave."""
        if len(self._waiting) > 1 or self.held_bytes > self._max_total_bytes:
            return False
        (alone,) = self._waiting.values()
        return not alone.behind_bytes

    def _worst(self, now: float) -> Client:
        stuck = []
        for client, waiting in self._waiting.items():
            if now - waiting.progress_at < STUCK_S:
                break
            stuck.append(client)
        return max(stuck or self._waiting, key=self._bytes_of)

    def _bytes_of(self, client: Client) -> int:
        return self._waiting[client].held_bytes

    def forget(self, client: Client) -> None:
        """The client is gone."""
        waiting = self._waiting.pop(client, None)
        if waiting is not None:
            self.held_bytes -= waiting.held_bytes

    def next_deadline(self) -> float:
        """When the first client has taken nothing for too long."""
        if not self._waiting:
            return math.inf
        return next(iter(self._waiting.values())).progress_at + self._max_wait_s

    def take_overdue(self, now: float) -> list[Client]:
        """The clients that have taken nothing for too long are given up, and forgotten."""
        overdue: list[Client] = []
        while now >= self.next_deadline():
            client, waiting = self._waiting.popitem(last=False)
            self.held_bytes -= waiting.held_bytes
            overdue.append(client)
        return overdue
