"""Endpoints as an operator writes them: `tcp://HOST:PORT` and `ipc://PATH`; `HOST:PORT` for HTTP.

Knows which of ZeroMQ's endpoint spellings Zeropool accepts for which use, and which addresses
other hosts can reach. Refuses to know sockets and names: nothing is resolved or bound here.
Source: zmq_tcp(7), zmq_ipc(7).
"""

from __future__ import annotations

import enum
import ipaddress
import re

import msgspec

#: Linux's `sockaddr_un.sun_path` has 108 bytes, the last of which ends the string.
MAX_IPC_PATH_BYTES = 107

MAX_PORT = 65_535

#: Port of an endpoint that leaves the choice to the system (`*` or `0`).
ANY_PORT = 0

#: A host name, an IPv4 address, an interface name, every interface, or an IPv6 address.
_TCP = re.compile(
    r"(?P<host>\*|[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+(%[A-Za-z0-9._-]+)?\]):(?P<port>\*|[0-9]{1,5})"
)

_LOOPBACK_IPV4 = ipaddress.IPv4Network("127.0.0.0/8")
_LOOPBACK_IPV6 = ipaddress.IPv6Address("::1")


class Use(enum.Enum):
    """What an endpoint is for decides which wildcards it may hold."""

    #: Others must find it: the port is fixed.
    BIND = enum.auto()
    #: Its owner tells others where it ended up: the system may choose the port.
    BIND_ANY_PORT = enum.auto()
    #: It names a peer: neither host nor port is a wildcard.
    CONNECT = enum.auto()


class Tcp(msgspec.Struct, frozen=True):
    """`tcp://HOST:PORT`; an IPv6 host is without its brackets."""

    host: str
    port: int


class Ipc(msgspec.Struct, frozen=True):
    """`ipc://PATH`, a socket in the file system."""

    path: str


Endpoint = Tcp | Ipc


def parse(text: str) -> Endpoint:
    """The endpoint that `text` spells.

    Raises:
        ValueError: it spells none; the message says what is expected.
    """
    scheme, separator, rest = text.partition("://")
    if separator and scheme == "tcp":
        return _parse_tcp(rest)
    if separator and scheme == "ipc":
        return _parse_ipc(rest)
    raise ValueError("expected tcp://HOST:PORT or ipc://PATH")


def parse_http(text: str) -> Tcp:
    """The address that `HOST:PORT` spells.

    Raises:
        ValueError: it spells none with a fixed port; the message says what is expected.
    """
    try:
        address = _parse_tcp(text)
    except ValueError:
        raise ValueError("expected HOST:PORT, an IPv6 host in brackets") from None
    if address.port == ANY_PORT:
        raise ValueError(f"expected a fixed port from 1 to {MAX_PORT}")
    return address


def check(text: str, use: Use) -> None:
    """Pass if `text` is an endpoint that serves for `use`.

    Raises:
        ValueError: it is not; the message says what is expected.
    """
    endpoint = parse(text)
    if isinstance(endpoint, Ipc):
        return
    if endpoint.port == ANY_PORT and use is not Use.BIND_ANY_PORT:
        raise ValueError(f"expected a fixed port from 1 to {MAX_PORT}")
    if use is Use.BIND_ANY_PORT and is_wildcard(endpoint.host):
        raise ValueError("expected an address that gateways can connect to, not a wildcard")
    if use is Use.CONNECT and is_wildcard(endpoint.host):
        raise ValueError("expected the host of a peer, not a wildcard")


def is_public(endpoint: Endpoint) -> bool:
    """Whether other hosts may reach a socket bound here.

    Only 127.0.0.0/8, ::1 and `localhost` are known not to be: an interface or host name that is
    not resolved here counts as public.
    """
    if isinstance(endpoint, Ipc) or endpoint.host.lower() == "localhost":
        return False
    try:
        address = ipaddress.ip_address(endpoint.host)
    except ValueError:
        return True
    if isinstance(address, ipaddress.IPv4Address):
        return address not in _LOOPBACK_IPV4
    return address != _LOOPBACK_IPV6


def _parse_tcp(rest: str) -> Tcp:
    match = _TCP.fullmatch(rest)
    if match is None:
        raise ValueError("expected tcp://HOST:PORT, an IPv6 host in brackets")
    host, port = match["host"], match["port"]
    if host.startswith("["):
        host = host[1:-1]
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            raise ValueError("expected an IPv6 address in the brackets") from None
    if port == "*":
        return Tcp(host, ANY_PORT)
    if int(port) > MAX_PORT:
        raise ValueError(f"expected a port from 1 to {MAX_PORT}")
    return Tcp(host, int(port))


def _parse_ipc(path: str) -> Ipc:
    if not path or path == "*" or not path.isprintable():
        raise ValueError("expected ipc://PATH, the path of a socket in printable characters")
    if path.startswith("@"):
        raise ValueError("expected a path in the file system: any user can reach an abstract one")
    size_bytes = len(path.encode())
    if size_bytes > MAX_IPC_PATH_BYTES:
        raise ValueError(
            f"path of {size_bytes} bytes, expected at most {MAX_IPC_PATH_BYTES} bytes",
        )
    return Ipc(path)


def is_wildcard(host: str) -> bool:
    """Whether a socket bound to this host listens on every address of the machine."""
    if host == "*":
        return True
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
