"""A real service under measurement, generators beside it, and eyes on the gateway process."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import msgspec
import psutil
from harness import MODELS, Service, environment
from overload.books import Books, Demand

TESTS = Path(__file__).parents[1]
MIB = 1024 * 1024
SAMPLE_EVERY_S = 0.2
#: Between the word to the generators and their common start.
START_AFTER_S = 0.3
#: What a generator needs after its time is over: see `caller.ANSWER_TIMEOUT_S`.
PATIENCE_S = 60.0


@contextlib.contextmanager
def service(toml: str, workers: int = 2) -> Iterator[Service]:
    """A service of its own, which is seen to be gone at the end."""
    with tempfile.TemporaryDirectory() as folder:
        started = Service(Path(folder), toml, workers=workers)
        try:
            yield started.ready()
        finally:
            started.stop()


class Child:
    """One generator or one hostile peer: a module of tests/overload as a process."""

    def __init__(self, module: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=TESTS,
            env=environment({"PYTHONPATH": f"{TESTS}:{MODELS}"}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def wait_for_line(self) -> str:
        """The next line that it prints."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"{self.process.args} ended with code {self.process.wait()}"
        return line.strip()

    def say(self, line: str) -> None:
        """Give it a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def rest(self, timeout_s: float) -> str:
        """Everything else that it prints, as soon as it has ended."""
        out, _ = self.process.communicate(timeout=timeout_s)
        assert self.process.returncode == 0, f"{self.process.args} ended badly"
        return out


def run_callers(demands: Sequence[Demand]) -> list[Books]:
    """Let generators run side by side, from one common instant on."""
    with contextlib.ExitStack() as stack:
        callers = [
            stack.enter_context(Child("overload.caller", msgspec.json.encode(demand).decode()))
            for demand in demands
        ]
        for caller in callers:
            caller.wait_for_line()
        start_at = time.monotonic() + START_AFTER_S
        for caller in callers:
            caller.say(repr(start_at))
        patience_s = max(demand.seconds for demand in demands) + PATIENCE_S
        return [msgspec.json.decode(caller.rest(patience_s), type=Books) for caller in callers]


class Watch:
    """Samples memory and descriptors of one process from a thread, while it is entered."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        #: Instant, resident bytes, open descriptors.
        self.samples: list[tuple[float, int, int]] = []

    def __enter__(self) -> Self:
        self._sample()
        self._cpu_s = self._cpu()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        self._cpu_s = self._cpu() - self._cpu_s

    def _run(self) -> None:
        while not self._is_over.wait(SAMPLE_EVERY_S):
            self._sample()

    def _sample(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            rss = self._process.memory_info().rss
            self.samples.append((time.monotonic(), rss, self._process.num_fds()))

    def _cpu(self) -> float:
        try:
            times = self._process.cpu_times()
        except psutil.NoSuchProcess:
            return 0.0
        return float(times.user + times.system)

    @property
    def peak_bytes(self) -> int:
        """Most resident memory that was seen."""
        return max(rss for _, rss, _ in self.samples)

    @property
    def peak_fds(self) -> int:
        """Most open descriptors that were seen."""
        return max(fds for _, _, fds in self.samples)

    def figures(self) -> dict[str, Any]:
        """What a report says of it."""
        return {
            "rss_first_mib": mib(self.samples[0][1]),
            "rss_peak_mib": mib(self.peak_bytes),
            "rss_last_mib": mib(self.samples[-1][1]),
            "fds_first": self.samples[0][2],
            "fds_peak": self.peak_fds,
            "fds_last": self.samples[-1][2],
            "cpu_share": round(self._cpu_s / (self.samples[-1][0] - self.samples[0][0]), 3),
            "samples": len(self.samples),
        }


def mib(size_bytes: float) -> float:
    """Bytes as MiB for display."""
    return round(size_bytes / MIB, 1)


def slope_bytes_per_s(samples: Sequence[tuple[float, int, int]]) -> float:
    """Least-squares slope of resident memory over time."""
    n = len(samples)
    if n < 2:
        return 0.0
    mean_at = sum(at for at, _, _ in samples) / n
    mean_rss = sum(rss for _, rss, _ in samples) / n
    spread = sum((at - mean_at) ** 2 for at, _, _ in samples)
    return sum((at - mean_at) * (rss - mean_rss) for at, rss, _ in samples) / spread
