"""What a gateway tells monitoring systems: one snapshot of its counts, and whether it is ready.

No I/O, no clock. Metrics are named and explained in ``exposition``.
"""

from __future__ import annotations

from typing import Any

import msgspec

from zeropool.gateway.core import Gateway, GatewayState
from zeropool.gateway.histogram import Spread
from zeropool.gateway.tally import Tally


class ModelCounts(msgspec.Struct, frozen=True):
    """What `get_status` does not tell of a model: histograms, in seconds and rows, and refusals."""

    shed: dict[str, int]
    queue_s: Spread
    execution_s: Spread
    batch_s: Spread
    batch_rows: Spread


class Memory(msgspec.Struct, frozen=True):
    """What is held for clients, in bytes."""

    held_bytes: int
    max_held_bytes: int
    #: Of these, what waits for its callers' credit.
    parked_bytes: int
    #: Of these, what full connections do not take.
    unread_bytes: int


class Snapshot(msgspec.Struct, frozen=True):
    """Counts at one moment; whoever has it may read it on any thread."""

    #: What `get_status` answers.
    status: dict[str, Any]
    models: dict[str, ModelCounts]
    memory: Memory
    #: Open connections of clients.
    connections: int
    #: Requests that were answered with an error at once, by its wire name.
    refused: dict[str, int]
    #: Steps in the lives of workers, by what happened.
    worker_events: dict[str, int]
    #: Why no calls should be sent here; empty where they should.
    unready: list[str]


def snapshot(gateway: Gateway, *, connections: int, least_models: int) -> Snapshot:
    """The counts of a gateway that is to serve at least so many models."""
    status = gateway.status()
    return Snapshot(
        status,
        {name: _counts(queue.tally) for name, queue in gateway.dispatcher.queues.items()},
        Memory(
            gateway.budget.held_bytes,
            gateway.budget.max_bytes,
            gateway.session.parked_bytes,
            gateway.unread_bytes,
        ),
        connections,
        dict(gateway.refused),
        {note.name.removeprefix("WORKER_").lower(): n for note, n in gateway.pool.notes.items()},
        unready(status, least_models),
    )


def unready(status: dict[str, Any], least_models: int) -> list[str]:
    """What is missing until every model that is known or expected has a ready worker."""
    reasons = []
    if status["state"] != GatewayState.SERVING.value:
        reasons.append(status["state"])
    known = len(status["models"])
    if known < least_models:
        reasons.append(f"workers have brought {known} of {least_models} models")
    reasons.extend(
        f"no ready worker holds {model['qualified_name']}"
        for model in status["models"]
        if not model["workers"]
    )
    return reasons


def _counts(tally: Tally) -> ModelCounts:
    return ModelCounts(
        {why.value: n for why, n in tally.shed.items()},
        tally.queue_s.spread(),
        tally.execution_s.spread(),
        tally.batch_s.spread(),
        tally.batch_rows.spread(),
    )
