"""One run of the load tool: the loads one after the other, on the same connections."""

from __future__ import annotations

import gc
import random
import secrets
import signal
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

import zmq

from zeropool.cli.absence import absence, with_reason
from zeropool.cli.bench.arrivals import Arrivals, poisson, steady
from zeropool.cli.bench.calls import RUN_DIGITS, Calls
from zeropool.cli.bench.job import BenchFailed, Job
from zeropool.cli.bench.link import Link
from zeropool.cli.bench.load import Load, Stop
from zeropool.cli.bench.progress import ERASE, Progress
from zeropool.cli.bench.result import Mode, Point, point_of
from zeropool.cli.bench.trial import Trial
from zeropool.shared.signals import Signals

#: As long as for `zeropool call`, and then some: servers accept hundreds of connections a second.
CONNECT_TIMEOUT_S = 3.0
CONNECT_TIMEOUT_PER_CONNECTION_S = 0.01
POISSON = "poisson"
#: The same arrivals in every run, so that two runs can be compared.
_SEED = 1


class Run:
    """Measures what a job asks for.

    Args:
        show: writes to the terminal what is to be seen meanwhile.
    """

    def __init__(self, job: Job, show: Callable[[str], None]) -> None:
        self._job = job
        self._show = show
        self._progress = Progress(len(job.loads), job.rules.max_windows)
        self._link = Link(job.target.endpoint, job.target.connections)
        self._signals = Signals((signal.SIGINT,))
        calls = Calls(
            job.target.method,
            job.requests,
            run=secrets.token_hex(RUN_DIGITS // 2).encode(),
            timeout_s=job.target.timeout_s,
            beat_interval_s=job.heartbeat_s,
            expected=job.expected,
        )
        self._load = Load(self._link, calls, self._signals, self._tell)

    def __repr__(self) -> str:
        return f"<Run {self._job.target.method} {self._load}>"

    @property
    def is_interrupted(self) -> bool:
        """The user had it end."""
        return self._load.stopped is Stop.INTERRUPTED

    @property
    def messages(self) -> dict[str, str]:
        """For each kind of error, the first message."""
        return self._load.messages

    def __enter__(self) -> Self:
        self._signals.open()
        # There are no cycles here, and a collection would count as the server's latency.
        gc.disable()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        gc.enable()
        self._link.close()
        self._signals.close()

    def connect(self) -> None:
        """Open the connections and make a first call.

        Raises:
            BenchFailed: nothing answers, or not as it should.
        """
        target = self._job.target
        try:
            self._link.open()
        except zmq.ZMQError as error:
            message = f"cannot connect to {target.endpoint!r}: {error.strerror}"
            raise BenchFailed(message) from error
        self._require_connections()
        if self.is_interrupted or self._load.try_once() or self.is_interrupted:
            return
        self._require_connection("at the first call")
        [(name, message)] = self.messages.items()
        raise BenchFailed(f"{name}: {message}")

    def points(self) -> Iterator[Point]:
        """Measure load by load; an interrupted run ends with the load that it was at.

        Raises:
            BenchFailed: the server is gone, or has no answers any more.
        """
        for load in self._job.loads:
            if not self.is_interrupted:
                yield from self._measured(load)

    def _require_connections(self) -> None:
        target = self._job.target
        timeout_s = CONNECT_TIMEOUT_S + CONNECT_TIMEOUT_PER_CONNECTION_S * target.connections
        connected = self._load.connect(timeout_s)
        if connected == target.connections or self.is_interrupted:
            return
        if connected:
            raise BenchFailed(
                f"only {connected} of {target.connections} connections to {target.endpoint} "
                f"came up in {timeout_s:g} s"
            )
        raise BenchFailed(absence(with_reason(target.endpoint)))

    def _require_connection(self, when: str) -> None:
        if self._load.stopped is Stop.DISCONNECTED:
            raise BenchFailed(f"{self._job.target.endpoint} ended the connection {when}")

    def _measured(self, load: float) -> Iterator[Point]:
        name = f"{self._job.target.mode.value} {load:,.10g}"
        self._progress.begin(name)
        trial = self._trial(load)
        self._show(ERASE)
        point = point_of(load, trial)
        if point is not None:
            yield point
        self._require_connection(f"at {name}")
        if point is not None and not point.answers and not self.is_interrupted:
            raise BenchFailed(f"no call was answered at {name} in {point.seconds:.3g} s")

    def _trial(self, load: float) -> Trial:
        if self._job.target.mode is Mode.CONCURRENCY:
            return self._load.keep(int(load), self._job.rules)

        def arrivals(began_at: float) -> Arrivals:
            draw = random.Random(_SEED).random  # noqa: S311 - nothing to keep secret
            is_poisson = self._job.target.arrivals == POISSON
            return Arrivals(poisson(load, draw) if is_poisson else steady(load), began_at)

        return self._load.send_at(arrivals, self._job.rules)

    def _tell(self, trial: Trial, now: float) -> None:
        line = self._progress.line(trial, now)
        if line:
            self._show(line)
