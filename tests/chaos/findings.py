"""What an experiment found: figures, and which promises were kept. Printed, and written as JSON."""

import json
import math
import os
import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zmq

#: An exit code of its own: the experiment ran, and Zeropool did not keep its word.
EXIT_BROKEN = 1


@dataclass
class Promise:
    """What Zeropool promises, and what was seen."""

    promise: str
    seen: Any
    is_kept: bool
    #: It is about milliseconds, which a busy machine takes from anybody.
    is_speed: bool = False


@dataclass
class Findings:
    """The result of one experiment."""

    experiment: str
    settings: dict[str, Any]
    figures: dict[str, Any] = field(default_factory=dict)
    promises: list[Promise] = field(default_factory=list)
    started_at: float = field(default_factory=time.monotonic)

    def expect(self, promise: str, is_kept: object, seen: Any) -> None:
        self.promises.append(Promise(promise, seen, bool(is_kept)))

    def expect_speed(self, promise: str, is_kept: object, seen: Any) -> None:
        """As `expect`, but a test that runs beside others does not ask for it."""
        self.promises.append(Promise(promise, seen, bool(is_kept), is_speed=True))

    @property
    def broken(self) -> list[Promise]:
        """The promises that were not kept."""
        return [each for each in self.promises if not each.is_kept]

    def as_json(self) -> dict[str, Any]:
        return {
            "experiment": self.experiment,
            "kept": not self.broken,
            "settings": self.settings,
            "figures": self.figures,
            "promises": [vars(each) for each in self.promises],
            "took_s": round(time.monotonic() - self.started_at, 1),
            "machine": machine(),
        }

    def lines(self) -> list[str]:
        """The same for a person."""
        settings = " ".join(f"{key}={value}" for key, value in self.settings.items())
        lines = [f"{self.experiment}  {settings}"]
        lines += [f"  {key:<28} {value}" for key, value in self.figures.items()]
        lines += [
            f"  {'kept  ' if each.is_kept else 'BROKEN'} {each.promise}: {each.seen}"
            for each in self.promises
        ]
        return lines

    def publish(self, out: Path | None) -> int:
        """Print everything, write it to ``out``; return the exit code."""
        print("\n".join(self.lines()), flush=True)  # noqa: T201 - this is what it is for
        if out is not None:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(json.dumps(self.as_json(), indent=1) + "\n")
        return EXIT_BROKEN if self.broken else 0


def machine() -> dict[str, Any]:
    """What it ran on, without anything that tells whose machine it is."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "load_1min": round(os.getloadavg()[0], 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "libzmq": zmq.zmq_version(),
    }


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that is not below ``share`` of all; NaN of none."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def spread_ms(values_s: Sequence[float]) -> dict[str, float]:
    """How spans of seconds lie, in milliseconds."""
    figures = {
        "p50": percentile(values_s, 0.50),
        "p99": percentile(values_s, 0.99),
        "max": max(values_s, default=math.nan),
    }
    return {"samples": len(values_s)} | {
        f"{name}_ms": round(value * 1000, 2) for name, value in figures.items()
    }


@dataclass(frozen=True)
class Line:
    """A straight line through samples by least squares."""

    slope: float
    #: Standard error of the slope: a slope within twice of it is none.
    error: float


def fit(points: Sequence[tuple[float, float]]) -> Line:
    """The line through (x, y) points; a slope of 0 where there are too few."""
    if len(points) < 3:
        return Line(0.0, math.inf)
    xs, ys = [x for x, _ in points], [y for _, y in points]
    slope, intercept = statistics.linear_regression(xs, ys)
    mean_x = statistics.fmean(xs)
    spread = sum((x - mean_x) ** 2 for x in xs)
    rest = sum((y - intercept - slope * x) ** 2 for x, y in points)
    return Line(slope, math.sqrt(rest / (len(points) - 2) / spread))
