"""The workers that have registered: what each can do, how much it holds, how it is getting on.

No I/O, no clock. Times are monotonic seconds, costs are expected seconds of a worker's time.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import Final

from zeropool.shared.jobs import Register

#: A worker is given work ahead only while what it holds will keep it busy for less than this:
#: enough to hide the way to and from the gateway (a round trip is about 0.2 ms), and so little
#: that nobody waits long behind a slow call while another worker is free.
MAX_BACKLOG_S: Final = 0.010
#: A busy worker from which nothing has come for so long gets nothing more until something does.
STALLED_AFTER_S: Final = 0.050
#: Numbers of Results that are remembered beyond a gap. Only what two connections of one worker
#: bring out of order leaves a gap, a few messages at most; the rest is a peer that makes them up.
MAX_AHEAD: Final = 1_024


class WorkerState(enum.Enum):
    """Where a worker is in its life, as the gateway sees it."""

    #: Registered; the connection to its endpoint is not up yet.
    CONNECTING = "connecting"
    READY = "ready"
    #: Finishes what it has and takes nothing new.
    DRAINING = "draining"


# Bound once: looking a member up on its enum costs 0.15 µs on Python 3.11, as much as a call.
_CONNECTING: Final = WorkerState.CONNECTING
_READY: Final = WorkerState.READY


class Worker:
    """One incarnation of a worker process."""

    def __init__(  # noqa: PLR0913, PLR0917 - a record
        self,
        worker_id: str,
        endpoint: str,
        models: tuple[str, ...],
        credit: int,
        pid: int,
        host: str,
        link: int,
        registered_at: float,
        heard_at: float,
        state: WorkerState = _CONNECTING,
    ) -> None:
        self.worker_id = worker_id
        self.endpoint = endpoint
        self.models = models
        #: Most unanswered rows that it wants to hold.
        self.credit = credit
        self.pid = pid
        self.host = host
        #: The worker's name for its connection to this gateway.
        self.link = link
        self.registered_at = registered_at
        self.heard_at = heard_at
        self.state = state
        self.held_rows = 0
        self.backlog_s = 0.0
        #: When it last sent a result, or went from idle to busy.
        self.progress_at = 0.0
        self.answered_rows = 0
        self.busy_s = 0.0
        #: Which of its registrations was heard last.
        self.serial = 0
        #: Number of its Results up to which all were seen, and those that were seen beyond a gap.
        self.seen = 0
        self.ahead: set[int] = set()

    @classmethod
    def registered(cls, message: Register, now: float) -> Worker:
        """The worker that a message tells of."""
        worker = cls(
            message.worker,
            message.endpoint,
            tuple(info.qualified_name for info in message.models),
            message.credit,
            message.pid,
            message.host,
            message.link,
            registered_at=now,
            heard_at=now,
        )
        # What it sent before, to a gateway that had given it up, is of no use any more.
        worker.seen = message.last
        worker.serial = message.serial
        return worker

    def __repr__(self) -> str:
        return (
            f"<Worker {self.worker_id} {self.state.value} pid={self.pid} "
            f"held_rows={self.held_rows} answered_rows={self.answered_rows}>"
        )

    def can_take(self, now: float) -> bool:
        """Tell whether the worker can soon start one more task."""
        if self.state is not _READY:
            return False
        if self.held_rows == 0:
            return True
        if self.held_rows >= self.credit or self.backlog_s >= MAX_BACKLOG_S:
            return False
        return now - self.progress_at < STALLED_AFTER_S

    def sees(self, number: int) -> bool:
        """A Results message of that number is here; tell whether for the first time."""
        if number == self.seen + 1:
            self.seen = number
            while self.ahead and self.seen + 1 in self.ahead:
                self.seen += 1
                self.ahead.remove(self.seen)
            return True
        if number == 0:
            return True
        if number <= self.seen or number in self.ahead:
            return False
        if len(self.ahead) < MAX_AHEAD:
            self.ahead.add(number)
        return True

    def is_stalled(self, now: float) -> bool:
        """Tell whether it holds work and has been silent for longer than its work should take."""
        return self.held_rows > 0 and now - self.progress_at >= STALLED_AFTER_S

    def took(self, rows: int, cost_s: float, now: float) -> None:
        """A task was sent to it."""
        if self.held_rows == 0:
            self.progress_at = now
        self.held_rows += rows
        self.backlog_s += cost_s

    def gave(self, rows: int, cost_s: float, now: float) -> None:
        """It answered or returned a task."""
        self.progress_at = now
        self.lost(rows, cost_s)

    def lost(self, rows: int, cost_s: float) -> None:
        """A task was taken from it."""
        self.held_rows -= rows
        # Sums of floats drift; an idle worker has no backlog.
        self.backlog_s = self.backlog_s - cost_s if self.held_rows else 0.0


class Fleet:
    """The registered workers, by id."""

    def __init__(self) -> None:
        self._workers: dict[str, Worker] = {}

    def __len__(self) -> int:
        return len(self._workers)

    def __iter__(self) -> Iterator[Worker]:
        return iter(self._workers.values())

    def __repr__(self) -> str:
        counts = {state.value: self.count(state) for state in WorkerState}
        return "<Fleet " + " ".join(f"{name}={n}" for name, n in counts.items()) + ">"

    def get(self, worker_id: str) -> Worker | None:
        """The worker of that id, if it is registered."""
        return self._workers.get(worker_id)

    def add(self, worker: Worker) -> None:
        """A worker registered."""
        self._workers[worker.worker_id] = worker

    def remove(self, worker_id: str) -> Worker | None:
        """A worker is gone."""
        return self._workers.pop(worker_id, None)

    def seen_of(self, worker_id: str) -> int:
        """Number of the Results up to which all of a worker's were seen."""
        worker = self._workers.get(worker_id)
        return worker.seen if worker is not None else 0

    def count(self, state: WorkerState) -> int:
        """Number of workers in a state."""
        return sum(worker.state is state for worker in self)

    def holding(self, model: str) -> list[Worker]:
        """The ready workers that hold a model."""
        return [
            worker
            for worker in self._workers.values()
            if model in worker.models and worker.state is _READY
        ]
