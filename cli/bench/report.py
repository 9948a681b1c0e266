"""The findings of a run as text: a table for people, CSV for spreadsheets."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from typing import Protocol

from zeropool.cli.bench.result import Mode, Point, Target
from zeropool.cli.bench.trial import Phase

#: A generator that is busier may be what was measured.
BUSY_SHARE = 0.9
#: Calls that leave later than this, and by a good part of what is measured, blur it.
LATE_MS, LATE_PART = 0.5, 0.1
#: Less of the calls that are due is more than the chance of their arrivals.
KEPT_UP_PART = 0.9
#: Kinds of errors, and characters of a message, that are told for a load.
MAX_KINDS = 5
MAX_MESSAGE = 160

_MARKS = {
    Phase.UNSTABLE: "~ not stable: throughput or p99 still moved when the most windows were over",
    Phase.CUT: "- cut short: too few windows to tell whether it is stable",
}
#: Together as wide as a terminal that nobody has made wider.
_COLUMNS = (
    *(("calls/s", 9), ("p50 ms", 8), ("p90 ms", 8), ("p99 ms", 8), ("p99.9 ms", 9)),
    *(("max ms", 8), ("errors", 8), ("load %", 7)),
)
_LOAD_WIDTH = 11


class Out(Protocol):
    """Where CSV goes."""

    def write(self, text: str, /) -> object:
        """Write a piece of text."""


def title(target: Target) -> str:
    """What is measured, in a line."""
    connections = "1 connection" if target.connections == 1 else f"{target.connections} connections"
    arrivals = f", {target.arrivals} arrivals" if target.arrivals else ""
    return f"{target.method} at {target.endpoint}, {connections}{arrivals}"


def heading(mode: Mode) -> str:
    """The first line of the table."""
    name = "concurrency" if mode is Mode.CONCURRENCY else "rate/s"
    columns = "".join(f"{text:>{width}}" for text, width in _COLUMNS)
    return f"{name:>{_LOAD_WIDTH}}  {columns}"


def row(point: Point) -> str:
    """The line of a load; a mark behind the load says what is to be said of it below."""
    latency = point.latency_ms
    times = (latency.p50, latency.p90, latency.p99, latency.p999, latency.max)
    cells = [
        _number(point.answers_per_s),
        *(_milliseconds(ms) if point.answers else "-" for ms in times),
        f"{sum(point.errors.values()):,}",
        f"{point.generator_share * 100:.0f}",
    ]
    mark = _MARKS.get(point.verdict, " ")[0]
    columns = "".join(f"{cell:>{width}}" for cell, (_, width) in zip(cells, _COLUMNS, strict=True))
    return f"{_number(point.load):>{_LOAD_WIDTH}} {mark}{columns}"


def notes(target: Target, points: Iterable[Point], messages: Mapping[str, str]) -> list[str]:
    """What the table does not say, in lines."""
    points = list(points)
    lines = [
        text for phase, text in _MARKS.items() if any(point.verdict is phase for point in points)
    ]
    for point in points:
        lines += [f"{_at(target, point)}: {text}" for text in _remarks(target, point)]
    told = list(dict.fromkeys(name for point in points for name in point.errors))[:MAX_KINDS]
    lines += [f"{name}: {_shortened(messages[name])}" for name in told if messages.get(name)]
    return lines


def _remarks(target: Target, point: Point) -> Iterable[str]:
    if point.errors:
        kinds = list(point.errors.items())
        counts = ", ".join(f"{count:,} {name}" for name, count in kinds[:MAX_KINDS])
        more = f" and {len(kinds) - MAX_KINDS} other kinds" if len(kinds) > MAX_KINDS else ""
        yield f"{counts}{more}"
    if point.generator_share > BUSY_SHARE:
        yield (
            f"warning: this generator used {point.generator_share * 100:.0f} % of one core; "
            "the server may be faster than it"
        )
    ended_per_s = (point.answers + sum(point.errors.values())) / point.seconds
    if target.mode is Mode.RATE and ended_per_s < KEPT_UP_PART * point.load:
        pace = _number(ended_per_s)
        yield f"only {pace} calls/s ended: more were due than the server, or this machine, carries"
    latency_ms = point.latency_ms.p50
    if point.late_p99_ms > max(LATE_MS, LATE_PART * latency_ms):
        yield (
            f"warning: one call in a hundred left {_milliseconds(point.late_p99_ms)} ms or more "
            "later than due; their latencies count that"
        )


def _at(target: Target, point: Point) -> str:
    return f"{target.mode.value} {_number(point.load)}"


def _shortened(message: str) -> str:
    text = " ".join(message.split())
    return text if len(text) <= MAX_MESSAGE else f"{text[:MAX_MESSAGE]}…"


def _number(value: float) -> str:
    if value >= 999.5 or value == round(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _milliseconds(value: float) -> str:
    if value >= 999.95:
        return f"{value:,.0f}"
    return f"{value:.3f}" if value < 9.9995 else f"{value:.1f}"


def write_csv(target: Target, points: Iterable[Point], out: Out) -> None:
    """Write a line for each load, below a line of names."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        (
            *(target.mode.value, "verdict", "seconds", "answers", "answers_per_s"),
            *("mean_ms", "p50_ms", "p90_ms", "p99_ms", "p99.9_ms", "max_ms"),
            *("errors", "generator_share", "late_p99_ms"),
        )
    )
    for point in points:
        latency = point.latency_ms
        times = (latency.mean, latency.p50, latency.p90, latency.p99, latency.p999, latency.max)
        writer.writerow(
            (
                *(f"{point.load:g}", point.verdict.value, f"{point.seconds:.3f}", point.answers),
                f"{point.answers_per_s:.2f}",
                *(f"{ms:.4f}" for ms in times),
                " ".join(f"{name}={count}" for name, count in point.errors.items()),
                *(f"{point.generator_share:.3f}", f"{point.late_p99_ms:.4f}"),
            )
        )
