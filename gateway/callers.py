"""One client's connection: its socket, what it says and what it is to be told."""

from __future__ import annotations

import socket

from zeropool.gateway.outgoing import Outgoing
from zeropool.gateway.zmtp import Peer
from zeropool.shared.wire.records import Client, Route


class Caller:
    """A client, from its connection to its end."""

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
        "route",
        "silent_until",
        "sock",
    )

    def __init__(
        self, sock: socket.socket, client: Client, address: str, peer: Peer, silent_until: float
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
        #: Some of its calls came through devices.
        self.has_hops = False

    def __repr__(self) -> str:
        return f"<Caller {self.client.hex()} address={self.address} {self.outgoing!r}>"
