"""The load generator for a ZeroMQ server that answers each message with itself.

python benchmarks/echo_load.py tcp://127.0.0.1:4242 --in-flight 64 --seconds 3 </dev/null
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import zmq
from driver import drive
from load import Load, connect


class EchoLoad(Load):
    """The same loop, the same requests; right is the answer that equals its request."""

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        super().__init__(socket)
        self._right = self._tails


@contextlib.contextmanager
def _connected(endpoint: str, in_flight: int) -> Iterator[Load]:  # noqa: ARG001 - one socket for all
    with zmq.Context() as context, connect(context, endpoint) as socket:
        yield EchoLoad(socket)


if __name__ == "__main__":
    drive(_connected, __doc__)
