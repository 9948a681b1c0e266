"""Which of the workers that ask to be replaced may go, and when. No I/O, no clock.

One at a time for each model: nobody goes while another worker of one of its models is leaving, nor
before as many are ready again as there were before the last one left. A worker that is alone goes
when it asks; what it would have done waits for its successor. Times are monotonic seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from zeropool.gateway.fleet import Fleet, Worker, WorkerState

#: A worker that left and is not replaced by then was not to be replaced.
REPLACED_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True)
class _Vacancy:
    """A worker of a model has left: wait until so many are ready, or until then."""

    ready: int
    until: float


class Retirement:
    """The workers that asked to go, in the order of asking."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._asked: dict[str, None] = {}
        self._vacancies: dict[str, _Vacancy] = {}
        self._is_over = False

    def __repr__(self) -> str:
        return f"<Retirement asked={len(self._asked)} vacancies={len(self._vacancies)}>"

    def asks(self, worker: Worker) -> None:
        """A worker is spent; it goes on working until it may go."""
        if worker.state is WorkerState.READY and not self._is_over:
            self._asked[worker.worker_id] = None

    def left(self, worker: Worker, now: float) -> None:
        """A worker is gone from the fleet, in whatever way."""
        self._asked.pop(worker.worker_id, None)
        if worker.state is WorkerState.CONNECTING:
            return
        for model in worker.models:
            ready = 1 + sum(model in other.models for other in self._fleet if _is_there(other))
            known = self._vacancies.get(model)
            if known is not None and known.until > now:
                ready = max(ready, known.ready)
            self._vacancies[model] = _Vacancy(ready, now + REPLACED_WITHIN_S)

    def end(self) -> None:
        """The gateway drains: what it has accepted needs every worker, and none may come after."""
        self._is_over = True
        self._asked.clear()

    def take_leavers(self, now: float) -> list[Worker]:
        """The workers that may go now; they take nothing new from here on."""
        self._vacancies = {
            model: vacancy
            for model, vacancy in self._vacancies.items()
            if now < vacancy.until and len(self._fleet.holding(model)) < vacancy.ready
        }
        leavers: list[Worker] = []
        for worker_id in list(self._asked):
            worker = self._fleet.get(worker_id)
            if worker is None or worker.state is not WorkerState.READY:
                # It leaves already.
                del self._asked[worker_id]
            elif not any(self._is_short(model) for model in worker.models):
                del self._asked[worker_id]
                worker.state = WorkerState.DRAINING
                leavers.append(worker)
        return leavers

    def next_deadline(self) -> float:
        """When `take_leavers` may find somebody though nobody came, asked or left."""
        if not self._asked:
            return math.inf
        return min((vacancy.until for vacancy in self._vacancies.values()), default=math.inf)

    def _is_short(self, model: str) -> bool:
        return model in self._vacancies or any(
            model in other.models and other.state is WorkerState.DRAINING for other in self._fleet
        )


def _is_there(worker: Worker) -> bool:
    return worker.state is not WorkerState.CONNECTING
