"""A peer that speaks ZMTP 3.0 by hand, so that it can break off anywhere and send without end.

Source: rfc.zeromq.org/spec/23, greeting and NULL mechanism.
"""

import contextlib
import select
import socket
import struct
import threading
from typing import Self

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
COMMAND, MORE, LAST = b"\x04", b"\x01", b"\x00"
WAIT_S = 20.0
CHUNK_BYTES = 256 * 1024


def open_socket(endpoint: str) -> socket.socket:
    """A connection on which nothing was said yet."""
    scheme, _, rest = endpoint.partition("://")
    if scheme == "ipc":
        peer = socket.socket(socket.AF_UNIX)
        peer.connect(rest)
    else:
        host, _, port = rest.rpartition(":")
        peer = socket.create_connection((host, int(port)))
    peer.settimeout(WAIT_S)
    return peer


def is_closed(peer: socket.socket) -> bool:
    """The other end has hung up."""
    try:
        while select.select([peer], [], [], 0)[0]:
            if not peer.recv(4096):
                return True
    except OSError:
        return True
    return False


def frame(body: bytes, flag: bytes = MORE) -> bytes:
    """One frame; ``flag`` says whether others follow."""
    if len(body) < 256:
        return flag + bytes([len(body)]) + body
    return bytes([flag[0] | 2]) + struct.pack(">Q", len(body)) + body


class ZmtpPeer:
    """A connected peer of some socket type, past its handshake."""

    def __init__(self, endpoint: str, kind: str = "DEALER") -> None:
        self.socket = open_socket(endpoint)
        self.socket.sendall(GREETING)
        self._receive(len(GREETING))
        body = b"\x05READY\x0bSocket-Type" + struct.pack(">I", len(kind)) + kind.encode()
        self.socket.sendall(frame(body, COMMAND))
        _, size = self._receive(2)
        self._receive(size)
        self._flood: threading.Thread | None = None
        self._is_over = threading.Event()
        self.sent_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        if self._flood is not None:
            self._flood.join(WAIT_S)
        self.socket.close()

    def send(self, *frames: bytes) -> None:
        self.socket.sendall(b"".join(frames))

    def flood(self, repeated: bytes) -> None:
        """Send the same bytes again and again, in a thread, until the other end hangs up."""
        chunk = repeated * max(1, CHUNK_BYTES // len(repeated))

        def send() -> None:
            with contextlib.suppress(OSError):
                while not self._is_over.is_set():
                    self.socket.sendall(chunk)
                    self.sent_bytes += len(chunk)

        self._flood = threading.Thread(target=send, daemon=True)
        self._flood.start()

    def is_cut_off(self) -> bool:
        """The other end has hung up. A sender hears of it late, when the way out is full."""
        return is_closed(self.socket)

    def receive_to_the_end(self) -> bytes:
        """Everything that the other end sends before it hangs up."""
        received = b""
        while part := self.socket.recv(CHUNK_BYTES):
            received += part
        return received

    def _receive(self, size: int) -> bytes:
        received = b""
        while len(received) < size:
            part = self.socket.recv(size - len(received))
            if not part:
                raise ConnectionError("the other end hung up during the handshake")
            received += part
        return received
