"""From measured points to medians, verdicts and Markdown tables. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec
from claims import Verdict
from machine import Machine
from point import Point
from spread import Spread, spread


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One server at one number of calls in flight, over all clean rounds."""

    #: Its key.
    server: str
    in_flight: int
    rounds: int
    failures: list[str]
    calls_per_s: Spread
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
    #: Of all, the starting of servers and warming up included.
    duration_s: float
    #: The names of the servers, by their keys, in the order of the tables.
    servers: dict[str, str]
    #: Why a server was not measured, by its key.
    not_run: dict[str, str]
    verdicts: list[Verdict]
    lines: list[Line]
    #: MiB by server and role, the highest of all rounds.
    peak_rss_mib: dict[str, dict[str, float]]
    points: list[Point]

    @property
    def is_complete(self) -> bool:
        """Every server was measured, and every call of every point got its right answer."""
        return not self.not_run and not any(line.failures for line in self.lines)


def summarise(points: Sequence[Point], servers: Sequence[str]) -> list[Line]:
    """One line for each number in flight and server, in that order."""
    keys = {(point.in_flight, point.server) for point in points}
    return [
        _line([point for point in points if (point.in_flight, point.server) == key])
        for key in sorted(keys, key=lambda key: (key[0], servers.index(key[1])))
    ]


def _line(points: Sequence[Point]) -> Line:
    clean = [point for point in points if point.is_clean]

    def over(value: Callable[[Point], float]) -> Spread:
        return spread(value(point) for point in clean)

    return Line(
        server=points[0].server,
        in_flight=points[0].in_flight,
        rounds=len(points),
        failures=[point.failure or "failed" for point in points if not point.is_clean],
        calls_per_s=over(lambda point: point.calls_per_s),
        p50_ms=over(lambda point: point.tally.p50_ms),
        p99_ms=over(lambda point: point.tally.p99_ms),
        server_us=over(lambda point: point.cpu_us("")),
        gateway_us=over(lambda point: point.cpu_us("gateway")),
        workers_us=over(lambda point: point.cpu_us("worker")),
        load_us=over(lambda point: point.tally.cpu_s / point.tally.answers * 1e6),
        load_share=over(lambda point: point.tally.python_cpu_s / point.tally.seconds),
        other_cores=over(lambda point: point.other_cores),
    )


_HEADINGS = (
    "in flight",
    "server",
    "calls/s",
    "range",
    "p50 ms",
    "p99 ms",
    "CPU µs/call",
    "gateway",
    "workers",
    "load µs/call",
    "load core %",
)


def markdown(report: Report) -> str:
    """The report for people."""
    machine = report.machine
    packages = ", ".join(f"{name} {version}" for name, version in machine.packages.items())
    others = spread(point.other_cores for point in report.points if point.is_clean)
    sections = [
        (
            f"Medians of {report.rounds} interleaved rounds, {report.seconds:g} s for each point; "
            f"{report.duration_s / 60:.0f} minutes in all. Other processes used about "
            f"{others.median:.2f} cores (at most {others.highest:.2f})."
        ),
        (
            f"{machine.cpu}, {machine.cores} cores, {machine.system}, {machine.python}, "
            f"libzmq {machine.libzmq}, {packages}."
        ),
        _table(_HEADINGS, _rows(report)),
        _table(
            (
                "Zeropool, 2 workers, divided by",
                "in flight",
                "figure",
                "ratio",
                "range",
                "claim",
                "",
            ),
            [_judged(verdict, report.servers) for verdict in report.verdicts],
        ),
        _table(
            ("server", "processes", "peak resident memory, MiB", "of which"),
            [
                (report.servers[key], f"{len(roles)}", f"{sum(roles.values()):.0f}", _memory(roles))
                for key, roles in report.peak_rss_mib.items()
            ],
        ),
    ]
    sections += [
        f"FAILED: {report.servers[line.server]}, {line.in_flight} in flight: {failure}"
        for line in report.lines
        for failure in line.failures
    ]
    return "\n\n".join(sections)


def _rows(report: Report) -> list[tuple[str, ...]]:
    """Of the first table: what was measured, and who was not."""
    by_load: dict[int, dict[str, Line]] = {}
    for line in report.lines:
        by_load.setdefault(line.in_flight, {})[line.server] = line
    rows = []
    for in_flight, lines in by_load.items():
        for key, name in report.servers.items():
            if key in lines:
                rows.append(_cells(lines[key], name))
            elif key in report.not_run:
                rows.append((f"{in_flight}", name, f"not run: {report.not_run[key]}"))
    return rows


def _cells(line: Line, name: str) -> tuple[str, ...]:
    has_gateway = line.gateway_us.highest > 0
    if len(line.failures) == line.rounds:
        return (f"{line.in_flight}", name, "failed in all rounds, see below")
    return (
        f"{line.in_flight}",
        name + (f" ({len(line.failures)} rounds failed)" if line.failures else ""),
        f"{line.calls_per_s.median:,.0f}",
        f"{line.calls_per_s.lowest:,.0f} to {line.calls_per_s.highest:,.0f}",
        f"{line.p50_ms.median:.2f}",
        f"{line.p99_ms.median:.2f}",
        f"{line.server_us.median:.1f}",
        f"{line.gateway_us.median:.1f}" if has_gateway else "",
        f"{line.workers_us.median:.1f}" if has_gateway else "",
        f"{line.load_us.median:.1f}",
        f"{line.load_share.median * 100:.0f}",
    )


#: In one word, by what `Verdict.holds` says.
_WORDS = {True: "holds", False: "**missed**", None: "not run"}


def _judged(verdict: Verdict, names: Mapping[str, str]) -> tuple[str, ...]:
    claim, ratio = verdict.claim, verdict.ratio
    return (
        names.get(claim.against, claim.against),
        f"{claim.in_flight}",
        claim.figure,
        f"{ratio.median:.2f}" if ratio else "",
        f"{ratio.lowest:.2f} to {ratio.highest:.2f}" if ratio else "",
        claim.bound(),
        _WORDS[verdict.holds],
    )


def _memory(roles: dict[str, float]) -> str:
    """Each process, those of a kind together."""
    kinds: dict[str, list[float]] = {}
    for role, mib in roles.items():
        kinds.setdefault(role.partition("-")[0], []).append(mib)
    return "; ".join(
        f"{kind} {', '.join(f'{mib:.0f}' for mib in mibs)}" for kind, mibs in kinds.items()
    )


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    full = [[*row, *[""] * (len(headings) - len(row))] for row in rows]
    return "\n".join(
        f"| {' | '.join(line)} |" for line in [headings, ["---"] * len(headings), *full]
    )
