"""The cores with one rule broken on purpose: what the simulator must find, or it finds nothing.

Each mutant patches one method while it is in force.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from zeropool.gateway.admission import Admission
from zeropool.gateway.budget import Budget
from zeropool.gateway.dispatcher import Dispatcher
from zeropool.gateway.fleet import Worker, WorkerState
from zeropool.gateway.ledger import Ledger
from zeropool.gateway.pool import Pool
from zeropool.gateway.queue import CallQueue
from zeropool.gateway.suspects import Suspects
from zeropool.shared.jobs import Result
from zeropool.shared.wire.channel import Channel
from zeropool.shared.wire.flow import SendCredit
from zeropool.shared.wire.session import Session
from zeropool.workers.batcher import Batcher
from zeropool.workers.outbox import Outbox

Patch = tuple[type, str, Callable[[Any], Any]]


@contextlib.contextmanager
def _nothing() -> Iterator[None]:
    yield


def _patched(owner: type, name: str, make: Callable[[Any], Any]) -> Any:
    @contextlib.contextmanager
    def patch() -> Iterator[None]:
        whole = owner.__dict__[name]
        setattr(owner, name, make(whole))
        try:
            yield
        finally:
            setattr(owner, name, whole)

    return patch


def _settle(*, attempt: bool, owner: bool) -> Callable[[Any], Any]:
    def make(whole: Any) -> Any:
        def settle(self: Ledger, result: Result, claimed_owner: str) -> Any:
            owned = [tasks for tasks in self._by_owner.values() if result.job_id in tasks]
            if owned:
                task = owned[0][result.job_id]
                if not attempt:
                    result = msgspec.structs.replace(result, attempt=task.attempt)
                claimed_owner = claimed_owner if owner else task.owner
            return whole(self, result, claimed_owner)

        return settle

    return make


def _drop_lost(_: Any) -> Any:
    def worker_lost(self: Dispatcher, worker_id: str) -> None:
        self.ledger.owner_lost(worker_id)

    return worker_lost


def _without_limit(whole: Any) -> Any:
    def worker_lost(self: Dispatcher, worker_id: str) -> None:
        for task in self.ledger._by_owner.get(worker_id, {}).values():
            task.deaths = -1
        whole(self, worker_id)

    return worker_lost


def _retry_all(whole: Any) -> Any:
    def worker_lost(self: Dispatcher, worker_id: str) -> None:
        self.worker_left(worker_id)

    return worker_lost


def _reply_twice(whole: Any) -> Any:
    def finish(self: Session, channel: Channel, payload: bytes) -> None:
        whole(self, channel, payload)
        self._outgoing.append((channel.route, payload))

    return finish


def _any_gateway(whole: Any) -> Any:
    def results(self: Pool, message: Any, worker: Any, now: float) -> None:
        if worker is not None:
            self._dispatcher.take_results(message, worker, now)

    return results


def _keep_bytes(whole: Any) -> Any:
    def change(self: Budget, account: Any, size_bytes: int) -> None:
        whole(self, account, max(size_bytes, 0))

    return change


def _place_anywhere(_: Any) -> Any:
    def placed(self: Suspects, fleet: Any, now: float) -> Any:
        tasks, self.tasks = self.tasks, type(self.tasks)()
        for task in tasks:
            workers = fleet.holding(task.call.model)
            if workers and not task.call.is_over:
                yield task, workers[0]
            elif not task.call.is_over:
                self.tasks.append(task)

    return placed


def _ready(self: Worker, now: float) -> bool:
    return self.state is WorkerState.READY


def _forget_open_id(whole: Any) -> Any:
    def request(self: Session, route: Any, event: Any, now: float) -> Any:
        channel = self._channels.get(route, {}).get(event.message_id)
        if channel is not None:
            self.close(channel)
        return whole(self, route, event, now)

    return request


def _never_expired(whole: Any) -> Any:
    def next_batch(self: Batcher, now: float) -> Any:
        batch = whole(self, now)
        if batch is not None and batch.expired:
            return type(batch)(batch.model, batch.gateway, batch.expired + batch.jobs, [])
        return batch

    return next_batch


def _always(value: Any) -> Callable[[Any], Any]:
    """A method that does nothing but answer."""
    return lambda _: lambda *_: value


def _forget_cancellations(_: Any) -> Any:
    def take_cancellations(self: Dispatcher) -> dict[str, list[int]]:
        self._cancellations.clear()
        return {}

    return take_cancellations


MUTANTS: dict[str, Any] = {
    "": _nothing,
    # The three of the acceptance.
    "attempt": _patched(Ledger, "settle", _settle(attempt=False, owner=True)),
    "credit": _patched(Worker, "can_take", lambda _: _ready),
    "redispatch": _patched(Dispatcher, "worker_lost", _drop_lost),
    # Ownership and attempts.
    "owner": _patched(Ledger, "settle", _settle(attempt=True, owner=False)),
    "foreign-gateway": _patched(Pool, "_results", _any_gateway),
    "endless-attempts": _patched(Dispatcher, "worker_lost", _without_limit),
    "retry-unsafe": _patched(Dispatcher, "worker_lost", _retry_all),
    "suspects-in-company": _patched(Suspects, "placed", _place_anywhere),
    # What callers are told.
    "reply-twice": _patched(Session, "finish", _reply_twice),
    "stream-credit": _patched(SendCredit, "take", _always(True)),
    "lost-grant": _patched(SendCredit, "grant", _always(None)),
    "same-id": _patched(Session, "_request", _forget_open_id),
    # Time.
    "late-start": _patched(Dispatcher, "tick", _always(None)),
    "expired-batch": _patched(Batcher, "next_batch", _never_expired),
    # Cancelling.
    "cancel-unsent": _patched(Dispatcher, "take_cancellations", _forget_cancellations),
    "cancel-ignored": _patched(Batcher, "cancel", _always([])),
    "vanished-caller": _patched(Dispatcher, "caller_lost", _always(None)),
    # Bounds.
    "held-bytes": _patched(Budget, "change", _keep_bytes),
    "budget": _patched(Admission, "check", _always(None)),
    "queue-count": _patched(CallQueue, "ended", _always(None)),
    # Workers' lives.
    "draining-worker": _patched(Pool, "_draining", _always(None)),
    "result-lost": _patched(Outbox, "take_unsure", _always([])),
}
