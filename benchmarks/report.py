"""From measured points to medians, ratios and a Markdown table. No I/O.

Ratios are formed within each round, between points that were measured one after the other, and
only then reduced to a median: what disturbs a shared machine disturbs both halves of a pair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import median

import msgspec
from machine import Machine
from point import Point


class Spread(msgspec.Struct, frozen=True):
    """A median over rounds, and how far they lie apart."""

    median: float
    lowest: float
    highest: float


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One server at one number of calls in flight, over all clean rounds."""

    server: str
    in_flight: int
    rounds: int
    failures: list[str]
    calls_per_s: Spread
    #: Against the first server, round by round.
    ratio: Spread
    p50_ms: Spread
    p99_ms: Spread
    #: Microseconds of CPU time for each call.
    server_us: Spread
    gateway_us: Spread
    workers_us: Spread
    load_us: Spread
    #: Of one core, the load generator's Python thread.
    load_share: Spread
    other_cores: Spread


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that goes into the JSON file."""

    machine: Machine
    seconds: float
    rounds: int
    lines: list[Line]
    #: MiB by server and role, the highest of all rounds.
    peak_rss_mib: dict[str, dict[str, float]]
    points: list[Point]


def summarise(points: Sequence[Point]) -> list[Line]:
    """One line for each server and number in flight, in the order of their first points."""
    keys = dict.fromkeys((point.in_flight, point.server) for point in points)
    baseline = points[0].server
    return [
        _line(
            [point for point in points if (point.in_flight, point.server) == key],
            {
                point.round: point.calls_per_s
                for point in points
                if point.is_clean and (point.in_flight, point.server) == (key[0], baseline)
            },
        )
        for key in sorted(keys, key=lambda key: key[0])
    ]


def _line(points: Sequence[Point], baseline: dict[int, float]) -> Line:
    clean = [point for point in points if point.is_clean]

    def over(value: Callable[[Point], float]) -> Spread:
        return _spread(value(point) for point in clean)

    return Line(
        server=points[0].server,
        in_flight=points[0].in_flight,
        rounds=len(points),
        failures=[point.failure for point in points if not point.is_clean],
        calls_per_s=over(lambda point: point.calls_per_s),
        ratio=_spread(
            point.calls_per_s / baseline[point.round] for point in clean if point.round in baseline
        ),
        p50_ms=over(lambda point: point.tally.p50_ms),
        p99_ms=over(lambda point: point.tally.p99_ms),
        server_us=over(lambda point: point.cpu_us("")),
        gateway_us=over(lambda point: point.cpu_us("gateway")),
        workers_us=over(lambda point: point.cpu_us("worker")),
        load_us=over(lambda point: point.tally.cpu_s / point.tally.answers * 1e6),
        load_share=over(lambda point: point.tally.python_cpu_s / point.tally.seconds),
        other_cores=over(lambda point: point.other_cores),
    )


def _spread(values: Iterable[float]) -> Spread:
    found = sorted(values)
    if not found:
        return Spread(0.0, 0.0, 0.0)
    return Spread(median(found), found[0], found[-1])


_HEADINGS = (
    "in flight",
    "server",
    "calls/s",
    "range",
    "x zerorpc",
    "range",
    "p50 ms",
    "p99 ms",
    "CPU µs/call",
    "gateway",
    "workers",
    "load µs/call",
    "load core %",
    "other cores",
    "failed",
)


def markdown(report: Report) -> str:
    """The report for people."""
    machine = report.machine
    packages = ", ".join(f"{name} {version}" for name, version in machine.packages.items())
    others = _spread(point.other_cores for point in report.points if point.is_clean)
    sections = [
        (
            f"Medians of {report.rounds} interleaved rounds, {report.seconds:g} s for each point. "
            f"Other processes used about {others.median:.2f} cores (at most {others.highest:.2f})."
        ),
        (
            f"{machine.cpu}, {machine.cores} cores, {machine.system}, {machine.python}, "
            f"libzmq {machine.libzmq}, {packages}."
        ),
        _table(_HEADINGS, [_cells(line) for line in report.lines]),
        _table(
            ("server", "peak resident memory, MiB"),
            [(server, _memory(roles)) for server, roles in report.peak_rss_mib.items()],
        ),
    ]
    sections += [
        f"FAILED: {line.server}, {line.in_flight} in flight: {failure}"
        for line in report.lines
        for failure in line.failures
    ]
    return "\n\n".join(sections)


def _cells(line: Line) -> tuple[str, ...]:
    has_gateway = line.gateway_us.highest > 0
    return (
        f"{line.in_flight}",
        line.server,
        f"{line.calls_per_s.median:,.0f}",
        f"{line.calls_per_s.lowest:,.0f} to {line.calls_per_s.highest:,.0f}",
        f"{line.ratio.median:.2f}",
        f"{line.ratio.lowest:.2f} to {line.ratio.highest:.2f}",
        f"{line.p50_ms.median:.2f}",
        f"{line.p99_ms.median:.2f}",
        f"{line.server_us.median:.0f}",
        f"{line.gateway_us.median:.0f}" if has_gateway else "",
        f"{line.workers_us.median:.0f}" if has_gateway else "",
        f"{line.load_us.median:.0f}",
        f"{line.load_share.median * 100:.0f}",
        f"{line.other_cores.median:.2f}",
        f"{len(line.failures)} of {line.rounds}",
    )


def _memory(roles: dict[str, float]) -> str:
    return ", ".join(f"{role} {mib:.0f}" for role, mib in roles.items())


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
