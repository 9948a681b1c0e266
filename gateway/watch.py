"""Watches the connections of one bound socket, and shuts down those that `connections` names.

A shell: libzmq's monitor tells who came and went, the kernel how much each has sent. A connection
is shut down, never closed, as its descriptor is libzmq's. It decides nothing.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Callable, Iterator

import zmq

from zeropool.gateway.binding import bound_endpoint
from zeropool.gateway.connections import Connections, Offence
from zeropool.shared.monitor import monitor_event

#: The process's size is looked at so often while anybody is connected: 4 µs.
LOOK_INTERVAL_S = 0.1
#: What each connection has received is read so often (2 µs each), or when the process has grown.
READING_INTERVAL_S = 0.5
GROWTH_BYTES = 16 * 1024 * 1024

#: linux/tcp.h, struct tcp_info: tcpi_bytes_received, and the size up to there.
_RECEIVED_BYTES = struct.Struct("128xQ")
#: asm-generic/socket.h
_SO_COOKIE = 57
_COOKIE_BYTES = 8

#: proc(5): all pages, resident pages, …
_STATM = "/proc/self/statm"
_STATM_BYTES = 128
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

#: Frames of an overlong message that are thrown away before others get their turn: some 10 ms.
MAX_SKIPPED_FRAMES = 10_000

_NOBLOCK = int(zmq.NOBLOCK)
_ACCEPTED = int(zmq.EVENT_ACCEPTED)
_GONE = int(zmq.EVENT_DISCONNECTED) | int(zmq.EVENT_CLOSED)


class Watch:
    """The connections of one bound socket.

    ``shut_down`` hears of each connection that was shut down; ``held_bytes`` tells what the
    process knows that it holds.
    """

    def __init__(
        self,
        connections: Connections,
        shut_down: Callable[[Offence, str], None],
        held_bytes: Callable[[], int],
    ) -> None:
        self.connections = connections
        #: Descriptors from which a message was taken since the last judgement.
        self.seen: set[int] = set()
        #: The rest of an overlong message is still to be thrown away.
        self.is_skipping = False
        self._shut_down = shut_down
        self._held_bytes = held_bytes
        self._look_at = 0.0
        self._read_at = 0.0
        self._judged_resident_bytes = 0
        #: Messages that may be taken before everybody had a turn; None: nothing to judge.
        self._turns_left: int | None = None

    def open(self, context: zmq.Context[zmq.Socket[bytes]], watched: zmq.Socket[bytes]) -> None:
        """Watch a socket that is not bound yet."""
        self._watched = watched
        endpoint = f"inproc://watch-{int(watched.getsockopt(zmq.FD))}"
        watched.monitor(endpoint, _ACCEPTED | _GONE)
        self.monitor = context.socket(zmq.PAIR)
        # At a limit, libzmq's thread would wait for us while we may be waiting for it.
        self.monitor.setsockopt(zmq.RCVHWM, 0)
        self.monitor.setsockopt(zmq.LINGER, 0)
        self.monitor.connect(endpoint)
        # Kept open to be had when there are none left: identities are checked on a copy.
        self._statm = os.open(_STATM, os.O_RDONLY)
        self._spare = os.open(os.devnull, os.O_RDONLY)
        self._dev_null = os.open(os.devnull, os.O_RDONLY)

    def bound(self) -> None:
        """The socket is bound: from here on it is known what its connections look like."""
        scheme, _, rest = bound_endpoint(self._watched).partition("://")
        self._local: int | str = int(rest.rpartition(":")[2]) if scheme == "tcp" else rest

    def close(self) -> None:
        """Watch no longer."""
        self._watched.disable_monitor()
        self.monitor.close()
        for fd in (self._statm, self._spare, self._dev_null):
            os.close(fd)

    def next_deadline(self) -> float:
        """When `tick` has something to do."""
        return self._look_at if len(self.connections) else float("inf")

    # Who comes and goes

    def take_events(self) -> None:
        """Take note of who came and went since the last call; who is too many has to go."""
        with contextlib.suppress(zmq.Again):
            while True:
                head, _ = self.monitor.recv_multipart(_NOBLOCK)
                event, fd = monitor_event(head)
                if event == _ACCEPTED:
                    self._opened(fd)
                else:
                    self.connections.closed(fd)

    def _opened(self, fd: int) -> None:
        found = self._identify(fd)
        if found is None:
            # It is gone already; the monitor is about to say so.
            return
        cookie, address = found
        offence = self.connections.opened(fd, cookie, address)
        if offence is not None:
            self._shut(fd, cookie, address, offence)

    def _identify(self, fd: int) -> tuple[bytes, str] | None:
        """Cookie and peer's address of a connection to the watched socket."""
        try:
            with _borrowed(fd) as sock:
                here, peer = sock.getsockname(), sock.getpeername()
                cookie = sock.getsockopt(socket.SOL_SOCKET, _SO_COOKIE, _COOKIE_BYTES)
        except OSError:
            return None
        is_tcp = isinstance(here, tuple)
        if (here[1] if is_tcp else here) != self._local:
            return None
        return cookie, peer[0] if is_tcp else ""

    def skip_message(self) -> bool:
        """Throw the rest of a message away; False if more is left than may be at a time.

        libzmq gives no other message before the last frame of this one was taken. Its sender is
        left alone: it may be gone, and its descriptor somebody else's.
        """
        self.is_skipping = True
        for _ in range(MAX_SKIPPED_FRAMES):
            if not self._watched.recv(_NOBLOCK, copy=False).more:
                self.is_skipping = False
                return True
        return False

    def _shut(self, fd: int, cookie: bytes, peer: str, offence: Offence) -> None:
        """Shut a connection down, and no other that has got its descriptor since."""
        try:
            os.dup2(fd, self._spare)
            try:
                with _borrowed(self._spare) as sock:
                    if sock.getsockopt(socket.SOL_SOCKET, _SO_COOKIE, _COOKIE_BYTES) != cookie:
                        return
                    sock.shutdown(socket.SHUT_RDWR)
            finally:
                os.dup2(self._dev_null, self._spare)
        except OSError:
            # The peer was faster.
            return
        self._shut_down(offence, peer)

    # Who sends without end

    def tick(self, now: float) -> None:
        """Look at the process, and take a reading where that is due."""
        if now < self._look_at or not len(self.connections):
            return
        self._look_at = now + LOOK_INTERVAL_S
        has_grown = self._resident_bytes() - self._judged_resident_bytes > GROWTH_BYTES
        if now < self._read_at and not has_grown:
            return
        self._read_at = now + READING_INTERVAL_S
        if isinstance(self._local, int):
            # Of other connections than tcp, the kernel keeps no count.
            self.connections.read(_received_bytes(self.connections.descriptors()))
        self._turns_left = len(self.connections)

    def _resident_bytes(self) -> int:
        return int(os.pread(self._statm, _STATM_BYTES, 0).split()[1]) * _PAGE_BYTES

    def took(self, messages: int) -> None:
        """So many messages were taken, and more may be there."""
        if self._turns_left is not None:
            self._turns_left -= messages
            if self._turns_left < 0:
                self.took_all()

    def took_all(self) -> None:
        """Nothing is left in the watched socket: now it shows who has finished no message."""
        if self._turns_left is None:
            return
        self._turns_left = None
        self._judged_resident_bytes = self._resident_bytes()
        unknown_bytes = self._judged_resident_bytes - self._held_bytes()
        for connection, offence in self.connections.judge(self.seen, unknown_bytes):
            self._shut(connection.fd, connection.cookie, connection.origin, offence)
        self.seen.clear()


@contextlib.contextmanager
def _borrowed(fd: int) -> Iterator[socket.socket]:
    """A descriptor as a socket object, which must not close it."""
    sock = socket.socket(fileno=fd)
    try:
        yield sock
    finally:
        sock.detach()


def _received_bytes(descriptors: list[int]) -> dict[int, int]:
    """What the kernel has received on each tcp connection; it does not count those of ipc."""
    readings = {}
    for fd in descriptors:
        try:
            sock = socket.socket(socket.AF_INET6, socket.SOCK_STREAM, 0, fileno=fd)
        except OSError:
            continue
        try:
            info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _RECEIVED_BYTES.size)
            readings[fd] = _RECEIVED_BYTES.unpack(info)[0]
        except (OSError, struct.error):
            # It has just ended, or is not of TCP.
            pass
        finally:
            sock.detach()
    return readings
