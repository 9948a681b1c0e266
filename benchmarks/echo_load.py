"""The load generator for a ZeroMQ server that answers each message with itself.

python benchmarks/echo_load.py tcp://127.0.0.1:4242 --in-flight 64 --seconds 3 </dev/null
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from dealer import Dealer
from driver import ANSWER_TIMEOUT_S, drive
from load import Load


class EchoLoad(Load):
    """The same loop, the same requests; right is the answer that equals its request."""

    def __init__(self, dealer: Dealer) -> None:
        super().__init__(dealer)
        self._right = self._tails


@contextlib.contextmanager
def _connected(endpoint: str, in_flight: int) -> Iterator[Load]:  # noqa: ARG001 - one for all
    with contextlib.closing(Dealer(endpoint, ANSWER_TIMEOUT_S)) as dealer:
        yield EchoLoad(dealer)


if __name__ == "__main__":
    drive(_connected, __doc__)
