"""Which of the workers that hold a model gets its next task. No I/O, no clock.

Costs are expected seconds of a worker's time.
"""

from __future__ import annotations

from typing import Final

from zeropool.gateway.fleet import Worker
from zeropool.gateway.queue import CallQueue

#: Cheap tasks fill one worker up to this much work before another is woken: waking a process costs
#: about 0.1 ms, and two half batches cost more than a whole one. Measured with iris, two workers
#: on two cores, 64 in flight: with `reception.MAX_DRAIN`, half as many calls again a second as
#: with even shares; 0.0005 gave a fifth less than this.
PACK_S: Final = 0.001
#: A task that costs more than this gains more from an idle worker than from company.
CHEAP_BELOW_S: Final = PACK_S / 8


class Placement:
    """The workers that can take tasks of one model, in one round of dispatching."""

    def __init__(self, queue: CallQueue, workers: list[Worker], *, now: float) -> None:
        self._now = now
        # What waits in a worker for company is no reason to keep the company away.
        room = queue.max_batch_size if queue.max_wait_s else 0
        self._workers = [
            worker
            for worker in workers
            if worker.can_take(now) or worker.held_rows < min(room, worker.credit)
        ]
        self._least_rows = max(room, self._share(queue))
        self._filling: Worker | None = None
        self._full_at_s = 0.0

    def __bool__(self) -> bool:
        return bool(self._workers)

    def _share(self, queue: CallQueue) -> int:
        """Rows that an idle worker gets in any case: its part of what waits, as one batch."""
        if not queue.batches:
            return 0
        idle = 0
        for worker in self._workers:
            if not worker.held_rows:
                idle += 1
        if not idle:
            return 0
        return min(queue.max_batch_size, -(-queue.waiting // idle))

    def choose(self, cost_s: float) -> Worker:
        """The worker for a task of this cost: the least loaded, or for a cheap one the fullest."""
        if cost_s >= CHEAP_BELOW_S:
            return self._least_loaded()
        if self._filling is None or self._filling.backlog_s >= self._full_at_s:
            self._filling = self._fewest_packs()
            self._full_at_s = (_packs(self._filling) + 1) * PACK_S
        return self._filling

    # Loops, as `min` calls its key by all the detours that an uncompiled function needs.

    def _least_loaded(self) -> Worker:
        least = self._workers[0]
        for worker in self._workers:
            if worker.backlog_s < least.backlog_s or (
                worker.backlog_s == least.backlog_s and worker.held_rows < least.held_rows
            ):
                least = worker
        return least

    def _fewest_packs(self) -> Worker:
        fewest = self._workers[0]
        fewest_packs = _packs(fewest)
        for worker in self._workers:
            packs = _packs(worker)
            if packs < fewest_packs:
                fewest, fewest_packs = worker, packs
        return fewest

    def took(self, worker: Worker) -> None:
        """The worker was given a task; it stays only if it can take another."""
        if worker.can_take(self._now) or worker.held_rows < min(self._least_rows, worker.credit):
            return
        self._workers.remove(worker)
        self._filling = None


def _packs(worker: Worker) -> int:
    return int(worker.backlog_s / PACK_S)
