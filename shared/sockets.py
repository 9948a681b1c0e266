"""Sockets for endpoints of which nothing has to be looked up, and back. A part of the shells."""

from __future__ import annotations

import socket
from typing import Any, TypeAlias

from zeropool.shared.endpoints import Endpoint, Ipc

#: What `connect` takes: a path, or an address with its port.
Address: TypeAlias = str | tuple[str | int | bytes, ...]


def socket_for(endpoint: Endpoint) -> tuple[socket.socket, Address]:
    """A socket that is not connected, and what to connect it to.

    Raises:
        OSError: the host is not numeric or of no network here, or no descriptors are left.
    """
    if isinstance(endpoint, Ipc):
        return socket.socket(socket.AF_UNIX), endpoint.path
    # As bytes: a string is taken for a name first, and some zones of an address are no names.
    family, _, _, _, address = socket.getaddrinfo(
        endpoint.host.encode(),
        endpoint.port,
        type=socket.SOCK_STREAM,
        flags=socket.AI_NUMERICHOST,
    )[0]
    return socket.socket(family), address


def endpoint_of(sock: socket.socket) -> str:
    """Where a bound socket is found: a host in it is numeric, and the port the one it got."""
    return _spelt(sock.family, sock.getsockname())


def peer_endpoint(sock: socket.socket) -> str:
    """What a connected socket is connected to, in the same form.

    Raises:
        OSError: it is not any more.
    """
    return _spelt(sock.family, sock.getpeername())


def reason_of(error: Exception) -> str:
    """Why there is no connection, in the system's words where it has any."""
    return getattr(error, "strerror", None) or str(error)


def _spelt(family: int, address: Any) -> str:  # noqa: ANN401 - as the system gives it
    if family == socket.AF_UNIX:
        return f"ipc://{address}"
    host, port = socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)
    return f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"
