"""The sockets of a client: one for each link, and a descriptor that wakes who polls them.

Carries bytes and says what happened; the core decides. Only one thread at a time may `poll`,
`receive` and `sweep`; `send` and `wake` are for any thread, all else for who holds the crew's lock.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import math
import os
import select
import socket
import threading
from collections import deque
from typing import Final

from zeropool.client.link import Link
from zeropool.client.servers import HANDSHAKE_S
from zeropool.shared.endpoints import Tcp, parse
from zeropool.shared.polling import poll_timeout_ms
from zeropool.shared.sockets import socket_for

#: What one read takes, and what it takes once that did not suffice.
READ_BYTES: Final = 64 * 1024
LARGE_READ_BYTES: Final = 1024 * 1024
#: Most reads of one socket before others, and the heartbeats, have their turn.
MAX_READS: Final = 64
# As Python's own `int`: a flag of an enumeration is converted in each call.
_NO_WAITING: Final = int(socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
#: What `connect_ex` says of a connection that is being made.
_UNDER_WAY: Final = frozenset({errno.EINPROGRESS, errno.EINTR})
_EVENTFD_BYTES: Final = 8


class Arrival:
    """What a read has brought.

    Args:
        end: why nothing more will come; empty while it may.
        has_more: more may lie there now.
    """

    __slots__ = ("data", "end", "has_more", "wire")

    def __init__(self, wire: Wire, data: bytes, end: str, *, has_more: bool) -> None:
        self.wire = wire
        self.data = data
        self.end = end
        self.has_more = has_more


class Wire:
    """The socket of one link."""

    __slots__ = ("is_connected", "is_sending", "link", "parcel", "rest", "socket")

    def __init__(self, link: Link, made: socket.socket, *, is_connected: bool) -> None:
        self.link = link
        self.socket = made
        self.is_connected = is_connected
        #: A thread is about to send, and takes along what others add meanwhile.
        self.is_sending = False
        #: And this is what it sends first.
        self.parcel = b""
        #: Bytes that the socket has not taken yet.
        self.rest = memoryview(b"")

    @property
    def is_due(self) -> bool:
        """The link has something to say, and nobody sends it yet."""
        if self.is_sending or not self.is_connected or not self.link.has_outgoing:
            return False
        return not self.rest

    def receive(self) -> Arrival:
        """Read what lies there."""
        pieces: list[bytes] = []
        size = READ_BYTES
        end = ""
        for _ in range(MAX_READS):
            try:
                piece = self.socket.recv(size, _NO_WAITING)
            except BlockingIOError:
                break
            except OSError as error:
                end = _reason(error)
                break
            if not piece:
                end = "the server has closed the connection"
                break
            if len(piece) < size and not pieces:
                # The usual case: one piece, which needs no joining.
                return Arrival(self, piece, "", has_more=False)
            pieces.append(piece)
            if len(piece) < size:
                break
            size = LARGE_READ_BYTES
        else:
            return Arrival(self, b"".join(pieces), "", has_more=True)
        return Arrival(self, b"".join(pieces), end, has_more=False)

    def send(self, data: bytes) -> None:
        """Send, or keep what does not go; an end of the connection is told by `receive`."""
        try:
            sent = self.socket.send(data, _NO_WAITING)
        except BlockingIOError:
            sent = 0
        except OSError:
            return
        if sent < len(data):
            self.rest = memoryview(data)[sent:]

    def send_rest(self) -> None:
        """Go on with what did not go; an end of the connection is told by `receive`."""
        with contextlib.suppress(OSError):
            sent = self.socket.send(self.rest, _NO_WAITING)
            self.rest = self.rest[sent:]

    def connection_error(self) -> str:
        """Why the connection was not made; empty if it was."""
        code = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            return os.strerror(code)
        return "nobody listens there" if _is_own_echo(self.socket) else ""


class Wires:
    """All sockets of one client."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll.register(self._wake_fd, select.POLLIN)
        #: Each connection, also those that are being made. Another list each time that they change,
        #: so that whoever goes through it needs no copy.
        self.all: list[Wire] = []
        self._by_link: dict[Link, Wire] = {}
        self._by_fd: dict[int, Wire] = {}
        self._discarded: list[socket.socket] = []
        #: What became of names: the link, and a connected socket or why there is none.
        self._found: deque[tuple[Link, socket.socket | OSError]] = deque()

    def __repr__(self) -> str:
        return f"<Wires sockets={len(self._by_fd)}>"

    @property
    def is_blocked(self) -> bool:
        """A server takes less than it is sent."""
        return any(wire.rest for wire in self._by_link.values())

    def connect(self, link: Link) -> str:
        """Begin to connect; return why that is impossible, or nothing."""
        address = parse(link.endpoint)
        if isinstance(address, Tcp) and not _is_numeric(address.host):
            # Looking a name up may take seconds, which are nobody else's.
            threading.Thread(
                target=self._look_up, args=(link, address), name="zeropool-lookup", daemon=True
            ).start()
            return ""
        try:
            made, where = socket_for(address)
        except OSError as error:
            return _reason(error)
        made.setblocking(False)
        code = made.connect_ex(where)
        if code and code not in _UNDER_WAY:
            made.close()
            return os.strerror(code)
        self._add(Wire(link, made, is_connected=False))
        return ""

    def _look_up(self, link: Link, address: Tcp) -> None:
        found: socket.socket | OSError
        try:
            found = socket.create_connection((address.host, address.port), HANDSHAKE_S)
        except OSError as error:
            found = error
        except UnicodeError:
            found = OSError(errno.EINVAL, "the host is no name")
        self._found.append((link, found))
        self.wake()

    @property
    def has_found(self) -> bool:
        """A name was looked up."""
        return bool(self._found)

    def take_found(self) -> list[tuple[Link, str]]:
        """What became of links with names: the link, and why there is no connection, or nothing."""
        told = []
        while self._found:
            link, found = self._found.popleft()
            if isinstance(found, OSError):
                told.append((link, _reason(found)))
                continue
            found.setblocking(False)
            self._add(Wire(link, found, is_connected=True))
            told.append((link, ""))
        return told

    def _add(self, wire: Wire) -> None:
        if wire.socket.family != socket.AF_UNIX:
            wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._by_link[wire.link] = wire
        self.all = list(self._by_link.values())
        self._by_fd[wire.socket.fileno()] = wire
        self.watch(wire)

    def watch(self, wire: Wire) -> None:
        """Poll for what this wire waits for."""
        wants_out = wire.rest or not wire.is_connected
        self._poll.register(wire.socket, select.POLLIN | (select.POLLOUT if wants_out else 0))

    def wire(self, link: Link) -> Wire | None:
        """The link's socket; None where there is none."""
        return self._by_link.get(link)

    def disconnect(self, link: Link) -> None:
        """End a connection; as somebody may be polling it, its descriptor lives on to `sweep`."""
        wire = self._by_link.pop(link, None)
        if wire is None:
            return
        self.all = list(self._by_link.values())
        del self._by_fd[wire.socket.fileno()]
        self._poll.unregister(wire.socket)
        with contextlib.suppress(OSError):
            wire.socket.shutdown(socket.SHUT_RDWR)
        self._discarded.append(wire.socket)

    def sweep(self) -> None:
        """Close what was disconnected; nobody polls now."""
        while self._discarded:
            self._discarded.pop().close()

    def poll(self, until: float, now: float) -> list[Wire]:
        """Wait until then for something to do; return the wires that have it."""
        timeout_ms = None if until == math.inf else poll_timeout_ms(until, now)
        ready = []
        for fd, _ in self._poll.poll(timeout_ms):
            wire = self._by_fd.get(fd)
            if wire is not None:
                ready.append(wire)
            elif fd == self._wake_fd:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake_fd, _EVENTFD_BYTES)
        return ready

    def wake(self) -> None:
        """Make `poll` return."""
        with contextlib.suppress(OSError):
            os.eventfd_write(self._wake_fd, 1)

    def close(self) -> None:
        """Close everything; nobody polls now. Other processes' copies of a socket live on."""
        for wire in self._by_link.values():
            wire.socket.close()
        self._by_link.clear()
        self.all = []
        self._by_fd.clear()
        self.sweep()
        if self._wake_fd >= 0:
            os.close(self._wake_fd)
            self._wake_fd = -1


def _is_numeric(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_own_echo(made: socket.socket) -> bool:
    # Where nobody listens on a port of the range that clients are given, it may be our own.
    try:
        return made.family != socket.AF_UNIX and made.getsockname() == made.getpeername()
    except OSError:
        return False


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__
