"""Which jobs a worker runs next, together: batches formed from what is waiting.

No I/O, no clock. Calls of one model form batches of up to ``max_batch_size`` rows; a task of many
rows is a batch of its own. With ``max_wait_s`` of 0 a batch is what is there; otherwise the oldest
call waits so long for company. Among the models the one whose oldest job came first goes first.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Final

from zeropool.shared.jobs import Job, Kind

# Bound once: looking a member up on its enum costs 0.15 µs on Python 3.11, as much as a call.
_CALL: Final = Kind.CALL
_NEVER: Final = math.inf


class Batch:
    """Jobs of one model and one gateway to run now: calls, or tasks of many rows."""

    __slots__ = ("expired", "gateway", "jobs", "model")

    def __init__(self, model: str, gateway: str, jobs: list[Job], expired: list[Job]) -> None:
        self.model = model
        self.gateway = gateway
        self.jobs = jobs
        #: Jobs whose time ran out while they waited; they are not to be started.
        self.expired = expired

    def __repr__(self) -> str:
        return f"<Batch {self.model} jobs={len(self.jobs)} expired={len(self.expired)}>"

    @property
    def rows(self) -> int:
        """How many rows are to be predicted."""
        rows = 0
        for job in self.jobs:
            if job.kind is _CALL:
                # The others are calls as well, of one row each.
                return len(self.jobs)
            rows += job.rows
        return rows


class BatchLimits:
    """How batches of one model are formed."""

    __slots__ = ("max_rows", "max_wait_s")

    def __init__(self, max_rows: int, max_wait_s: float) -> None:
        self.max_rows = max_rows
        self.max_wait_s = max_wait_s


class _Lot:
    """Jobs of one line that came in one message, one behind the other. Times are monotonic seconds.

    They usually start together, too: so there is no record for each of them.
    """

    __slots__ = ("arrived_at", "first_deadline_at", "jobs", "order", "taken")

    def __init__(self, order: int, arrived_at: float) -> None:
        self.jobs: list[Job] = []
        #: So many of them wait no more.
        self.taken = 0
        #: The place of its first job among all that have come; the others follow it.
        self.order = order
        self.arrived_at = arrived_at
        #: No deadline of its jobs is before this.
        self.first_deadline_at = _NEVER

    def add(self, job: Job) -> None:
        """One more has come."""
        self.jobs.append(job)
        deadline_at = self.arrived_at + job.remaining_s
        self.first_deadline_at = min(self.first_deadline_at, deadline_at)

    def take(self, batch: Batch, room: int, now: float) -> None:
        """Move jobs to a batch: so many, and those that expired before the last of them."""
        start = self.taken
        if self.first_deadline_at > now:
            end = min(start + room, len(self.jobs))
            batch.jobs += self.jobs[start:end]
            self.taken = end
            return
        while room and self.taken < len(self.jobs):
            job = self.jobs[self.taken]
            self.taken += 1
            if self.arrived_at + job.remaining_s <= now:
                batch.expired.append(job)
            else:
                batch.jobs.append(job)
                room -= 1

    def remove(self, is_meant: Callable[[Job], bool]) -> list[Job]:
        """Take out the waiting jobs that are meant."""
        start = self.taken
        waiting = self.jobs[start:]
        self.jobs = [job for job in waiting if not is_meant(job)]
        self.order += self.taken
        self.taken = 0
        return [job for job in waiting if is_meant(job)]


class _Line:
    """The waiting jobs that may share a batch."""

    __slots__ = ("gateway", "is_call", "limits", "lots", "model", "waiting")

    def __init__(self, model: str, gateway: str, limits: BatchLimits, *, is_call: bool) -> None:
        self.model = model
        self.gateway = gateway
        self.limits = limits
        self.is_call = is_call
        #: Each with a job that waits, but while jobs are added or taken.
        self.lots: deque[_Lot] = deque()
        #: Jobs in all of them that wait.
        self.waiting = 0

    @property
    def is_full(self) -> bool:
        """A whole batch waits."""
        return self.waiting >= self.limits.max_rows

    def ready_at(self) -> float:
        """When the next batch may start."""
        arrived_at = self.lots[0].arrived_at
        return arrived_at if self.is_full else arrived_at + self.limits.max_wait_s

    def order(self) -> int:
        """The place of the oldest job among all that have come."""
        lot = self.lots[0]
        return lot.order + lot.taken

    def take(self, now: float) -> Batch:
        """The next batch."""
        batch = Batch(self.model, self.gateway, [], [])
        while self.lots and len(batch.jobs) < self.limits.max_rows:
            lot = self.lots[0]
            lot.take(batch, self.limits.max_rows - len(batch.jobs), now)
            if lot.taken == len(lot.jobs):
                self.lots.popleft()
        self.waiting -= len(batch.jobs) + len(batch.expired)
        return batch

    def remove(self, is_meant: Callable[[Job], bool]) -> list[Job]:
        """Take out the jobs that are meant."""
        removed: list[Job] = []
        for lot in self.lots:
            removed += lot.remove(is_meant)
        self.lots = deque([lot for lot in self.lots if lot.jobs])
        self.waiting -= len(removed)
        return removed


_LineKey = tuple[str, str, bool]


class Batcher:
    """The jobs that a worker has not started."""

    def __init__(self, limits: dict[str, BatchLimits]) -> None:
        self._limits = limits
        #: Those in which nothing waits are kept for what comes next, until their gateway is gone.
        self._lines: dict[_LineKey, _Line] = {}
        #: The one of the last job that came, as the next one is for it as a rule.
        self._last: _Line | None = None
        #: How many jobs have come.
        self._order = 0

    def __len__(self) -> int:
        return sum(line.waiting for line in self._lines.values())

    def __repr__(self) -> str:
        lines = sum(line.waiting > 0 for line in self._lines.values())
        return f"<Batcher jobs={len(self)} lines={lines}>"

    @property
    def is_full(self) -> bool:
        """Jobs wait, and wherever they do, they are a whole batch."""
        has_jobs = False
        for line in self._lines.values():
            if line.waiting:
                if not line.is_full:
                    return False
                has_jobs = True
        return has_jobs

    def add(self, gateway: str, jobs: list[Job], now: float) -> list[Job]:
        """Let jobs that came together wait for their batches; return those of unknown models."""
        foreign: list[Job] = []
        line: _Line | None = None
        lot: _Lot | None = None
        for job in jobs:
            model = job.model
            is_call = job.kind is _CALL
            if line is None or lot is None or line.is_call != is_call or line.model != model:
                line = self._line(model, gateway, is_call=is_call)
                if line is None:
                    foreign.append(job)
                    continue
                lot = _Lot(self._order, now)
                line.lots.append(lot)
            lot.add(job)
            line.waiting += 1
            self._order += 1
        return foreign

    def _line(self, model: str, gateway: str, *, is_call: bool) -> _Line | None:
        line = self._last
        if (
            line is not None
            and line.is_call == is_call
            and line.model == model
            and line.gateway == gateway
        ):
            return line
        line = self._last = self._find_line(model, gateway, is_call=is_call)
        return line

    def _find_line(self, model: str, gateway: str, *, is_call: bool) -> _Line | None:
        key = (model, gateway, is_call)
        line = self._lines.get(key)
        if line is None and model in self._limits:
            limits = self._limits[model] if is_call else BatchLimits(max_rows=1, max_wait_s=0.0)
            line = self._lines[key] = _Line(model, gateway, limits, is_call=is_call)
        return line

    def next_batch(self, now: float) -> Batch | None:
        """The batch to run now, if one is due."""
        line: _Line | None = None
        for each in self._lines.values():
            if not each.waiting:
                continue
            if (line is None or each.order() < line.order()) and each.ready_at() <= now:
                line = each
        return None if line is None else line.take(now)

    def next_deadline(self) -> float:
        """When the next batch is due; in the past where one is, infinite without jobs."""
        deadline = _NEVER
        for line in self._lines.values():
            if line.waiting:
                deadline = min(deadline, line.ready_at())
        return deadline

    def cancel(self, gateway: str, job_ids: set[int]) -> list[Job]:
        """Remove the jobs that have not started, of those named."""
        return self._remove(gateway, lambda job: job.job_id in job_ids)

    def forget_gateway(self, gateway: str) -> list[Job]:
        """Remove all jobs of a gateway that is gone."""
        removed = self._remove(gateway, lambda _: True)
        self._lines = {key: line for key, line in self._lines.items() if line.gateway != gateway}
        self._last = None
        return removed

    def empty(self) -> dict[str, list[Job]]:
        """Remove all jobs; they come back by gateway."""
        gateways = dict.fromkeys(line.gateway for line in self._lines.values() if line.waiting)
        return {gateway: self.forget_gateway(gateway) for gateway in gateways}

    def _remove(self, gateway: str, is_meant: Callable[[Job], bool]) -> list[Job]:
        removed: list[Job] = []
        for line in self._lines.values():
            if line.gateway == gateway:
                removed += line.remove(is_meant)
        return removed
