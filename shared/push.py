"""One connection to a PULL of another process: messages go out on it, and signs of life come back.

A part of the shells: gateways give jobs on such connections, workers results. Knows a socket of the
kernel's; refuses to know what is sent, when a sign of life is due, and what an end means.
"""

from __future__ import annotations

import socket
from typing import Final

from zeropool.shared import endpoints
from zeropool.shared.sending import send
from zeropool.shared.wire import zmtp
from zeropool.shared.wire.dialer import Dialer
from zeropool.shared.wire.kinds import Kind
from zeropool.shared.wire.outgoing import Outgoing

#: What comes is a greeting and signs of life.
READ_BYTES: Final = 4096
MAX_MESSAGE_BYTES: Final = 1024
#: A larger frame is not copied to have its head before it.
LARGE_BYTES: Final = 64 * 1024


class Push:
    """A connection, from the first try to its end. Times are monotonic seconds."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.peer = Dialer(Kind.PUSH, MAX_MESSAGE_BYTES)
        self.outgoing = Outgoing()
        self.is_open = True
        #: Something was added since the last try to send.
        self.is_owed = False
        #: The kernel takes no more; the poll tells when it does. So it begins, until it is
        #: connected.
        self.is_full = True
        #: Since when a sign of life is awaited; None while none is.
        self.asked_at: float | None = None
        self._speak()

    def __repr__(self) -> str:
        return f"<Push ready={self.is_ready} {self.outgoing!r}>"

    @property
    def is_ready(self) -> bool:
        """The handshake is over."""
        return self.peer.is_ready

    def receive(self) -> None:
        """Take what the other end says.

        Raises:
            BlockingIOError: nothing is there.
            OSError: the connection has ended, or could not be made.
            ProtocolError: there is no PULL at the other end.
        """
        data = self.sock.recv(READ_BYTES)
        if not data:
            raise ConnectionResetError("the other end hung up")
        self.asked_at = None
        self.peer.receive(data)
        self._speak()

    def add(self, message: bytes) -> None:
        """Put a message of one frame at the end of what is to be sent."""
        if len(message) < LARGE_BYTES:
            self.outgoing.add(zmtp.frame(message))
        else:
            self.outgoing.add(zmtp.frame_head(len(message)))
            self.outgoing.add(message)

    def send(self) -> None:
        """Send as much as the connection takes.

        Raises:
            OSError: it has ended.
        """
        if send(self.sock, self.outgoing) and self.is_full:
            # Who takes something again is alive.
            self.asked_at = None
        self.is_full = self.outgoing.held_bytes > 0

    def is_silent(self, now: float, timeout_s: float) -> bool:
        """Tell whether no sign of life has come for too long; ask for one if none is awaited.

        Not to be called before what has come was taken: the reader may be late, and not the other.
        """
        if self.asked_at is not None:
            return now - self.asked_at >= timeout_s
        self.asked_at = now
        if not self.is_full:
            self.outgoing.add(zmtp.PING)
        return False

    def close(self) -> None:
        """Hang up. What the kernel has not taken is lost."""
        self.is_open = False
        self.sock.close()

    def _speak(self) -> None:
        for part in self.peer.replies:
            self.outgoing.add(part)
        self.peer.replies.clear()


def dial(endpoint: str) -> socket.socket:
    """A socket that is being connected to a numeric endpoint, and does not block.

    Raises:
        OSError: it cannot be, or there are no descriptors left.
    """
    parsed = endpoints.parse(endpoint)
    address: str | tuple[str | int | bytes, ...]
    if isinstance(parsed, endpoints.Ipc):
        family, address = socket.AF_UNIX, parsed.path
    else:
        # Numeric, so nothing is looked up.
        found = socket.getaddrinfo(
            parsed.host, parsed.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
        )
        family, address = found[0][0], found[0][4]
    sock = socket.socket(family)
    try:
        sock.setblocking(False)
        if family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.connect(address)
    except BlockingIOError:
        if family != socket.AF_UNIX:
            return sock
        # Too many wait to be accepted there.
        sock.close()
        raise
    except OSError:
        sock.close()
        raise
    return sock
