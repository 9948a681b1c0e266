"""Replies that a client's full connection does not take yet: bounded for each client and in all.

No I/O, no clock. As long as anything waits for a client, everything later waits behind it. libzmq
does not tell which connection has room again, so each is tried, less and less often.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from itertools import count, islice

from zeropool.shared.wire.records import Route

#: How long to leave a full connection alone at first: a client that reads is soon done with some.
FIRST_RETRY_S = 0.001
#: And at most: a client that goes on after a stop waits no longer for its next reply.
LAST_RETRY_S = 0.1
#: Clients that are tried at a time, at 2 µs each, because something is new.
MAX_HOPEFUL = 16


class Waiting:
    """What waits for one client."""

    __slots__ = ("held_bytes", "progress_at", "replies", "retry_after_s")

    def __init__(self, progress_at: float) -> None:
        #: When it last took a reply, or the first one had to wait.
        self.progress_at = progress_at
        self.retry_after_s = FIRST_RETRY_S
        self.held_bytes = 0
        self.replies: deque[bytes] = deque()


class Unread:
    """The waiting replies of all clients."""

    def __init__(self, *, max_client_bytes: int, max_total_bytes: int, max_wait_s: float) -> None:
        self.held_bytes = 0
        self._max_client_bytes = max_client_bytes
        self._max_total_bytes = max_total_bytes
        self._max_wait_s = max_wait_s
        self._waiting: dict[Route, Waiting] = {}
        #: Bytes for each client: a connection, whatever hops it names behind it.
        self._client_bytes: dict[bytes, int] = {}
        #: When to try whom: one entry for each client, and some of those that are gone.
        self._retries: list[tuple[float, int, Route, Waiting]] = []
        self._next_number = count()
        #: Those whose connection has become full just now: who reads is soon done with some, and
        #: libzmq says so. A set that keeps its order.
        self._hopeful: dict[Route, None] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def __repr__(self) -> str:
        return f"<Unread clients={len(self._waiting)} bytes={self.held_bytes}>"

    def holds(self, route: Route) -> bool:
        """Something waits for this client."""
        return route in self._waiting

    def add(self, route: Route, payload: bytes, now: float) -> list[Route]:
        """Keep a reply; return the clients that are given up for it, and forgotten.

        A client over its own limit is given up itself; over the limit for all, those for whom the
        most waits.
        """
        waiting = self._waiting.get(route)
        if waiting is None:
            waiting = self._waiting[route] = Waiting(progress_at=now)
            self._hopeful[route] = None
            self._retry_later(route, waiting, now)
        waiting.replies.append(payload)
        self._count(route, waiting, len(payload))
        given_up = []
        if self._client_bytes.get(route[0], 0) > self._max_client_bytes:
            given_up += self._give_up(route[0])
        while self.held_bytes > self._max_total_bytes:
            given_up += self._give_up(max(self._client_bytes, key=self._client_bytes.__getitem__))
        return given_up

    def _give_up(self, client: bytes) -> list[Route]:
        routes = [route for route in self._waiting if route[0] == client]
        for route in routes:
            self.forget(route)
        return routes

    def _count(self, route: Route, waiting: Waiting, size_bytes: int) -> None:
        waiting.held_bytes += size_bytes
        self.held_bytes += size_bytes
        client_bytes = self._client_bytes.get(route[0], 0) + size_bytes
        if client_bytes:
            self._client_bytes[route[0]] = client_bytes
        else:
            self._client_bytes.pop(route[0], None)

    def next_deadline(self) -> float:
        """When a client is to be tried again. May be early, never late."""
        return self._retries[0][0] if self._retries else math.inf

    def take_due(self, now: float) -> list[Route]:
        """The clients to be tried now; each is to be followed by `sent` or `full`."""
        due = []
        while self._retries and self._retries[0][0] <= now:
            *_, route, waiting = heapq.heappop(self._retries)
            if self._waiting.get(route) is waiting:
                due.append(route)
        return due

    def hopeful(self) -> list[Route]:
        """The clients to be tried whenever there is news of the socket, some at a time."""
        return list(islice(self._hopeful, MAX_HOPEFUL)) if self._hopeful else []

    def first(self, route: Route) -> bytes | None:
        """The oldest reply for a client."""
        waiting = self._waiting.get(route)
        return waiting.replies[0] if waiting is not None else None

    def sent(self, route: Route, now: float) -> None:
        """The oldest reply for a client is on its way."""
        waiting = self._waiting[route]
        self._count(route, waiting, -len(waiting.replies.popleft()))
        waiting.progress_at = now
        waiting.retry_after_s = FIRST_RETRY_S
        self._hopeful[route] = None
        if not waiting.replies:
            self.forget(route)

    def full(self, route: Route, now: float) -> bool:
        """A client that was tried takes nothing; False, and it is forgotten, if for too long."""
        waiting = self._waiting[route]
        if now - waiting.progress_at >= self._max_wait_s:
            self.forget(route)
            return False
        if waiting.retry_after_s > FIRST_RETRY_S:
            self._hopeful.pop(route, None)
        self._retry_later(route, waiting, now)
        return True

    def forget(self, route: Route) -> None:
        """The client is gone."""
        waiting = self._waiting.pop(route, None)
        self._hopeful.pop(route, None)
        if waiting is not None:
            self._count(route, waiting, -waiting.held_bytes)

    def _retry_later(self, route: Route, waiting: Waiting, now: float) -> None:
        entry = (now + waiting.retry_after_s, next(self._next_number), route, waiting)
        heapq.heappush(self._retries, entry)
        waiting.retry_after_s = min(2 * waiting.retry_after_s, LAST_RETRY_S)
