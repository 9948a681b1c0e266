"""One tcp port for several gateways: each listens with SO_REUSEPORT, the kernel deals connections.

Whoever starts the gateways reserves the port first. While the reservation is open, the port belongs
to them, whoever of them dies, and a service that is not one of them cannot join by mistake.
Source: socket(7); which binds conflict was tried out on Linux 6.
"""

from __future__ import annotations

import socket

from zeropool.shared import endpoints
from zeropool.shared.errors import ConfigError

#: As libzmq's own default.
BACKLOG = 100


def reserve(endpoint: str, key: str) -> socket.socket:
    """Take a port for as long as the socket is open; only `listen` gets in beside it.

    ``key`` is where the endpoint is configured.

    Raises:
        ConfigError: it cannot be shared, or somebody else has it.
    """
    sock = _bound(endpoint, key)
    # Only after the bind: with SO_REUSEPORT it would have succeeded beside another service. And the
    # other option, which is for connections of the past, would let another one in from now on.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return sock


def listen(endpoint: str, key: str) -> int:
    """The descriptor of a listening socket on a reserved port; it is the caller's to close.

    Raises:
        ConfigError: the port cannot be shared, or is reserved for somebody else.
    """
    with _bound(endpoint, key, socket.SO_REUSEPORT) as sock:
        sock.listen(BACKLOG)
        # libzmq's thread must not wait for a client that went away before it was accepted.
        sock.setblocking(False)
        return sock.detach()


def _bound(endpoint: str, key: str, *options: int) -> socket.socket:
    family, address = _address(endpoint, key)
    sock = socket.socket(family)
    try:
        for option in (socket.SO_REUSEADDR, *options):
            sock.setsockopt(socket.SOL_SOCKET, option, 1)
        if family == socket.AF_INET6:
            # As libzmq does it: [::] takes IPv4, too.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(address)
    except OSError as error:
        sock.close()
        raise ConfigError(f"{key} = {endpoint!r}: cannot bind: {error.strerror}") from error
    return sock


def _address(endpoint: str, key: str) -> tuple[int, tuple[str | int | bytes, ...]]:
    """Family and address of an endpoint, for `bind`."""
    parsed = endpoints.parse(endpoint)
    if not isinstance(parsed, endpoints.Tcp):
        raise ConfigError(
            f"{key} = {endpoint!r}: several gateways can only share a tcp:// endpoint"
        )
    host = parsed.host
    if host == "*":
        host = "::" if socket.has_dualstack_ipv6() else "0.0.0.0"  # noqa: S104 - as configured
    try:
        found = socket.getaddrinfo(
            host, parsed.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
        )
    except socket.gaierror as error:
        # A name of a network interface, which only libzmq resolves.
        raise ConfigError(
            f"{key} = {endpoint!r}: several gateways can only share a numeric address or *"
        ) from error
    family, _, _, _, address = found[0]
    return family, address
