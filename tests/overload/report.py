"""What an experiment promised and what it found: for a person, for a file, for an exit code."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any


class Report:
    """Promises, each with its bound and its figure, and everything else that was measured."""

    def __init__(self, experiment: str, settings: dict[str, Any]) -> None:
        self._experiment = experiment
        self._settings = settings
        self._promises: list[dict[str, Any]] = []
        self._figures: dict[str, Any] = {}
        self._began_at = time.monotonic()

    def at_most(self, promise: str, figure: float | None, bound: float, unit: str) -> None:
        """The figure must not be above the bound."""
        self._add(promise, figure, f"≤ {bound:g} {unit}", figure is not None and figure <= bound)

    def at_least(self, promise: str, figure: float | None, bound: float, unit: str) -> None:
        """The figure must not be below the bound."""
        self._add(promise, figure, f"≥ {bound:g} {unit}", figure is not None and figure >= bound)

    def exactly(self, promise: str, figure: object, wanted: object) -> None:
        """The figure must be this."""
        self._add(promise, figure, f"= {wanted}", figure == wanted)

    def _add(self, promise: str, figure: object, bound: str, is_kept: bool) -> None:  # noqa: FBT001
        self._promises.append(
            {"promise": promise, "figure": figure, "bound": bound, "kept": is_kept}
        )
        mark = "kept  " if is_kept else "BROKEN"
        sys.stdout.write(f"  {mark} {promise}: {figure} (bound {bound})\n")
        sys.stdout.flush()

    def chapter(self, title: str) -> None:
        """Begin a part of the experiment."""
        sys.stdout.write(f"{title}\n")
        sys.stdout.flush()

    def figure(self, name: str, value: object) -> None:
        """Keep a figure that is no promise."""
        self._figures[name] = value
        sys.stdout.write(f"         {name}: {json.dumps(value)}\n")
        sys.stdout.flush()

    @property
    def broken(self) -> list[str]:
        """The promises that were not kept."""
        return [entry["promise"] for entry in self._promises if not entry["kept"]]

    def as_dict(self) -> dict[str, Any]:
        """The whole report in plain values."""
        return {
            "experiment": self._experiment,
            "kept": not self.broken,
            "took_s": round(time.monotonic() - self._began_at, 1),
            "settings": self._settings,
            "machine": {
                "cores": os.cpu_count(),
                "python": platform.python_version(),
                "load_average": [round(load, 2) for load in os.getloadavg()],
            },
            "promises": self._promises,
            "figures": self._figures,
        }

    def finish(self, out: Path | None) -> int:
        """Write the file, say the verdict, return the exit code."""
        if out is not None:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(json.dumps(self.as_dict(), indent=1, ensure_ascii=False) + "\n")
        verdict = (
            f"{len(self.broken)} promises broken: {self.broken}" if self.broken else "all kept"
        )
        sys.stdout.write(f"{self._experiment}: {verdict}\n")
        return 1 if self.broken else 0


def parser(description: str) -> argparse.ArgumentParser:
    """Options that every experiment has."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--seconds", type=float, default=60.0, help="length of each phase")
    made.add_argument("--out", type=Path, default=None, metavar="FILE.json")
    return made
