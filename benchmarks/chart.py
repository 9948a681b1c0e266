"""The chart of a run, as SVG: what each server answers, and what a call costs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from summary import Line, Report

#: Inches; a row needs about a quarter of one.
WIDTH = 10.0
ROW_HEIGHT = 0.26
MARGIN_HEIGHT = 0.9
OURS, OTHERS, LIGHT = "#c2410c", "#64748b", "#fdba74"
#: Zeropool's keys begin with this.
_OUR_KEY = "zeropool"


def draw(report: Report, path: Path) -> None:
    """Write the chart; the same report makes the same bytes."""
    # Only who draws needs matplotlib.
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("svg")
    # Text stays text, and identifiers do not change from run to run.
    mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "zeropool", "font.size": 8}
    from matplotlib import pyplot as plt  # noqa: PLC0415

    loads = sorted({line.in_flight for line in report.lines})
    measured = [key for key in report.servers if any(line.server == key for line in report.lines)]
    height = len(loads) * (len(measured) * ROW_HEIGHT + MARGIN_HEIGHT)
    figure, rows = plt.subplots(
        len(loads), 2, figsize=(WIDTH, height), squeeze=False, layout="constrained"
    )
    for in_flight, (rate_axes, cost_axes) in zip(loads, rows, strict=True):
        lines = {line.server: line for line in report.lines if line.in_flight == in_flight}
        shown = [lines[key] for key in measured if key in lines]
        _rates(rate_axes, shown, report, in_flight)
        _costs(cost_axes, shown)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _rates(axes: Any, lines: list[Line], report: Report, in_flight: int) -> None:  # noqa: ANN401
    medians = [line.calls_per_s.median for line in lines]
    below = [line.calls_per_s.median - line.calls_per_s.lowest for line in lines]
    above = [line.calls_per_s.highest - line.calls_per_s.median for line in lines]
    bars = axes.barh(
        range(len(lines)),
        medians,
        xerr=[below, above],
        color=[OURS if line.server.startswith(_OUR_KEY) else OTHERS for line in lines],
        error_kw={"elinewidth": 0.8, "ecolor": "black"},
    )
    axes.bar_label(bars, labels=[f"{rate:,.0f}" for rate in medians], padding=4)
    axes.set_yticks(range(len(lines)), [report.servers[line.server] for line in lines])
    axes.set_title(f"{in_flight} in flight: calls/s (more is better)", loc="left")
    _tidy(axes)


def _costs(axes: Any, lines: list[Line]) -> None:  # noqa: ANN401
    """Where a gateway is known apart, its share stands first."""
    gateways = [line.gateway_us.median for line in lines]
    totals = [line.server_us.median for line in lines]
    rests = [total - gateway for total, gateway in zip(totals, gateways, strict=True)]
    axes.barh(range(len(lines)), gateways, color=LIGHT)
    bars = axes.barh(range(len(lines)), rests, left=gateways, color=OTHERS)
    axes.bar_label(bars, labels=[f"{total:,.0f}" for total in totals], padding=4)
    axes.set_yticks(range(len(lines)), [""] * len(lines))
    axes.set_title("server CPU, µs a call (less is better; light: the gateway)", loc="left")
    _tidy(axes)


def _tidy(axes: Any) -> None:  # noqa: ANN401 - matplotlib's, which may not be installed
    axes.invert_yaxis()
    axes.margins(x=0.18)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
