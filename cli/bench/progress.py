"""One line on the terminal that tells how far a run is. No I/O, no clock."""

from __future__ import annotations

from zeropool.cli.bench.latencies import P99
from zeropool.cli.bench.trial import Phase, Trial

#: A person reads no faster.
REFRESH_S = 0.5
#: To the beginning of the line, and the rest of it empty (ECMA-48).
ERASE = "\r\x1b[K"


class Progress:
    """Says when the line is to be written again, and what it says."""

    def __init__(self, loads: int, max_windows: int) -> None:
        self._loads = loads
        self._max_windows = max_windows
        self._number = 0
        self._what = ""
        self._next_at = 0.0

    def __repr__(self) -> str:
        return f"<Progress {self._number} of {self._loads}>"

    def begin(self, what: str) -> None:
        """The next load comes; ``what`` names it."""
        self._number += 1
        self._what = what

    def line(self, trial: Trial, now: float) -> str:
        """What to write now; empty where the last line will do."""
        if now < self._next_at:
            return ""
        self._next_at = now + REFRESH_S
        # A line that a terminal of 80 columns breaks could not be taken back.
        return f"{ERASE}{self._what} ({self._number}/{self._loads}) {self._state(trial, now)}"

    def _state(self, trial: Trial, now: float) -> str:
        if trial.phase is Phase.WARMING:
            return "warming up"
        current = trial.current
        seconds = current.open_for_s(now)
        pace = len(current.latencies) / seconds if seconds > 0 else 0.0
        errors = current.errors.total()
        told = f", {errors:,} errors" if errors else ""
        number = min(len(trial.windows) + 1, self._max_windows)
        return (
            f"window {number}/{self._max_windows}: {pace:,.0f} calls/s, "
            f"p99 {current.latencies.quantile_s(P99) * 1e3:.3g} ms{told}"
        )
