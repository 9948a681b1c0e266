"""One connection to a PULL of another process: messages go out on it, and signs of life come back.

A part of the shells: gateways give jobs on such connections, workers results. Knows a socket of the
kernel's; refuses to know what is sent, when a sign of life is due, and what an end means.
"""

from __future__ import annotations

import socket
from typing import Final

from zeropool.shared import endpoints
from zeropool.shared.errors import ProtocolError
from zeropool.shared.sending import send
from zeropool.shared.sockets import socket_for
from zeropool.shared.wire import zmtp
from zeropool.shared.wire.dialer import Dialer
from zeropool.shared.wire.kinds import Kind
from zeropool.shared.wire.outgoing import Outgoing

#: What comes is a greeting and signs of life.
READ_BYTES: Final = 4096
MAX_MESSAGE_BYTES: Final = 1024
#: What the kernel is to hold of messages on ipc, where it allows so much: a batch of large results
#: then leaves at once, and waits for its reader there. By default it is 208 KiB. On tcp, the kernel
#: finds out by itself.
SEND_BUFFER_BYTES: Final = 4 * 1024 * 1024
#: Own answers that wait for a reader who asks for signs of life and takes none.
MAX_UNREAD_BYTES: Final = 64 * 1024
#: A larger frame is not copied to have its head before it.
LARGE_BYTES: Final = 64 * 1024


class Push:
    """A connection, from the first try to its end."""

    def __init__(self, sock: socket.socket, endpoint: str) -> None:
        self.sock = sock
        #: As whoever dialled it has it.
        self.endpoint = endpoint
        self.fd = sock.fileno()
        self.peer = Dialer(Kind.PUSH, MAX_MESSAGE_BYTES)
        self.outgoing = Outgoing()
        self.is_open = True
        #: Something was added since the last try to send.
        self.is_owed = False
        #: The kernel takes no more; the poll tells when it does. So it begins, until it is
        #: connected.
        self.is_full = True
        #: How often in a row `is_silent` or `is_quiet` was asked since the last sign of life.
        self.silences = 0
        #: Own answers among what waits.
        self._unread_bytes = 0
        self._speak()

    def __repr__(self) -> str:
        return f"<Push {self.endpoint} ready={self.is_ready} {self.outgoing!r}>"

    @property
    def is_ready(self) -> bool:
        """The handshake is over."""
        return self.peer.is_ready

    def receive(self) -> None:
        """Take what the other end says.

        Raises:
            BlockingIOError: nothing is there.
            OSError: the connection has ended, or could not be made.
            ProtocolError: there is no PULL at the other end, or one that reads no answers.
        """
        data = self.sock.recv(READ_BYTES)
        if not data:
            raise ConnectionResetError("the other end hung up")
        self.silences = 0
        if self.peer.receive(data):
            raise ProtocolError("the server sent a message, which no PULL does")
        self._speak()
        if self._unread_bytes > MAX_UNREAD_BYTES:
            raise ProtocolError("the server asks for signs of life and does not read them")

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
            self.silences = 0
        self.is_full = self.outgoing.held_bytes > 0
        if not self.is_full:
            self._unread_bytes = 0

    def is_silent(self, most: int) -> bool:
        """Ask for a sign of life; tell whether none has come since it was asked ``most`` times.

        Times and not seconds: after a pause of this process, the other has had no time to answer.
        """
        if not self.silences and not self.is_full:
            self.outgoing.add(zmtp.PING)
        return self.is_quiet(most)

    def is_quiet(self, most: int) -> bool:
        """As `is_silent`, where signs of life come without being asked for."""
        self.silences += 1
        return self.silences > most

    def close(self) -> None:
        """Hang up. What the kernel has not taken is lost."""
        self.is_open = False
        self.sock.close()

    def _speak(self) -> None:
        for part in self.peer.replies:
            self.outgoing.add(part)
            self._unread_bytes += len(part)
        self.peer.replies.clear()


def dial(endpoint: str) -> socket.socket:
    """A socket that is being connected to a numeric endpoint, and does not block.

    Raises:
        OSError: it cannot be, or there are no descriptors left.
    """
    sock, address = socket_for(endpoints.parse(endpoint))
    try:
        sock.setblocking(False)
        if sock.family == socket.AF_UNIX:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        else:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.connect(address)
    except BlockingIOError:
        if sock.family != socket.AF_UNIX:
            return sock
        # Too many wait to be accepted there.
        sock.close()
        raise
    except OSError:
        sock.close()
        raise
    return sock
