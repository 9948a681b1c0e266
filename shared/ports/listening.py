"""Ports that listen: a socket of this gateway's own, or one of several on one tcp port.

Several gateways listen with SO_REUSEPORT, and the kernel deals them connections. Whoever starts
them reserves the port first. While the reservation is open, the port belongs to them, whoever of
them dies, and a service that is not one of them cannot join by mistake.
Source: socket(7); which binds conflict was tried out on Linux 6.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import fcntl
import os
import socket
import struct
from pathlib import Path

from zeropool.shared import endpoints
from zeropool.shared.errors import ConfigError
from zeropool.shared.ports.connections import ACCEPT_BURST
from zeropool.shared.rundir import is_alive

#: Connections that wait to be accepted: a thousand clients may all come at once.
BACKLOG = 1_024
_NO_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
#: linux/sockios.h; the address stands behind the name, family and port of netdevice(7).
_SIOCGIFADDR = 0x8915
_ADDRESS_AT = 20


class Port(enum.Enum):
    """Whose an endpoint is."""

    OWN = enum.auto()
    #: It is reserved for several gateways, of which this is one.
    SHARED = enum.auto()


class Listener:
    """Accepts connections, and is not upset when there are no descriptors left for them."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        #: Kept open to be had then.
        self._spare_fd = os.open(os.devnull, os.O_RDONLY)
        #: Why the last `accept` had to close a connection at once; empty where it had not.
        self.failure = ""
        #: It could not even be closed: it waits, and will be reported again at once.
        self.is_stuck = False

    def fileno(self) -> int:
        """The descriptor that becomes readable when somebody connects."""
        return self._sock.fileno()

    def accept(self) -> list[tuple[socket.socket, str]]:
        """Those who have connected, some at a time, with the address of each.

        The address is empty for a peer of this machine that has none.
        """
        accepted: list[tuple[socket.socket, str]] = []
        self.failure = ""
        self.is_stuck = False
        for _ in range(ACCEPT_BURST):
            try:
                sock, address = self._sock.accept()
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno in _NO_DESCRIPTORS:
                    self._turn_away()
                    self.failure = error.strerror or str(error)
                # As a rule it was gone before we looked.
                break
            accepted.append((sock, address[0] if isinstance(address, tuple) else ""))
        return accepted

    def _turn_away(self) -> None:
        """Take one connection in, and close it: else it would be reported for ever."""
        self._give_up_spare()
        try:
            self._sock.accept()[0].close()
        except OSError as error:
            # There is no memory, or another thread was faster to take the descriptor. Or the peer
            # was faster to leave, and all is well.
            self.is_stuck = error.errno in _NO_DESCRIPTORS
        with contextlib.suppress(OSError):
            self._spare_fd = os.open(os.devnull, os.O_RDONLY)

    def _give_up_spare(self) -> None:
        if self._spare_fd >= 0:
            os.close(self._spare_fd)
            self._spare_fd = -1

    def close(self) -> None:
        """Listen no longer."""
        self._sock.close()
        self._give_up_spare()


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


def listen(endpoint: str, key: str, port: Port = Port.OWN) -> socket.socket:
    """A socket that listens, and does not block.

    Raises:
        ConfigError: the endpoint cannot be bound, or is another's.
    """
    parsed = endpoints.parse(endpoint)
    if isinstance(parsed, endpoints.Ipc):
        sock = _bound_ipc(endpoint, parsed.path, key)
    elif port is Port.SHARED:
        sock = _bound(endpoint, key, socket.SO_REUSEPORT)
    else:
        sock = _bound(endpoint, key)
    try:
        sock.listen(BACKLOG)
    except OSError as error:
        # Two that were bound at the same time: only one of them may listen.
        sock.close()
        raise _refused(endpoint, key, error) from error
    sock.setblocking(False)
    return sock


def unlink_ipc(endpoint: str) -> None:
    """Remove the socket of an ipc endpoint; of any other, there is nothing to remove."""
    parsed = endpoints.parse(endpoint)
    if isinstance(parsed, endpoints.Ipc):
        Path(parsed.path).unlink(missing_ok=True)


def _bound(endpoint: str, key: str, *options: int) -> socket.socket:
    family, address = _address(endpoint, key)
    sock = socket.socket(family)
    try:
        for option in (socket.SO_REUSEADDR, *options):
            sock.setsockopt(socket.SOL_SOCKET, option, 1)
        if family == socket.AF_INET6:
            # [::] takes IPv4, too.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(address)
    except OSError as error:
        sock.close()
        raise _refused(endpoint, key, error) from error
    return sock


def _bound_ipc(endpoint: str, path: str, key: str) -> socket.socket:
    if is_alive(Path(path)):
        # To take the path over would leave the other alive, and without clients.
        raise ConfigError(f"{key} = {endpoint!r}: another process listens there")
    sock = socket.socket(socket.AF_UNIX)
    try:
        if Path(path).is_socket():
            Path(path).unlink()
        sock.bind(path)
    except OSError as error:
        sock.close()
        raise _refused(endpoint, key, error) from error
    return sock


def _refused(endpoint: str, key: str, error: OSError) -> ConfigError:
    return ConfigError(f"{key} = {endpoint!r}: cannot bind: {error.strerror}")


def _address(endpoint: str, key: str) -> tuple[int, tuple[str | int | bytes, ...]]:
    """Family and address of a tcp endpoint, for `bind`."""
    parsed = endpoints.parse(endpoint)
    if not isinstance(parsed, endpoints.Tcp):
        raise ConfigError(
            f"{key} = {endpoint!r}: several gateways can only share a tcp:// endpoint"
        )
    host = parsed.host
    if host == "*":
        host = "::" if socket.has_dualstack_ipv6() else "0.0.0.0"  # noqa: S104 - as configured
    try:
        host = _interface_address(host)
        # As bytes: of a string, a name like `a..b` would raise something else.
        found = socket.getaddrinfo(host.encode(), parsed.port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise _refused(endpoint, key, error) from error
    # A name may have both; most clients try the older one first, or nothing else.
    found.sort(key=_prefers_ipv4)
    family, _, _, _, address = found[0]
    return family, address


def _prefers_ipv4(found: tuple[int, int, int, str, object]) -> int:
    return found[0] != socket.AF_INET


def _interface_address(host: str) -> str:
    """The IPv4 address of the network interface of that name, as ZeroMQ's tcp allows; else host."""
    if all(name != host for _, name in socket.if_nameindex()):
        return host
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            answer = fcntl.ioctl(probe, _SIOCGIFADDR, struct.pack("256s", host.encode()))
        except OSError:
            # It has none.
            return host
    return socket.inet_ntoa(answer[_ADDRESS_AT : _ADDRESS_AT + 4])
