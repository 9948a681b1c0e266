"""The load generator's shell: the clock, the connections, and one loop that does what is due.

The loop keeps a number of calls in flight, or sends them when they are due, and takes what comes;
`Calls`, `Arrivals` and `Trial` decide.
"""

from __future__ import annotations

import enum
import math
import time
from collections.abc import Callable
from typing import Protocol

import zmq

from zeropool.cli.bench.arrivals import Arrivals
from zeropool.cli.bench.calls import Calls, Ended
from zeropool.cli.bench.link import Link
from zeropool.cli.bench.trial import CpuTime, Rules, Trial, Window
from zeropool.shared.signals import Signals

#: Between two looks at signals, timeouts, heartbeats and the connections.
LOOK_S = 0.05
#: Answers that are taken before it is looked at what else is due: about a millisecond's.
MAX_DRAIN = 128
#: Calls of an open loop that are open at a time: beyond, those that are due wait in the generator
#: and count from when they were due. Each holds 200 bytes here, and much more in a server.
MAX_OPEN = 65_536

_clock = time.perf_counter


class Stop(enum.Enum):
    """Why a load ended before its time."""

    INTERRUPTED = "interrupted"
    DISCONNECTED = "disconnected"


class _Pace(Protocol):
    """When calls leave."""

    #: When the next one is due; infinity where only an answer can tell.
    next_at: float

    def due(self, now: float) -> None:
        """Send what is due."""

    def ended(self, peer: bytes, now: float) -> None:
        """Take note that a call on this connection is over."""


class Load:
    """Calls to a server, measured.

    Args:
        watch: called at each look with what is measured, and the time.
    """

    def __init__(
        self, link: Link, calls: Calls, signals: Signals, watch: Callable[[Trial, float], None]
    ) -> None:
        self._link = link
        self._calls = calls
        self._signals = signals
        self._watch = watch
        self._window = Window(0.0, CpuTime(0.0, 0.0))
        self._look_at = 0.0
        #: Why it ended, if it did.
        self.stopped: Stop | None = None
        #: For each kind of error, the first message.
        self.messages: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"<Load {self._link} {self._calls} stopped={self.stopped}>"

    def connect(self, timeout_s: float) -> int:
        """Wait until all connections are up, but not longer; return how many are."""
        now = _clock()
        deadline = now + timeout_s
        connected = 0
        while now < deadline and connected < len(self._link.peers):
            connected = self._link.wait_connected(min(deadline, now + LOOK_S), now)
            if self._signals.take():
                self.stopped = Stop.INTERRUPTED
                break
            now = _clock()
        return connected

    def try_once(self) -> bool:
        """Make one call; tell whether it had a right answer. `messages` says what else."""
        now = _clock()
        self._window = Window(now, cpu_time())
        self._send(self._link.peers[0], now)
        self._loop(_Silence(), lambda _: len(self._calls) > 0)
        return len(self._window.latencies) == 1

    def keep(self, in_flight: int, rules: Rules) -> Trial:
        """Measure with so many calls in flight: each answer is followed by the next request."""
        pace = _Closed(self._send)
        trial = self._begin(rules)
        now = _clock()
        for index in range(in_flight):
            pace.ended(self._link.peers[index % len(self._link.peers)], now)
        return self._measure(trial, pace)

    def send_at(self, arrivals: Callable[[float], Arrivals], rules: Rules) -> Trial:
        """Measure with calls that are due when they are due, whatever became of the last."""
        trial = self._begin(rules)
        return self._measure(trial, _Open(self, arrivals(_clock())))

    def _begin(self, rules: Rules) -> Trial:
        trial = Trial(rules, _clock(), cpu_time())
        self._window = trial.current
        return trial

    def _measure(self, trial: Trial, pace: _Pace) -> Trial:
        def goes_on(now: float) -> bool:
            self._window.latencies.count()
            self._window.lateness.count()
            if now >= trial.due_at:
                trial.advance(now, cpu_time())
                self._window = trial.current
            self._look_at = min(self._look_at, trial.due_at)
            self._watch(trial, now)
            return not trial.is_over

        self._loop(pace, goes_on)
        trial.cut(_clock(), cpu_time())
        # What is still open must not disturb the next load. Its latencies belong to no window, but
        # a call that is never answered must be told also where windows are over before its time.
        self._window = Window(0.0, CpuTime(0.0, 0.0))
        self._loop(_Silence(), lambda _: len(self._calls) > 0)
        self._calls.forget()
        trial.late_errors = self._window.errors
        return trial

    def _loop(self, pace: _Pace, goes_on: Callable[[float], bool]) -> None:
        self._look_at = 0.0
        while self.stopped is None:
            now = _clock()
            if now >= self._look_at:
                self._look(pace, now)
                if not goes_on(now):
                    return
            pace.due(now)
            if not self._receive(pace):
                wake_at = min(self._look_at, pace.next_at)
                self._link.wait(wake_at - _clock(), self._signals)

    def _look(self, pace: _Pace, now: float) -> None:
        self._look_at = now + LOOK_S
        if self._signals.take():
            self.stopped = Stop.INTERRUPTED
        elif self._link.is_broken:
            self.stopped = Stop.DISCONNECTED
        for ended in self._calls.tick(now):
            self._failed(ended)
            pace.ended(ended.peer, now)
        self._transmit_outgoing()

    def _receive(self, pace: _Pace) -> bool:
        """Take what lies there; False where that is all."""
        receive, take, ended_one = self._link.receive, self._calls.take, pace.ended
        observe = self._window.latencies.observe
        for _ in range(MAX_DRAIN):
            payload = receive()
            if payload is None:
                return False
            now = _clock()
            ended = take(payload, now)
            if ended is None:
                # A stream wants its credit now.
                self._transmit_outgoing()
                continue
            if ended.error:
                self._failed(ended)
            else:
                observe(now - ended.due_at)
            ended_one(ended.peer, now)
        return True

    def _failed(self, ended: Ended) -> None:
        self._window.errors[ended.error] += 1
        self.messages.setdefault(ended.error, ended.message)

    def _send(self, peer: bytes, due_at: float) -> None:
        self._transmit(peer, self._calls.ask(peer, due_at))

    def _transmit_outgoing(self) -> None:
        for peer, payload in self._calls.take_outgoing():
            self._transmit(peer, payload)

    def _transmit(self, peer: bytes, payload: bytes) -> None:
        try:
            self._link.send(peer, payload)
        except zmq.ZMQError:
            self.stopped = Stop.DISCONNECTED

    # What an open loop needs of it

    def send_due(self, arrivals: Arrivals, now: float) -> float:
        """Send all calls that are due; return when the next one is."""
        peers = self._link.peers
        late = self._window.lateness.observe
        for _ in range(MAX_DRAIN):
            if arrivals.next_at > now or len(self._calls) >= MAX_OPEN:
                break
            due_at = arrivals.take()
            self._send(peers[self._calls.asked % len(peers)], due_at)
            now = _clock()
            late(now - due_at)
        return math.inf if len(self._calls) >= MAX_OPEN else arrivals.next_at


class _Closed:
    """An answer is followed by the next request on the same connection."""

    next_at = math.inf

    def __init__(self, send: Callable[[bytes, float], None]) -> None:
        self.ended = send

    def due(self, now: float) -> None:
        """Nothing: calls leave when others end."""


class _Open:
    """Calls leave when they are due."""

    def __init__(self, load: Load, arrivals: Arrivals) -> None:
        self._load = load
        self._arrivals = arrivals
        self.next_at = arrivals.next_at

    def due(self, now: float) -> None:
        """Send what is due."""
        self.next_at = self._load.send_due(self._arrivals, now)

    def ended(self, peer: bytes, now: float) -> None:
        """Nothing: others come anyway."""


class _Silence:
    """No calls leave any more."""

    next_at = math.inf

    def due(self, now: float) -> None:
        """Nothing is due."""

    def ended(self, peer: bytes, now: float) -> None:
        """Nothing follows."""


def cpu_time() -> CpuTime:
    """CPU time of this process so far."""
    python_s = time.thread_time()
    return CpuTime(python_s, max(0.0, time.process_time() - python_s))
