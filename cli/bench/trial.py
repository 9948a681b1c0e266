"""One load on one server, window after window, until its figures hold still. No I/O, no clock.

After a warm-up the load goes on without a pause and is looked at in windows. It is stable when
`WINDOWS_IN_A_ROW` windows in a row agree on throughput and p99; after the most windows that the
rules allow, it is said not to be. Times are seconds on one monotonic scale.
Source of the rule: Triton's perf_analyzer, `--stability-percentage`.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Sequence

import msgspec

from zeropool.cli.bench.latencies import P99, Latencies

#: perf_analyzer's number: two may agree by chance.
WINDOWS_IN_A_ROW = 3
#: The p99 of fewer is their longest; a window with fewer calls goes on.
MIN_CALLS = 100
#: But not longer than so many windows.
MAX_STRETCH = 5


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """How long a load is measured."""

    warm_up_s: float
    window_s: float
    #: How far each of the windows in a row may be from their mean, as a share of it.
    tolerance: float
    max_windows: int


class CpuTime(msgspec.Struct, frozen=True, gc=False):
    """CPU seconds that the generator has used: its Python thread, and libzmq's."""

    python_s: float
    libzmq_s: float


class Phase(enum.Enum):
    """How far a trial is."""

    WARMING = "warming"
    MEASURING = "measuring"
    STABLE = "stable"
    #: So many windows were not enough, or one brought nothing but errors.
    UNSTABLE = "unstable"
    #: The load ended before its time.
    CUT = "cut"


class Window:
    """What one span of a load brought: right answers by their latencies, all else by name."""

    __slots__ = (
        *("_began_at", "_began_cpu", "answers", "cpu", "errors", "latencies", "lateness"),
        *("p99_s", "seconds"),
    )

    def __init__(self, began_at: float, cpu: CpuTime) -> None:
        self._began_at = began_at
        self._began_cpu = cpu
        self.latencies = Latencies()
        #: By how much calls left later than they were due, where they were due at a time.
        self.lateness = Latencies()
        self.errors: Counter[str] = Counter()
        #: From here on, what is known when it is closed.
        self.seconds = 0.0
        self.cpu = CpuTime(0.0, 0.0)
        self.answers = 0
        self.p99_s = 0.0

    def __repr__(self) -> str:
        return (
            f"<Window seconds={self.seconds:.3f} answers={len(self.latencies)} "
            f"errors={self.errors.total()}>"
        )

    @property
    def calls(self) -> int:
        """Calls that ended in it."""
        return len(self.latencies) + self.errors.total()

    @property
    def answers_per_s(self) -> float:
        """Right answers a second."""
        return self.answers / self.seconds if self.seconds else 0.0

    def open_for_s(self, now: float) -> float:
        """Seconds since it began."""
        return now - self._began_at

    def close(self, now: float, cpu: CpuTime) -> None:
        """Nothing more comes."""
        self.seconds = now - self._began_at
        self.answers = len(self.latencies)
        self.p99_s = self.latencies.quantile_s(P99)
        self.cpu = CpuTime(
            cpu.python_s - self._began_cpu.python_s, cpu.libzmq_s - self._began_cpu.libzmq_s
        )

    def forget_latencies(self) -> None:
        """Keep the figures only: a run may have ten thousand windows."""
        self.latencies, self.lateness = Latencies(), Latencies()


class Trial:
    """A load from its first call to its verdict; its owner calls `advance` at `due_at`."""

    def __init__(self, rules: Rules, now: float, cpu: CpuTime) -> None:
        self._rules = rules
        #: The windows that are complete.
        self.windows: list[Window] = []
        self.phase = Phase.WARMING
        #: Calls that were open at its end and failed then, by name.
        self.late_errors: Counter[str] = Counter()
        self._begin(now, cpu, rules.warm_up_s)

    def __repr__(self) -> str:
        return f"<Trial {self.phase.value} windows={len(self.windows)}>"

    @property
    def is_over(self) -> bool:
        """There is a verdict."""
        return self.phase not in {Phase.WARMING, Phase.MEASURING}

    def advance(self, now: float, cpu: CpuTime) -> None:
        """End the warm-up, or a window, and judge."""
        if self.phase is Phase.WARMING:
            self.phase = Phase.MEASURING
        elif self._is_too_thin(now):
            self.due_at = now + self._rules.window_s
            return
        else:
            self._end_window(now, cpu)
        if not self.is_over:
            self._begin(now, cpu, self._rules.window_s)

    def cut(self, now: float, cpu: CpuTime) -> None:
        """The load ends here; what the present window brought counts."""
        if self.is_over:
            return
        if self.phase is Phase.MEASURING and self.current.calls:
            self._end_window(now, cpu)
        self.phase = Phase.CUT

    def verdict_windows(self) -> list[Window]:
        """The windows whose figures stand for the load: the last in a row."""
        return self.windows[-WINDOWS_IN_A_ROW:]

    def _begin(self, now: float, cpu: CpuTime, seconds: float) -> None:
        self.current = Window(now, cpu)
        #: When there is something to decide.
        self.due_at = now + seconds

    def _is_too_thin(self, now: float) -> bool:
        if not self.current.calls:
            # One will end at last, if only by its timeout.
            return True
        longest_s = MAX_STRETCH * self._rules.window_s
        return self.current.calls < MIN_CALLS and self.current.open_for_s(now) < longest_s

    def _end_window(self, now: float, cpu: CpuTime) -> None:
        self.current.close(now, cpu)
        self.windows.append(self.current)
        for window in self.windows[-WINDOWS_IN_A_ROW - 1 : -WINDOWS_IN_A_ROW]:
            window.forget_latencies()
        if agree(self.windows[-WINDOWS_IN_A_ROW:], self._rules.tolerance):
            self.phase = Phase.STABLE
        elif len(self.windows) >= self._rules.max_windows or not self.current.answers:
            self.phase = Phase.UNSTABLE


def agree(windows: Sequence[Window], tolerance: float) -> bool:
    """Tell whether these are enough windows, with about the same throughput and p99."""
    if len(windows) < WINDOWS_IN_A_ROW:
        return False
    paces = [window.answers_per_s for window in windows]
    return _is_close(paces, tolerance) and _is_close([w.p99_s for w in windows], tolerance)


def _is_close(values: Sequence[float], tolerance: float) -> bool:
    mean = sum(values) / len(values)
    return mean > 0 and all(abs(value - mean) <= tolerance * mean for value in values)
