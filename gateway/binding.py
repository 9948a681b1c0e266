"""Binding the workers' port, and giving ipc paths back. It decides nothing."""

from __future__ import annotations

from pathlib import Path

import zmq

from zeropool.shared import endpoints
from zeropool.shared.errors import ConfigError
from zeropool.shared.rundir import is_alive


def bind(sock: zmq.Socket[bytes], endpoint: str, key: str) -> None:
    """Bind a socket to the endpoint that stands under a configuration key.

    Raises:
        ConfigError: it cannot be bound, or another process listens there.
    """
    parsed = endpoints.parse(endpoint)
    if isinstance(parsed, endpoints.Ipc) and is_alive(Path(parsed.path)):
        # libzmq would take the path over without a word, and the other would starve.
        raise ConfigError(f"{key} = {endpoint!r}: another process listens there")
    try:
        sock.bind(endpoint)
    except zmq.ZMQError as error:
        raise ConfigError(f"{key} = {endpoint!r}: cannot bind: {error.strerror}") from error


def unlink_ipc(endpoint: str) -> None:
    """Remove the socket of an ipc endpoint; of any other, there is nothing to remove."""
    parsed = endpoints.parse(endpoint)
    if isinstance(parsed, endpoints.Ipc):
        Path(parsed.path).unlink(missing_ok=True)


def bound_endpoint(sock: zmq.Socket[bytes]) -> str:
    """The endpoint to which a socket was bound last, with all its parts resolved."""
    return sock.getsockopt_string(zmq.LAST_ENDPOINT).rstrip("\0")
