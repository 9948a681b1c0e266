"""Payloads of 100 bytes to 16 MB through an echo: what the gateway's CPU time grows by."""

from __future__ import annotations

import contextlib
import secrets
import time

import msgspec
import zmq
from pool import ECHO, Pool, cpu_s

KB = 1_000
SIZES = (100, KB, 10 * KB, 100 * KB, 1_000 * KB, 16_000 * KB)
WORKERS = 2
#: Calls in flight: as many as these bytes allow, and no more than `MOST_IN_FLIGHT`.
MOST_IN_FLIGHT = 32
IN_FLIGHT_BYTES = 32_000 * KB
SECONDS = 1.5
ROUNDS = 3
ANSWER_TIMEOUT_MS = 30_000


class PayloadFigures(msgspec.Struct, frozen=True):
    """What payloads of one size cost, each way; medians of the rounds."""

    size_bytes: int
    in_flight: int
    calls_per_s: float
    megabytes_per_s: float
    gateway_us: float
    worker_us: float
    #: The gateway's CPU time against that for the smallest payload.
    gateway_growth: float


class _Run(msgspec.Struct, frozen=True):
    calls_per_s: float
    gateway_us: float
    worker_us: float


def measure() -> list[PayloadFigures]:
    """Measure all sizes, in rounds."""
    runs: dict[int, list[_Run]] = {size: [] for size in SIZES}
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(Pool(ECHO, WORKERS))
        context = stack.enter_context(zmq.Context())
        dealer = stack.enter_context(context.socket(zmq.DEALER))
        dealer.setsockopt(zmq.LINGER, 0)
        dealer.setsockopt(zmq.RCVTIMEO, ANSWER_TIMEOUT_MS)
        dealer.connect(pool.endpoint)
        for _ in range(ROUNDS):
            for size in SIZES:
                runs[size].append(_run(pool, dealer, size))
    smallest_us = _median([run.gateway_us for run in runs[SIZES[0]]])
    return [_figures(size, runs[size], smallest_us) for size in SIZES]


def _figures(size: int, runs: list[_Run], smallest_us: float) -> PayloadFigures:
    calls_per_s = _median([run.calls_per_s for run in runs])
    gateway_us = _median([run.gateway_us for run in runs])
    return PayloadFigures(
        size_bytes=size,
        in_flight=_in_flight(size),
        calls_per_s=calls_per_s,
        megabytes_per_s=calls_per_s * size / KB**2,
        gateway_us=gateway_us,
        worker_us=_median([run.worker_us for run in runs]),
        gateway_growth=gateway_us / smallest_us,
    )


def _run(pool: Pool, dealer: zmq.Socket[bytes], size: int) -> _Run:
    payload = secrets.token_bytes(size)
    tail = msgspec.msgpack.encode([payload])
    gateway_s, workers_s = cpu_s(pool.gateway_pids), cpu_s(pool.worker_pids)
    began_at = time.perf_counter()
    answers = open_calls = 0
    while open_calls or time.perf_counter() < began_at + SECONDS:
        while open_calls < _in_flight(size) and time.perf_counter() < began_at + SECONDS:
            header = msgspec.msgpack.encode({"message_id": secrets.token_hex(16).encode(), "v": 3})
            request = b"\x93" + header + b"\xacecho_predict" + tail
            dealer.send_multipart([b"", request], copy=False)
            open_calls += 1
        answer = dealer.recv_multipart(copy=False)[-1].buffer
        if len(answer) >= size:
            if bytes(answer[-size:]) != payload:
                raise RuntimeError(f"another payload came back: {bytes(answer[:100])!r}")
            answers += 1
            open_calls -= 1
    seconds = time.perf_counter() - began_at
    return _Run(
        calls_per_s=answers / seconds,
        gateway_us=(cpu_s(pool.gateway_pids) - gateway_s) / answers * 1e6,
        worker_us=(cpu_s(pool.worker_pids) - workers_s) / answers * 1e6,
    )


def _in_flight(size: int) -> int:
    return max(1, min(MOST_IN_FLIGHT, IN_FLIGHT_BYTES // size))


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]
