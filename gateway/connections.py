"""The open connections of one bound port: how many there may be, and which one sends without end.

Knows each connection by its descriptor, its origin and, on the workers' port, the bytes that the
kernel has received on it (on the clients' port every byte is counted where it is read). libzmq
hands over whole messages only, and bounds neither their frames nor an unfinished one: a peer that
never finishes would fill the memory unseen. So whoever has received more than a message may have,
and of whom no message has arrived meanwhile, is to be shut down. An empty frame takes 2 bytes on
the wire and 64 in memory; what such a peer holds shows in the memory of the process. Refuses to
know sockets. No I/O, no clock.

A reading tells nothing until all messages that were complete when it was taken have been taken from
the port: so the shell calls `read` first, and `judge` when the port was empty or every peer had its
turn.
"""

from __future__ import annotations

import enum
import ipaddress
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

MIB = 1024 * 1024

#: The gateway's own files and sockets, with room for those that wait in libzmq to be closed.
OWN_DESCRIPTORS = 64
#: A worker has a PUSH socket, its monitor, and a connection each way.
DESCRIPTORS_PER_WORKER = 5
#: Connections that wait to be accepted, or that libzmq accepts before the shell hears of them.
ACCEPT_BURST = 256
#: An idle connection was measured at 2 KiB of memory, beside the kernel's; a busy one holds more.
MOST_CONNECTIONS = 10_000

#: The kernel's buffer for what libzmq has not read (net.ipv4.tcp_rmem has 6 MiB), and handshakes.
KERNEL_BYTES = 8 * MIB
#: Growth of the process, beyond what it knows it holds, for which unfinished messages are blamed.
EMERGENCY_BYTES = 256 * MIB
#: Who has sent less of an unfinished message cannot be the cause: 32 times is what it costs.
MIN_BLAMED_BYTES = MIB

#: Whoever has one IPv6 address has 2^64 of them.
IPV6_SITE_BITS = 64


def most_connections(wanted: int, descriptors: int, workers: int) -> int:
    """How many clients may be connected, so that ``workers`` workers can still register.

    ``wanted`` is the configured number, 0 for as many as are reasonable.
    """
    reserved = OWN_DESCRIPTORS + ACCEPT_BURST + DESCRIPTORS_PER_WORKER * workers
    room = descriptors - min(reserved, descriptors // 2)
    return min(wanted or MOST_CONNECTIONS, room)


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
    UNFINISHED_EMERGENCY = "unfinished_message_in_emergency"


@dataclass(slots=True)
class Connection:
    """One open connection."""

    fd: int
    #: The kernel's own name for the socket, which no other gets: descriptors are used again.
    cookie: bytes
    origin: str
    #: Received, in all, at the last reading; and when its last complete message was known.
    received_bytes: int = 0
    settled_bytes: int = 0
    #: What the process held at that time, beyond what it can account for.
    settled_unknown_bytes: int = 0

    @property
    def unfinished_bytes(self) -> int:
        """Received since the last complete message."""
        return self.received_bytes - self.settled_bytes


class Connections:
    """The connections of one port. A limit of 0 for an address is none."""

    def __init__(
        self,
        *,
        max_connections: int,
        max_per_address: int,
        max_message_bytes: int,
        max_unfinished_bytes: int,
    ) -> None:
        self._max_connections = max_connections
        self._max_per_address = max_per_address
        self._max_message_bytes = max_message_bytes + KERNEL_BYTES
        self._max_unfinished_bytes = max(max_unfinished_bytes, self._max_message_bytes)
        self._by_fd: dict[int, Connection] = {}
        self._by_origin: Counter[str] = Counter()
        self._unknown_bytes = 0

    def __len__(self) -> int:
        return len(self._by_fd)

    def __repr__(self) -> str:
        return f"<Connections open={len(self)} origins={len(self._by_origin)}>"

    def descriptors(self) -> list[int]:
        """The descriptors of all connections."""
        return list(self._by_fd)

    def opened(self, fd: int, cookie: bytes, address: str) -> Offence | None:
        """A connection was accepted; the offence, if it is to be shut down at once.

        ``address`` is empty for a peer of this machine that has none.
        """
        self.closed(fd)
        origin = origin_of(address)
        if len(self) >= self._max_connections:
            return Offence.TOO_MANY
        if origin and 0 < self._max_per_address <= self._by_origin[origin]:
            return Offence.TOO_MANY_OF_ONE_ADDRESS
        self._by_fd[fd] = Connection(fd, cookie, origin, settled_unknown_bytes=self._unknown_bytes)
        self._by_origin[origin] += 1
        return None

    def closed(self, fd: int) -> None:
        """A connection is gone."""
        connection = self._by_fd.pop(fd, None)
        if connection is None:
            return
        self._by_origin[connection.origin] -= 1
        if not self._by_origin[connection.origin]:
            del self._by_origin[connection.origin]

    def read(self, received_bytes: Mapping[int, int]) -> None:
        """Take a reading: what was received so far, by descriptor."""
        for fd, size_bytes in received_bytes.items():
            connection = self._by_fd.get(fd)
            if connection is not None:
                connection.received_bytes = size_bytes

    def judge(self, seen: set[int], unknown_bytes: int) -> list[tuple[Connection, Offence]]:
        """Whom to shut down after a reading.

        ``seen`` are the descriptors from which messages were taken since the last judgement,
        ``unknown_bytes`` what the process holds beyond what it can account for.
        """
        self._unknown_bytes = unknown_bytes
        unfinished = []
        for connection in self._by_fd.values():
            if connection.fd in seen:
                connection.settled_bytes = connection.received_bytes
            if connection.unfinished_bytes == 0:
                connection.settled_unknown_bytes = unknown_bytes
            else:
                unfinished.append(connection)
        unfinished.sort(key=lambda connection: connection.unfinished_bytes, reverse=True)
        offenders = [
            (connection, Offence.UNFINISHED_TOO_LARGE)
            for connection in unfinished
            if connection.unfinished_bytes > self._max_message_bytes
        ]
        innocent = unfinished[len(offenders) :]
        return offenders + self._too_much(innocent) or self._emergency(innocent, unknown_bytes)

    def _too_much(self, unfinished: list[Connection]) -> list[tuple[Connection, Offence]]:
        total_bytes = sum(connection.unfinished_bytes for connection in unfinished)
        offenders = []
        for connection in unfinished:
            if total_bytes <= self._max_unfinished_bytes:
                break
            total_bytes -= connection.unfinished_bytes
            offenders.append((connection, Offence.UNFINISHED_TOO_MUCH))
        return offenders

    def _emergency(
        self, unfinished: list[Connection], unknown_bytes: int
    ) -> list[tuple[Connection, Offence]]:
        # One at a time, the largest first: the next look tells whether it was the cause.
        total_bytes = sum(connection.unfinished_bytes for connection in unfinished)
        for connection in unfinished:
            if connection.unfinished_bytes < MIN_BLAMED_BYTES:
                break
            grown_bytes = unknown_bytes - connection.settled_unknown_bytes
            if grown_bytes - total_bytes > EMERGENCY_BYTES:
                return [(connection, Offence.UNFINISHED_EMERGENCY)]
        return []
