"""Findings as tests want them."""

from zeropool.cli.bench.latencies import Summary
from zeropool.cli.bench.result import Mode, Point, Target
from zeropool.cli.bench.trial import Phase

TARGET = Target(
    endpoint="tcp://127.0.0.1:4242",
    method="iris_predict",
    mode=Mode.CONCURRENCY,
    connections=1,
    arrivals="",
    timeout_s=30.0,
)
BY_RATE = Target(
    endpoint="tcp://127.0.0.1:4242",
    method="iris_predict",
    mode=Mode.RATE,
    connections=8,
    arrivals="poisson",
    timeout_s=30.0,
)
LATENCY = Summary(mean=1.5, p50=1.2345, p90=2.0, p99=12.345, p999=123.4, max=1234.5)
NONE = Summary(mean=0.0, p50=0.0, p90=0.0, p99=0.0, p999=0.0, max=0.0)


def point(**changes):
    figures = {
        "load": 16,
        "verdict": Phase.STABLE,
        "seconds": 6.0,
        "answers": 60_000,
        "answers_per_s": 10_000.0,
        "latency_ms": LATENCY,
        "errors": {},
        "generator_share": 0.123,
        "late_p99_ms": 0.0,
        "windows": [],
    }
    return Point(**(figures | changes))
