"""A bare ZeroMQ peer on a plain socket, for load generators: frames out, payloads in.

libzmq brings a second thread, and hand-overs to it: with it, a load took as much of the machine
for a call as libzmq's proxy, which it is to measure. Sources: ZMTP 3.1 (RFC 37), NULL mechanism;
ZeroRPC's framing from zerorpc-python 0.6.3.
"""

from __future__ import annotations

import socket
import struct

#: Signature, version 3.1, mechanism NULL, no server, filler.
_GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"NULL".ljust(20, b"\0") + b"\0" + bytes(31)
_READY = b"\x05READY" + b"\x0bSocket-Type\x00\x00\x00\x06DEALER"
_READY_FRAME = b"\x04" + bytes([len(_READY)]) + _READY
_DELIMITER = b"\x01\x00"
_MORE, _LONG, _COMMAND = 1, 2, 4
MAX_SHORT_BYTES = 255
#: A buffer of 128 KiB or more is mapped by malloc for each read, and given back after it.
RECEIVE_BYTES = 120 * 1024


def message_head(size_bytes: int) -> bytes:
    """What stands before a payload of this size: the delimiter, and the head of its frame."""
    if size_bytes > MAX_SHORT_BYTES:
        return _DELIMITER + b"\x02" + size_bytes.to_bytes(8, "big")
    return _DELIMITER + bytes([0, size_bytes])


class Dealer:
    """One connection to a server, whose socket is blocking until its owner says otherwise.

    Args:
        endpoint: ``tcp://host:port``.
        timeout_s: after so long, a blocking `take` returns nothing.
    """

    __slots__ = ("_rest", "_unsent", "sock")

    def __init__(self, endpoint: str, timeout_s: float) -> None:
        host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
        self.sock = socket.create_connection((host, int(port)))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Not `settimeout`, which polls before each read.
        wait = struct.pack("@ll", int(timeout_s), int(timeout_s % 1 * 1e6))
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, wait)
        self.sock.sendall(_GREETING + _READY_FRAME)
        self._unsent = b""
        # The server's READY stays: `take` skips it as it does all commands.
        self._rest = self._greeting()

    def _greeting(self) -> bytes:
        data = b""
        while len(data) < len(_GREETING):
            piece = self.sock.recv(RECEIVE_BYTES)
            if not piece:
                raise ConnectionError("the server hung up during the greeting")
            data += piece
        return data[len(_GREETING) :]

    def __repr__(self) -> str:
        return f"<Dealer rest={len(self._rest)} unsent={len(self._unsent)}>"

    def take(self) -> list[bytes]:
        """The last frames of the messages that have arrived; none where nothing came in time.

        Raises:
            ConnectionError: the server has hung up.
        """
        try:
            piece = self.sock.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return []
        if not piece:
            raise ConnectionError("the server hung up")
        data = self._rest + piece if self._rest else piece
        payloads = []
        at, end = 0, len(data)
        while at + 2 <= end:
            flags = data[at]
            if flags & _LONG:
                if at + 9 > end:
                    break
                start, size = at + 9, int.from_bytes(data[at + 1 : at + 9], "big")
            else:
                start, size = at + 2, data[at + 1]
            if start + size > end:
                break
            at = start + size
            if not flags & (_MORE | _COMMAND):
                payloads.append(data[start:at])
        self._rest = data[at:]
        return payloads

    def send(self, data: bytes) -> bool:
        """Send as far as there is room; tell whether all has gone."""
        if self._unsent:
            data = self._unsent + data
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        self._unsent = data[sent:]
        return not self._unsent

    def close(self) -> None:
        """Hang up."""
        self.sock.close()
