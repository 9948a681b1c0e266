"""What a run of the load tool found, in the form in which it is told to programs.

Times are milliseconds where a name says so, else seconds.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Sequence

import msgspec

from zeropool.cli.bench.latencies import P99, Latencies, Summary
from zeropool.cli.bench.trial import Phase, Rules, Trial, Window


class Mode(enum.Enum):
    """What a load keeps constant."""

    #: Calls in flight.
    CONCURRENCY = "concurrency"
    #: Calls a second.
    RATE = "rate"


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Who is called, and how."""

    endpoint: str
    method: str
    mode: Mode
    connections: int
    #: How calls of a rate come; empty for a concurrency.
    arrivals: str
    timeout_s: float


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """One window."""

    seconds: float
    answers: int
    answers_per_s: float
    p99_ms: float
    errors: int


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One load. All figures are those of the windows of its verdict, together."""

    #: Calls in flight, or calls a second.
    load: float
    verdict: Phase
    seconds: float
    #: Right answers; throughput and latencies are theirs.
    answers: int
    answers_per_s: float
    latency_ms: Summary
    #: All other calls that ended, those that were open at the end of the load included, by the
    #: name of the error.
    errors: dict[str, int]
    #: CPU time of the generator's busier thread, as a share of one core.
    generator_share: float
    #: How much later than due 99 % of the calls had left, at most; 0 where none was due.
    late_p99_ms: float
    windows: list[Span]


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run."""

    zeropool: str
    began_at: str
    target: Target
    rules: Rules
    points: list[Point]
    #: For each kind of error, the first message.
    messages: dict[str, str]


def point_of(load: float, trial: Trial) -> Point | None:
    """What a trial found; None where it ended before its first window."""
    windows = trial.verdict_windows()
    if not windows:
        return None
    latencies = Latencies.merged(window.latencies for window in windows)
    seconds = sum(window.seconds for window in windows)
    errors = Counter(trial.late_errors)
    for window in windows:
        errors.update(window.errors)
    return Point(
        load=load,
        verdict=trial.phase,
        seconds=seconds,
        answers=len(latencies),
        answers_per_s=len(latencies) / seconds if seconds else 0.0,
        latency_ms=latencies.summary(),
        errors=dict(errors.most_common()),
        generator_share=_busier_share(windows, seconds),
        late_p99_ms=Latencies.merged(w.lateness for w in windows).quantile_s(P99) * 1e3,
        windows=[_span(window) for window in trial.windows],
    )


def _busier_share(windows: Sequence[Window], seconds: float) -> float:
    python_s = sum(window.cpu.python_s for window in windows)
    libzmq_s = sum(window.cpu.libzmq_s for window in windows)
    return max(python_s, libzmq_s) / seconds if seconds else 0.0


def _span(window: Window) -> Span:
    return Span(
        seconds=window.seconds,
        answers=window.answers,
        answers_per_s=window.answers_per_s,
        p99_ms=window.p99_s * 1e3,
        errors=window.errors.total(),
    )
