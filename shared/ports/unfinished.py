"""What the peers of a port have sent of messages that are not complete: bounded in all. No I/O.

Each message has its own bound, where it is read; here is that of a thousand connections which all
begin a large one.
"""

from __future__ import annotations

from zeropool.shared.wire.records import Client


class Unfinished:
    """The bytes that are held for each peer, which has its number as a client does."""

    def __init__(self, max_total_bytes: int) -> None:
        self.held_bytes = 0
        self._max_total_bytes = max_total_bytes
        self._by_client: dict[Client, int] = {}

    def __repr__(self) -> str:
        return f"<Unfinished clients={len(self._by_client)} bytes={self.held_bytes}>"

    def keep(self, client: Client, size_bytes: int) -> Client | None:
        """So much is held for a peer now; return whom to hang up on where all is too much."""
        self.held_bytes += size_bytes - self._by_client.get(client, 0)
        if size_bytes:
            self._by_client[client] = size_bytes
        else:
            self._by_client.pop(client, None)
        if self.held_bytes <= self._max_total_bytes:
            return None
        return max(self._by_client, key=self._bytes_of)

    def _bytes_of(self, client: Client) -> int:
        return self._by_client[client]

    def forget(self, client: Client) -> None:
        """The peer is gone."""
        self.held_bytes -= self._by_client.pop(client, 0)
