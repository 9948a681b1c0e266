"""Replies that a client's full connection does not take yet, bounded for each client.

No I/O, no clock. As long as anything waits for a client, everything later waits behind it.
"""

from __future__ import annotations

from collections import deque

from zeropool.shared.wire.channel import Route

#: How long to leave a full connection alone: libzmq does not tell which one has room again.
RETRY_INTERVAL_S = 0.001


class Unread:
    """The waiting replies of all clients."""

    def __init__(self, max_bytes_per_client: int) -> None:
        self._max_bytes = max_bytes_per_client
        self._replies: dict[Route, deque[bytes]] = {}
        self._bytes: dict[Route, int] = {}

    def __bool__(self) -> bool:
        return bool(self._replies)

    def __repr__(self) -> str:
        return f"<Unread clients={len(self._replies)} bytes={sum(self._bytes.values())}>"

    def routes(self) -> list[Route]:
        """The clients for whom something waits."""
        return list(self._replies)

    def holds(self, route: Route) -> bool:
        """Something waits for this client."""
        return route in self._replies

    def add(self, route: Route, payload: bytes) -> bool:
        """Keep a reply; False, and all is forgotten, if the client reads far too slowly."""
        size_bytes = self._bytes.get(route, 0) + len(payload)
        if size_bytes > self._max_bytes:
            self.forget(route)
            return False
        self._replies.setdefault(route, deque()).append(payload)
        self._bytes[route] = size_bytes
        return True

    def first(self, route: Route) -> bytes | None:
        """The oldest reply for a client."""
        replies = self._replies.get(route)
        return replies[0] if replies else None

    def sent(self, route: Route) -> None:
        """The oldest reply for a client is on its way."""
        replies = self._replies[route]
        self._bytes[route] -= len(replies.popleft())
        if not replies:
            self.forget(route)

    def forget(self, route: Route) -> None:
        """The client is gone."""
        self._replies.pop(route, None)
        self._bytes.pop(route, None)
