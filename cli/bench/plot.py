"""The findings of a run as a picture: throughput and latencies over the load.

matplotlib is an extra, `zeropool[plot]`: nobody who serves models needs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from zeropool.cli.bench.report import title
from zeropool.cli.bench.result import Mode, Point, Target
from zeropool.cli.bench.trial import Phase

#: File name endings that matplotlib is asked for.
FORMATS = (".svg", ".png")
_SIZE_INCHES = (8.0, 7.0)
_DOTS_PER_INCH = 150
#: Around a point of 6.
_RING_POINTS = 11
#: Loads that differ by less are told apart on a linear scale.
_LOG_FROM_RATIO = 8
#: Of what is told of latencies, in this order from below.
_LINES = (("p50", "p50"), ("p90", "p90"), ("p99", "p99"), ("p999", "p99.9"))
#: Okabe and Ito, Color Universal Design: also for those who tell few colours apart.
_COLOURS = ("#0072B2", "#009E73", "#E69F00", "#D55E00")


def is_possible() -> bool:
    """Tell whether matplotlib is there."""
    return find_spec("matplotlib") is not None


def draw(target: Target, points: Sequence[Point], path: str) -> None:
    """Write the picture to a file whose name ends with one of `FORMATS`.

    Raises:
        OSError: the file cannot be written.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 - an extra, and slow to import

    figure = Figure(figsize=_SIZE_INCHES, layout="constrained")
    throughput, latency = figure.subplots(2, 1, sharex=True)
    figure.suptitle(title(target), fontsize="medium")
    _draw_throughput(throughput, points)
    _draw_latency(latency, points)
    loads = [point.load for point in points]
    if max(loads) >= _LOG_FROM_RATIO * min(loads):
        latency.set_xscale("log")
        latency.set_xticks(loads, labels=[f"{load:g}" for load in loads])
        latency.minorticks_off()
    latency.set_xlabel("calls in flight" if target.mode is Mode.CONCURRENCY else "calls due/s")
    for axes in (throughput, latency):
        axes.grid(visible=True, alpha=0.3)
    figure.savefig(path, dpi=_DOTS_PER_INCH)


def _draw_throughput(axes: Any, points: Sequence[Point]) -> None:  # noqa: ANN401 - no stubs needed
    loads = [point.load for point in points]
    paces = [point.answers_per_s for point in points]
    axes.plot(loads, paces, "o-", color=_COLOURS[0], label="right answers")
    failed = [sum(point.errors.values()) / point.seconds for point in points]
    if any(failed):
        axes.plot(loads, failed, "x--", color=_COLOURS[3], label="errors")
    axes.legend()
    axes.set_ylabel("calls/s")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_ylim(bottom=0)


def _draw_latency(axes: Any, points: Sequence[Point]) -> None:  # noqa: ANN401 - likewise
    from matplotlib.ticker import LogLocator, NullFormatter  # noqa: PLC0415 - an extra

    answered = [point for point in points if point.answers]
    loads = [point.load for point in answered]
    for (name, label), colour in zip(_LINES, _COLOURS, strict=True):
        values = [getattr(point.latency_ms, name) for point in answered]
        axes.plot(loads, values, "o-", color=colour, label=label)
    moving = [point for point in answered if point.verdict is not Phase.STABLE]
    if moving:
        axes.plot(
            [point.load for point in moving],
            [point.latency_ms.p99 for point in moving],
            "o",
            color="black",
            fillstyle="none",
            markersize=_RING_POINTS,
            label="not stable",
        )
    axes.set_ylabel("latency, ms")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.legend()
