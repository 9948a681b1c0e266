"""What `get_status` says: a snapshot of counts, made of the cores and of `now`."""

from __future__ import annotations

from typing import Any

from zeropool.gateway.dispatcher import Dispatcher
from zeropool.gateway.fleet import Fleet, Worker
from zeropool.gateway.queue import CallQueue
from zeropool.shared.wire.session import Session


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
    name = queue.name
    return {
        "qualified_name": name,
        "waiting": queue.waiting,
        "max_queue": queue.max_queue,
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
