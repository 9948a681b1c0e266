"""A worker's connections to its gateways: one for what it has to say, and its pulse.

They decide nothing. While a model computes, nothing moves here: that the worker is alive then, the
pulse tells.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import zmq

from zeropool.shared import endpoints
from zeropool.shared.backoff import Backoff
from zeropool.shared.errors import ProtocolError
from zeropool.shared.polling import poll_timeout_ms
from zeropool.shared.push import SEND_BUFFER_BYTES, Push
from zeropool.shared.sockets import peer_endpoint, reason_of
from zeropool.workers.pulse import Pulse

RECONNECT_S: Final = 0.05
LONGEST_RECONNECT_S: Final = 1.0
HANDSHAKE_TIMEOUT_S: Final = 5.0
#: The same for a pulse, where somebody has just answered. It is not tried again within that time.
PULSE_TIMEOUT_S: Final = 1.0
#: libzmq ends within milliseconds; that it waited for ever has been seen, once in some thousand
#: ends of connections that were ending at the other side, too.
TERM_TIMEOUT_S: Final = 1.0
#: A gateway's host that is frozen or cut off is noticed when so many are not answered. Without,
#: what is sent into a network that forgot the connection waits for TCP to give up: a quarter of an
#: hour. Longer than the gateway's own, which is for redispatching.
PING_INTERVAL_S: Final = 1.0
MOST_PINGS: Final = 5
#: A gateway that takes no more has so long to go on before the next batch, which may take any time.
MAX_WAIT_S: Final = 0.25
#: At the end, a gateway that has taken everything has so long to hang up.
FAREWELL_S: Final = 0.25

_READABLE: Final = select.EPOLLIN
_WRITABLE: Final = select.EPOLLOUT
_BOTH: Final = _READABLE | _WRITABLE
_EVENTFD_BYTES: Final = 8
_NEVER: Final = math.inf


class GatewayLink:
    """The way to one gateway: a connection, or the next try to make one."""

    def __init__(self, number: int, endpoint: str) -> None:
        self.number = number
        self.endpoint = endpoint
        self.push: Push | None = None
        #: There as long as the connection is.
        self.pulse: Pulse | None = None
        #: When to connect, while there is no connection; never while that is tried.
        self.connect_at = -math.inf
        #: It was waited for in vain, and has not taken everything since.
        self.is_slow = False
        #: Why the last try made no connection.
        self.failure = ""
        self.backoff = Backoff(RECONNECT_S, LONGEST_RECONNECT_S)

    def failed(self, reason: str, now: float) -> None:
        """There is no connection yet: it is tried again later."""
        self.failure = reason
        self.connect_at = now + self.backoff.next_s()

    def __repr__(self) -> str:
        return f"<GatewayLink {self.endpoint} {self.push!r}>"


class GatewayLinks:
    """The ways to all gateways, numbered as they are given. Times are monotonic seconds."""

    def __init__(self, gateways: Sequence[str], worker_id: str) -> None:
        self._worker_id = worker_id
        self._links = [GatewayLink(number, endpoint) for number, endpoint in enumerate(gateways)]
        self._by_fd: dict[int, GatewayLink] = {}
        #: Those that take no more at the moment.
        self._blocked: set[GatewayLink] = set()
        #: Numbers of those that went down since they were last taken.
        self._went_down: list[int] = []
        #: What became of tries: a connection that is ready, or why there is none.
        self._made: deque[tuple[GatewayLink, tuple[Push, Pulse] | str]] = deque()
        #: Whoever tries may come to an end when nobody wants to know any more.
        self._lock = threading.Lock()
        self._is_closed = False
        self._ping_at = -math.inf

    def open(self, epoll: select.epoll) -> None:
        """Begin; the first `tick` connects."""
        self._context = zmq.Context()
        self._epoll = select.epoll()
        self._epoll_fd = self._epoll.fileno()
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wake_fd, _READABLE)
        epoll.register(self._epoll_fd, _READABLE)

    def fileno(self) -> int:
        """The descriptor that becomes readable when `step` has something to do."""
        return self._epoll_fd

    @property
    def is_blocked(self) -> bool:
        """Something waits until a gateway takes more."""
        return bool(self._blocked)

    def step(self, now: float) -> list[int]:
        """Take what has happened; return the numbers of those that have come up."""
        came_up: list[int] = []
        for fd, events in self._epoll.poll(0):
            link = self._by_fd.get(fd)
            if link is None:
                if fd == self._wake_fd:
                    os.read(fd, _EVENTFD_BYTES)
                continue
            push = link.push
            if push is not None and events & ~_WRITABLE:
                self._hear(link, push, now)
            if link.push is not None and events & _WRITABLE:
                self._send_on(link, link.push, now)
        while self._made:
            link, made = self._made.popleft()
            if isinstance(made, str):
                link.failed(made, now)
                continue
            push, pulse = made
            try:
                self._epoll.register(push.fd, _READABLE)
            except OSError as error:
                # This user's share of watches is used up.
                _hang_up(made)
                link.failed(f"epoll: {error.strerror}", now)
                continue
            link.backoff.reset()
            link.failure = ""
            link.push, link.pulse = push, pulse
            self._by_fd[push.fd] = link
            came_up.append(link.number)
        return came_up

    def failure(self, endpoint: str) -> str:
        """Why there is no connection to a gateway; empty where there is one."""
        return next((link.failure for link in self._links if link.endpoint == endpoint), "")

    def take_ends(self) -> list[int]:
        """The numbers of those whose connections have ended since the last time."""
        went_down, self._went_down = self._went_down, []
        return went_down

    def next_deadline(self) -> float:
        """When `tick` has something to do."""
        deadline = _NEVER
        for link in self._links:
            push = link.push
            deadline = min(deadline, link.connect_at if push is None else self._ping_at)
        return deadline

    def tick(self, now: float) -> None:
        """Do what is due by now."""
        is_time_to_ping = now >= self._ping_at
        if is_time_to_ping:
            self._ping_at = now + PING_INTERVAL_S
        for link in self._links:
            push = link.push
            if push is None:
                if now >= link.connect_at:
                    self._connect(link, now)
            elif is_time_to_ping:
                if push.is_silent(MOST_PINGS) or not (link.pulse and link.pulse.is_beating):
                    self._lose(link, push, now)
                elif not push.is_full:
                    self._send_on(link, push, now)

    def send(self, number: int, message: bytes, now: float) -> bool:
        """Send a message; tell whether there is a connection to send it on."""
        link = self._links[number]
        push = link.push
        if push is None:
            return False
        push.add(message)
        if not push.is_full:
            self._send_on(link, push, now)
        return link.push is not None

    def wait(self, clock: Callable[[], float]) -> None:
        """Give gateways that take no more some time to go on, unless they had it before."""
        for link in list(self._blocked):
            push = link.push
            if push is None or link.is_slow:
                continue
            held_bytes = push.outgoing.held_bytes
            self._send_until(link, push, clock() + MAX_WAIT_S, clock)
            link.is_slow = push.is_full and push.outgoing.held_bytes == held_bytes

    def close(self, until: float, clock: Callable[[], float]) -> None:
        """Hang up, when gateways have taken what was sent, or have had until then."""
        for link in self._links:
            push = link.push
            if push is None:
                continue
            self._send_until(link, push, until, clock)
            if link.push is not None:
                _say_farewell(push.sock, min(until, clock() + FAREWELL_S), clock)
                push.close()
            if link.pulse is not None:
                link.pulse.close()
        with self._lock:
            self._is_closed = True
            self._epoll.close()
            os.close(self._wake_fd)
        for _, made in self._made:
            _hang_up(made)
        # Whoever still tries to make a pulse, is told so.
        ending = threading.Thread(target=self._context.term, daemon=True)
        # Without a thread for it, the end of the process has to do.
        with contextlib.suppress(RuntimeError):
            ending.start()
            ending.join(TERM_TIMEOUT_S)

    def _send_until(
        self, link: GatewayLink, push: Push, until: float, clock: Callable[[], float]
    ) -> None:
        poll = select.poll()
        poll.register(push.fd, select.POLLOUT)
        while link.push is push and push.is_full and (now := clock()) < until:
            poll.poll(poll_timeout_ms(until, now))
            self._send_on(link, push, clock())

    def _send_on(self, link: GatewayLink, push: Push, now: float) -> None:
        was_full = push.is_full
        try:
            push.send()
        except OSError:
            self._lose(link, push, now)
            return
        if push.is_full == was_full:
            return
        self._epoll.modify(push.fd, _BOTH if push.is_full else _READABLE)
        if push.is_full:
            self._blocked.add(link)
        else:
            self._blocked.discard(link)
            link.is_slow = False

    def _hear(self, link: GatewayLink, push: Push, now: float) -> None:
        try:
            push.receive()
        except BlockingIOError:
            return
        except (OSError, ProtocolError):
            self._lose(link, push, now)
            return
        if push.outgoing.held_bytes and not push.is_full:
            self._send_on(link, push, now)

    # Connections

    def _connect(self, link: GatewayLink, now: float) -> None:
        # A handshake takes several turns, and a name may take seconds to look up: the one would
        # wait for batches, and batches for the other.
        thread = threading.Thread(target=self._try, args=(link,), daemon=True)
        link.connect_at = math.inf
        try:
            thread.start()
        except RuntimeError as error:
            # The system has no more threads for us at the moment.
            link.failed(str(error), now)

    def _try(self, link: GatewayLink) -> None:
        # In a thread of its own.
        made: tuple[Push, Pulse] | str
        try:
            made = self._connected(link.endpoint)
        except (OSError, ValueError, ProtocolError) as error:
            # Nobody is there, or no gateway, or the name is none.
            made = reason_of(error)
        with self._lock:
            if not self._is_closed:
                self._made.append((link, made))
                os.eventfd_write(self._wake_fd, 1)
                return
        _hang_up(made)

    def _connected(self, endpoint: str) -> tuple[Push, Pulse]:
        push = connected(endpoint)
        try:
            # A name is not looked up again; of a path, the gateway's own spelling may mean nothing
            # here.
            is_path = push.sock.family == socket.AF_UNIX
            peer = endpoint if is_path else peer_endpoint(push.sock)
            return push, Pulse(self._context, peer, self._worker_id, PULSE_TIMEOUT_S)
        except OSError:
            push.close()
            raise

    def _lose(self, link: GatewayLink, push: Push, now: float) -> None:
        """The connection is gone, and all that was not sent with it."""
        self._epoll.unregister(push.fd)
        del self._by_fd[push.fd]
        self._blocked.discard(link)
        push.close()
        if link.pulse is not None:
            link.pulse.close()
        link.push = link.pulse = None
        self._went_down.append(link.number)
        link.is_slow = False
        link.connect_at = now + link.backoff.next_s()


def connected(endpoint: str) -> Push:
    """A connection that is ready, and whose socket does not block from here on.

    Raises:
        OSError: there is none, or not in time.
        ProtocolError: no gateway is there.
        ValueError: the host is no name.
    """
    parsed = endpoints.parse(endpoint)
    if isinstance(parsed, endpoints.Ipc):
        sock = socket.socket(socket.AF_UNIX)
    else:
        sock = socket.create_connection((parsed.host, parsed.port), HANDSHAKE_TIMEOUT_S)
    try:
        sock.settimeout(HANDSHAKE_TIMEOUT_S)
        if isinstance(parsed, endpoints.Ipc):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            sock.connect(parsed.path)
        else:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        push = Push(sock, endpoint)
        while not push.is_ready:
            push.send()
            push.receive()
        push.send()
        sock.setblocking(False)
    except (OSError, ProtocolError):
        sock.close()
        raise
    return push


def _hang_up(made: tuple[Push, Pulse] | str) -> None:
    if not isinstance(made, str):
        for connection in made:
            connection.close()


def _say_farewell(sock: socket.socket, until: float, clock: Callable[[], float]) -> None:
    """Say that nothing more comes, and wait for the other end to hang up.

    To close a socket in which something lies unread may cost what the peer has not read either.
    """
    try:
        sock.shutdown(socket.SHUT_WR)
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        while (now := clock()) < until:
            if poll.poll(poll_timeout_ms(until, now)) and not sock.recv(1024):
                return
    except OSError:
        # It has hung up in its own way.
        pass
