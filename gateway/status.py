"""What `get_status` says: a snapshot of counts, made of the cores and of `now`."""

from __future__ import annotations

from collections import deque
from typing import Any

from zeropool.gateway.dispatcher import Dispatcher
from zeropool.gateway.fleet import Fleet, Worker
from zeropool.gateway.queue import CallQueue
from zeropool.shared.wire.session import Session

#: Rates are averages over this many whole seconds.
RATE_WINDOW_S = 10


class Rate:
    """Events per second over the last `RATE_WINDOW_S` seconds."""

    def __init__(self) -> None:
        #: Whole seconds, and the events in each.
        self._seconds: deque[list[int]] = deque()
        self._latest = [-1, 0]

    def count(self, now: float, events: int = 1) -> None:
        """Take note of events that happen now."""
        latest = self._latest
        if latest[0] <= now < latest[0] + 1:
            latest[1] += events
            return
        self._latest = [int(now), events]
        self._seconds.append(self._latest)
        self._forget(now)

    def per_s(self, now: float) -> float:
        """The average rate."""
        self._forget(now)
        return sum(events for _, events in self._seconds) / RATE_WINDOW_S

    def _forget(self, now: float) -> None:
        while self._seconds and self._seconds[0][0] <= now - RATE_WINDOW_S:
            self._seconds.popleft()


def snapshot(  # noqa: PLR0913 - by keyword only, one for each source
    *,
    name: str,
    version: str,
    gateway: str,
    state: str,
    uptime_s: float,
    calls_per_s: float,
    held_bytes: int,
    session: Session,
    dispatcher: Dispatcher,
    fleet: Fleet,
    now: float,
    extra_drops: dict[str, int],
) -> dict[str, Any]:
    """Everything that an operator asks first, as plain values."""
    dropped = {reason.value: n for reason, n in session.dropped.items()}
    dropped |= {f"result_{reason.value}": n for reason, n in dispatcher.ledger.stale.items()}
    return {
        "name": name,
        "version": version,
        # Several gateways may share a port: this is the one that answers.
        "gateway": gateway,
        "state": state,
        "uptime_s": round(uptime_s, 3),
        "clients": session.peers,
        "open_calls": dispatcher.open_calls,
        "calls_per_s": round(calls_per_s, 1),
        "held_bytes": held_bytes,
        "redispatched": dispatcher.redispatched,
        "dropped": dropped | extra_drops,
        "models": [_model(queue, fleet) for queue in dispatcher.queues.values()],
        "workers": [_worker(worker, dispatcher, now) for worker in fleet],
    }


def _model(queue: CallQueue, fleet: Fleet) -> dict[str, Any]:
    name = queue.info.qualified_name
    return {
        "qualified_name": name,
        "waiting": queue.waiting,
        "max_queue": queue.info.max_queue,
        "workers": len(fleet.holding(name)),
        "row_ms": None if queue.row_s is None else round(queue.row_s * 1000, 4),
        "outcomes": dict(queue.tally.outcomes),
    }


def _worker(worker: Worker, dispatcher: Dispatcher, now: float) -> dict[str, Any]:
    return {
        "worker": worker.worker_id,
        "state": worker.state.value,
        "pid": worker.pid,
        "host": worker.host,
        "models": list(worker.models),
        "in_flight": dispatcher.ledger.owned_by(worker.worker_id),
        "held_rows": worker.held_rows,
        "answered_rows": worker.answered_rows,
        "silent_s": round(now - worker.heard_at, 3),
        "busy_s": round(worker.busy_s, 3),
    }
