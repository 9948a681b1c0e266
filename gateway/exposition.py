"""A gateway's counts in the form that Prometheus reads: names, labels and help texts.

Knows prometheus-client's families, and none of its counters, which would take a lock for each
value. Labels are bounded: models are few, names of outcomes are bounded in ``tally``, workers are
counted by state and never named. No I/O but of the process's own figures, by prometheus-client.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from zeropool.gateway.fleet import WorkerState
from zeropool.gateway.histogram import Spread
from zeropool.gateway.metrics import ModelCounts, Snapshot

PREFIX = "zeropool_"
OPENMETRICS = "application/openmetrics-text"


class _Collected(Collector):
    """The families of one snapshot, as a registry wants them."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        yield from _of_gateway(self._snapshot)
        yield from _of_workers(self._snapshot)
        yield from _of_models(self._snapshot)


def expose(snapshot: Snapshot, accept: str) -> tuple[bytes, str]:
    """The text for who accepts these media types, and its own media type."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(snapshot))
    ProcessCollector(registry=registry)
    # prometheus-client's own choice raises TypeError for a version that is no number.
    if OPENMETRICS in accept:
        text: bytes = openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call]
        return text, openmetrics.CONTENT_TYPE_LATEST
    return generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4


def _of_gateway(snapshot: Snapshot) -> Iterator[Metric]:
    status = snapshot.status
    info = {"version": status["version"], "name": status["name"]}
    yield InfoMetricFamily(f"{PREFIX}build", "The version that runs, and the service's name.", info)
    yield _gauge("ready", "1 where /readyz says 200.", int(not snapshot.unready))
    yield _gauge("uptime_seconds", "Time since the gateway's start.", status["uptime_s"])
    yield _gauge("clients", "Clients with an open call.", status["clients"])
    yield _gauge("connections", "Open connections of clients.", snapshot.connections)
    yield _gauge("open_calls", "Accepted calls without a reply.", status["open_calls"])
    yield _gauge(
        "in_flight_tasks",
        "Calls, and parts of calls over many rows, that are with workers.",
        sum(worker["in_flight"] for worker in status["workers"]),
    )
    memory = snapshot.memory
    yield _gauge("held_bytes", "What is held for clients, all told.", memory.held_bytes)
    yield _gauge("held_limit_bytes", "Most that may be held.", memory.max_held_bytes)
    yield _gauge("parked_bytes", "Replies that wait for credit.", memory.parked_bytes)
    yield _gauge("unread_bytes", "Replies that full connections refuse.", memory.unread_bytes)
    yield _counter(
        "redispatched_total",
        "Tasks that were given to another worker because theirs died.",
        status["redispatched"],
    )
    yield _by_label(
        "refused_total",
        "Requests that were answered with an error at once, by its name.",
        "error",
        snapshot.refused,
    )
    yield _by_label(
        "dropped_total",
        "Events of clients and results of workers that were dropped, by reason.",
        "reason",
        status["dropped"],
    )


def _of_workers(snapshot: Snapshot) -> Iterator[Metric]:
    workers = GaugeMetricFamily(f"{PREFIX}workers", "Registered workers.", labels=["state"])
    states = [worker["state"] for worker in snapshot.status["workers"]]
    for state in WorkerState:
        workers.add_metric([state.value], states.count(state.value))
    yield workers
    yield _by_label(
        "worker_events_total",
        "Steps of workers: ready, retiring, draining, gone (said goodbye), lost (died), refused.",
        "event",
        snapshot.worker_events,
    )


def _of_models(snapshot: Snapshot) -> Iterator[Metric]:
    models = snapshot.status["models"]
    requests = CounterMetricFamily(
        f"{PREFIX}requests_total",
        "Calls of models that ended, by the name of their error or OK.",
        labels=["model", "outcome"],
    )
    for known in models:
        for outcome, count in known["outcomes"].items():
            requests.add_metric([known["qualified_name"], outcome], count)
    yield requests
    shed = CounterMetricFamily(
        f"{PREFIX}shed_total",
        "Calls that were answered with Overloaded: queue or memory full, or too long a wait.",
        labels=["model", "reason"],
    )
    for model, counts in snapshot.models.items():
        for reason, count in counts.shed.items():
            shed.add_metric([model, reason], count)
    yield shed
    yield _by_model("queue_calls", "Calls that wait for a worker.", models, "waiting")
    yield _by_model("queue_limit_calls", "Most calls that may wait.", models, "max_queue")
    yield _by_model("model_workers", "Ready workers that hold the model.", models, "workers")
    for name, text, spread_of in _HISTOGRAMS:
        yield _histogram(name, text, snapshot.models, spread_of)


_HISTOGRAMS: tuple[tuple[str, str, Callable[[ModelCounts], Spread]], ...] = (
    (
        "queue_seconds",
        "From a call's acceptance to its way to a worker; of many rows, to that of the first.",
        lambda counts: counts.queue_s,
    ),
    (
        "execution_seconds",
        "From a task's way to a worker to its result, with what it waited there.",
        lambda counts: counts.execution_s,
    ),
    (
        "batch_seconds",
        "What workers took to decode, predict and encode one batch.",
        lambda counts: counts.batch_s,
    ),
    ("batch_rows", "Rows of one batch.", lambda counts: counts.batch_rows),
)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(PREFIX + name, text, value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(PREFIX + name, text, value)


def _by_label(name: str, text: str, label: str, counts: dict[str, int]) -> Metric:
    family = CounterMetricFamily(PREFIX + name, text, labels=[label])
    for value, count in counts.items():
        family.add_metric([value], count)
    return family


def _by_model(name: str, text: str, models: list[dict[str, Any]], key: str) -> Metric:
    family = GaugeMetricFamily(PREFIX + name, text, labels=["model"])
    for model in models:
        family.add_metric([model["qualified_name"]], model[key])
    return family


def _histogram(
    name: str,
    text: str,
    models: dict[str, ModelCounts],
    spread_of: Callable[[ModelCounts], Spread],
) -> Metric:
    family = HistogramMetricFamily(PREFIX + name, text, labels=["model"])
    for model, found in models.items():
        spread = spread_of(found)
        buckets = [(str(bound), n) for bound, n in zip(spread.bounds, spread.counts, strict=True)]
        family.add_metric([model], [*buckets, ("+Inf", spread.total)], spread.sum)
    return family
