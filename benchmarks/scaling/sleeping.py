"""A model that sleeps 5 ms, on 1 to 64 workers: throughput against the ideal, p99 at half load."""

from __future__ import annotations

import contextlib
import time

import msgspec
from pool import SLEEPER, Pool, cpu_s
from swarm import Swarm
from timed_models import SLEEP_S, Sleeper

COUNTS = (1, 2, 4, 8, 16, 32, 64)
CLIENTS = 8
#: Enough that no worker ever waits for a call.
IN_FLIGHT_PER_WORKER = 4
WARM_UP_S = 1.0
SECONDS = 2.0
#: Calls of the bare model that are timed.
BARE_CALLS = 200


class WorkersFigures(msgspec.Struct, frozen=True):
    """What one number of workers reaches."""

    workers: int
    calls_per_s: float
    #: Against workers / 5 ms, and against workers times what the bare model reaches in one process:
    #: the system wakes a sleeper a little late.
    of_nominal: float
    of_bare: float
    gateway_us: float
    worker_us: float
    #: Half the nominal throughput, at random times.
    half_load_p50_ms: float
    half_load_p99_ms: float
    #: p99 at half load, in times of the model's 5 ms.
    half_load_p99_share: float
    failed: int


def bare_call_s() -> float:
    """What a call of the model takes without any server."""
    model = Sleeper()
    began_at = time.perf_counter()
    for _ in range(BARE_CALLS):
        model.predict(None)
    return (time.perf_counter() - began_at) / BARE_CALLS


def measure(count: int, bare_s: float) -> WorkersFigures:
    """Measure so many workers."""
    nominal = count / SLEEP_S
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(Pool(SLEEPER, workers=count))
        swarm = stack.enter_context(Swarm(pool.endpoint, CLIENTS, "sleeper_predict", 1))
        in_flight = IN_FLIGHT_PER_WORKER * count
        swarm.closed(in_flight, WARM_UP_S)
        gateway_s, workers_s = cpu_s(pool.gateway_pids), cpu_s(pool.worker_pids)
        full = swarm.closed(in_flight, SECONDS)
        gateway_s = cpu_s(pool.gateway_pids) - gateway_s
        workers_s = cpu_s(pool.worker_pids) - workers_s
        half = swarm.open(nominal / 2, SECONDS)
    return WorkersFigures(
        workers=count,
        calls_per_s=full.calls_per_s,
        of_nominal=full.calls_per_s / nominal,
        of_bare=full.calls_per_s * bare_s / count,
        gateway_us=gateway_s / full.answers * 1e6,
        worker_us=workers_s / full.answers * 1e6,
        half_load_p50_ms=half.p50_ms,
        half_load_p99_ms=half.p99_ms,
        half_load_p99_share=half.p99_ms / 1000 / SLEEP_S,
        failed=full.failed + half.failed,
    )
