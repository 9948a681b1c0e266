"""One connection that somebody made: its socket, what it says and what it is to be told."""

from __future__ import annotations

import socket
from typing import Final

from zeropool.shared.wire.answerer import Answerer
from zeropool.shared.wire.outgoing import Outgoing
from zeropool.shared.wire.records import Client, Route

#: What one read brings at first: some forty usual requests. With 64 KiB, 256 calls in flight moved
#: through gateway and workers as one block; with 8 KiB, requests of 10 kB came in pieces, and cost
#: twice as much.
READ_BYTES: Final = 8 * 1024
#: And at most. Below what malloc maps on its own: the few bytes that a slow peer sends would keep a
#: page each.
LARGE_READ_BYTES: Final = 120 * 1024
#: Requests that one read should bring, if so many are there.
FEW_REQUESTS, MANY_REQUESTS = 16, 64


class Caller:
    """A client, or a worker, from its connection to its end."""

    __slots__ = (
        "address",
        "client",
        "fd",
        "has_hops",
        "is_full",
        "is_open",
        "is_owed",
        "outgoing",
        "peer",
        "read_bytes",
        "route",
        "silent_until",
        "sock",
    )

    def __init__(
        self, sock: socket.socket, client: Client, address: str, peer: Answerer, silent_until: float
    ) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.client = client
        #: The route of what came by no device.
        self.route: Route = (client,)
        #: Of the other host; empty for a peer of this machine that has none.
        self.address = address
        self.peer = peer
        #: Until when it may leave the handshake unfinished.
        self.silent_until = silent_until
        self.outgoing = Outgoing()
        self.is_open = True
        #: Something was added to what it is to be told since the last try to send it.
        self.is_owed = False
        #: The kernel takes no more for it; the poll tells when it does.
        self.is_full = False
        #: What one read brings at most; a client of larger requests gets more.
        self.read_bytes = READ_BYTES
        #: Some of its calls came through devices.
        self.has_hops = False

    @property
    def next_read_bytes(self) -> int:
        """How much to read: what is missing of a large message, or so many requests."""
        missing_bytes = self.peer.missing_bytes
        if missing_bytes <= self.read_bytes:
            return self.read_bytes
        return min(missing_bytes, LARGE_READ_BYTES)

    def has_read(self, size_bytes: int, requests: int) -> None:
        """A read brought so much; learn how much the next one should."""
        if size_bytes < self.read_bytes:
            return
        if requests < FEW_REQUESTS:
            self.read_bytes = min(2 * self.read_bytes, LARGE_READ_BYTES)
        elif requests > MANY_REQUESTS:
            self.read_bytes = max(self.read_bytes // 2, READ_BYTES)

    def __repr__(self) -> str:
        return f"<Caller {self.client.hex()} address={self.address} {self.outgoing!r}>"
