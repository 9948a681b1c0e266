"""The open connections of one bound port: how many there may be, and from whom.

Knows each connection by its descriptor and its origin. Refuses to know sockets. No I/O, no clock.
"""

from __future__ import annotations

import enum
import ipaddress
from collections import Counter

#: Connections that are accepted at a time, before any of them is counted.
ACCEPT_BURST = 64

#: Whoever has one IPv6 address has 2^64 of them.
IPV6_SITE_BITS = 64


def origin_of(address: str) -> str:
    """What stands for one peer where peers are counted: an IPv4 address, or an IPv6 network."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, IPV6_SITE_BITS), strict=False))


class Offence(enum.Enum):
    """Why a connection is shut down."""

    TOO_MANY = "connection_too_many"
    TOO_MANY_OF_ONE_ADDRESS = "connection_too_many_of_one_address"
    UNFINISHED_TOO_LARGE = "unfinished_message_too_large"
    UNFINISHED_TOO_MUCH = "unfinished_messages_too_large_together"


class Connections:
    """The connections of one port. A limit of 0 for an address is none."""

    def __init__(self, *, max_connections: int, max_per_address: int) -> None:
        self._max_connections = max_connections
        self._max_per_address = max_per_address
        self._origins: dict[int, str] = {}
        self._by_origin: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._origins)

    def __repr__(self) -> str:
        return f"<Connections open={len(self)} origins={len(self._by_origin)}>"

    def opened(self, fd: int, address: str) -> Offence | None:
        """A connection was accepted; the offence, if it is to be shut down at once.

        ``address`` is empty for a peer of this machine that has none.
        """
        origin = origin_of(address)
        if len(self) >= self._max_connections:
            return Offence.TOO_MANY
        if origin and 0 < self._max_per_address <= self._by_origin[origin]:
            return Offence.TOO_MANY_OF_ONE_ADDRESS
        self._origins[fd] = origin
        self._by_origin[origin] += 1
        return None

    def closed(self, fd: int) -> None:
        """A connection is gone."""
        origin = self._origins.pop(fd, None)
        if origin is None:
            return
        self._by_origin[origin] -= 1
        if not self._by_origin[origin]:
            del self._by_origin[origin]
