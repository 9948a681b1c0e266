"""ZMTP 3 by hand, over a bare TCP socket: for what no ZeroMQ library would send.

Source: https://rfc.zeromq.org/spec/23, the NULL mechanism.
"""

from __future__ import annotations

import contextlib
import socket
import struct

SIGNATURE = b"\xff" + b"\x00" * 8 + b"\x7f"
GREETING = SIGNATURE + b"\x03\x00" + b"NULL".ljust(20, b"\x00") + b"\x00" + b"\x00" * 31

MORE = 1
LONG = 2
COMMAND = 4
#: Longest body of a frame with a length of one byte.
MAX_SHORT_BYTES = 255

CONNECT_TIMEOUT_S = 5.0
RECEIVE_BYTES = 65_536


def frame(body: bytes, flags: int = 0) -> bytes:
    """One frame with an honest length."""
    if len(body) > MAX_SHORT_BYTES:
        return struct.pack(">BQ", flags | LONG, len(body)) + body
    return struct.pack(">BB", flags, len(body)) + body


def announcement(size_bytes: int, flags: int = 0) -> bytes:
    """The head of a frame of that size, without its body."""
    return struct.pack(">BQ", flags | LONG, size_bytes)


def ready(socket_type: bytes) -> bytes:
    """The command that ends the NULL handshake."""

    def entry(name: bytes, value: bytes) -> bytes:
        return bytes([len(name)]) + name + struct.pack(">I", len(value)) + value

    body = b"\x05READY" + entry(b"Socket-Type", socket_type) + entry(b"Identity", b"")
    return frame(body, COMMAND)


def address(endpoint: str) -> tuple[str, int]:
    """Host and port of a tcp endpoint."""
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    return host, int(port)


def connect(endpoint: str) -> socket.socket:
    """A TCP connection on which nothing was said yet."""
    return socket.create_connection(address(endpoint), CONNECT_TIMEOUT_S)


def shake_hands(endpoint: str, socket_type: bytes) -> socket.socket:
    """A connection over which messages may be sent."""
    connection = connect(endpoint)
    connection.sendall(GREETING + ready(socket_type))
    return connection


def throw_away(connection: socket.socket) -> None:
    """Read what has come, without waiting, so that the other end's replies do not fill up."""
    # A socket with a time limit would wait for it, whatever the flags of `recv` say.
    connection.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while connection.recv(RECEIVE_BYTES):
            pass
    connection.settimeout(CONNECT_TIMEOUT_S)
