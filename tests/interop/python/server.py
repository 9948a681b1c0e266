"""A zerorpc.Server with all kinds of methods: server.py ENDPOINT HEARTBEAT_S, until killed."""

import signal
import sys
import time
from collections.abc import Iterator

import gevent
import zerorpc

LIFE_S = 110  # below the timeout of a test


class Methods:
    def echo(self, value: object) -> object:
        return value

    def sleep(self, seconds: float) -> float:
        gevent.sleep(seconds)
        return seconds

    def burn(self, seconds: float) -> float:
        """Computes, so that nothing else of the server runs, its heartbeats neither."""
        end_at = time.monotonic() + seconds
        while time.monotonic() < end_at:
            pass
        return seconds

    @zerorpc.stream
    def count(self, number: int) -> Iterator[int]:
        return iter(range(number))

    def fail(self) -> None:
        raise ValueError("no root")


signal.alarm(LIFE_S)
server = zerorpc.Server(Methods(), heartbeat=float(sys.argv[2]))
server.bind(sys.argv[1])
server.run()
