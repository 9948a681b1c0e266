"""Many connected clients, and several gateways: the same calls in flight on other connections."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import msgspec
from flowers import FLOWERS, METHOD
from pool import IRIS, Pool, cpu_s, rss_mib
from swarm import Swarm, Tally

IN_FLIGHT = 4_000
FEW, MANY = 4, 1_000
WORKERS = 2
WARM_UP_S = 1.0
SECONDS = 2.0
#: Each alternates with the other, and the medians are compared.
ROUNDS = 3
GATEWAYS = (1, 2)
GATEWAY_CLIENTS = 40
GATEWAY_IN_FLIGHT = 256


class ClientsFigures(msgspec.Struct, frozen=True):
    """Calls of one number of clients. CPU is microseconds of all gateways for each call."""

    gateways: int
    clients: int
    in_flight: int
    #: One for each round.
    calls_per_s: list[float]
    gateway_us: list[float]
    p99_ms: list[float]
    #: The largest of the gateways' own, after the last round.
    gateway_rss_mib: float
    failed: int

    @property
    def median_calls_per_s(self) -> float:
        """The median of the rounds."""
        return sorted(self.calls_per_s)[len(self.calls_per_s) // 2]


class _Side:
    """What is compared with another, while both are there."""

    def __init__(self, pool: Pool, swarm: Swarm, in_flight: int) -> None:
        self._pool = pool
        self._swarm = swarm
        self._in_flight = in_flight
        self._tallies: list[Tally] = []
        self._gateway_us: list[float] = []

    def warm_up(self) -> None:
        self._swarm.closed(self._in_flight, WARM_UP_S)

    def run(self) -> None:
        used_s = cpu_s(self._pool.gateway_pids)
        tally = self._swarm.closed(self._in_flight, SECONDS)
        used_s = cpu_s(self._pool.gateway_pids) - used_s
        self._tallies.append(tally)
        self._gateway_us.append(used_s / max(tally.answers, 1) * 1e6)

    def figures(self) -> ClientsFigures:
        return ClientsFigures(
            gateways=len(self._pool.gateway_pids),
            clients=self._tallies[0].clients,
            in_flight=self._in_flight,
            calls_per_s=[tally.calls_per_s for tally in self._tallies],
            gateway_us=self._gateway_us,
            p99_ms=[tally.p99_ms for tally in self._tallies],
            gateway_rss_mib=max(map(rss_mib, self._pool.gateway_pids)),
            failed=sum(tally.failed for tally in self._tallies),
        )


def measure_clients() -> list[ClientsFigures]:
    """A few clients and a thousand, with as many calls in flight in all, on one pool each."""
    row = FLOWERS[0][0]
    with Pool(IRIS, WORKERS) as few_pool, Pool(IRIS, WORKERS) as many_pool:
        few = Swarm(few_pool.endpoint, FEW, METHOD, row)
        many = Swarm(many_pool.endpoint, MANY, METHOD, row)
        with few, many:
            return _alternate([_Side(few_pool, few, IN_FLIGHT), _Side(many_pool, many, IN_FLIGHT)])


def measure_gateways() -> list[ClientsFigures]:
    """One gateway and two on one port."""
    row = FLOWERS[0][0]
    one, two = GATEWAYS
    with Pool(IRIS, WORKERS, one) as one_pool, Pool(IRIS, WORKERS, two) as two_pool:
        first = Swarm(one_pool.endpoint, GATEWAY_CLIENTS, METHOD, row)
        second = Swarm(two_pool.endpoint, GATEWAY_CLIENTS, METHOD, row)
        with first, second:
            return _alternate(
                [
                    _Side(one_pool, first, GATEWAY_IN_FLIGHT),
                    _Side(two_pool, second, GATEWAY_IN_FLIGHT),
                ]
            )


def _alternate(sides: list[_Side]) -> list[ClientsFigures]:
    with _interrupting_nobody():
        for side in sides:
            side.warm_up()
        for _ in range(ROUNDS):
            for side in sides:
                side.run()
    return [side.figures() for side in sides]


@contextlib.contextmanager
def _interrupting_nobody() -> Iterator[None]:
    """Have this thread, when it is woken, wait until the core that it wakes on is left to it.

    Otherwise the first reply of a write to many clients wakes the load, which takes the gateway's
    core before the others are written: no client on another machine could. See sched(7).
    """
    policy, param = os.sched_getscheduler(0), os.sched_getparam(0)
    os.sched_setscheduler(0, os.SCHED_BATCH, param)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, param)
