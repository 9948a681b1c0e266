"""What one seed plays: how many take part, how bad the network is, which faults happen how often.

All of it is drawn here, before anything runs, and can be printed.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from random import Random

from zeropool.gateway.limits import Limits
from zeropool.shared.model import ModelInfo

#: Faults happen and calls are made during this time; then the world must come to rest.
LONGEST_PLAY_S = 4.0
SECOND_HALF = 0.5


class Fault(enum.Enum):
    """What the world does to those who live in it."""

    KILL = "kill -9 of a worker"
    FREEZE = "a worker freezes and thaws"
    DRAIN_WORKER = "a worker drains"
    ROLL = "all workers drain, one after the other"
    CUT_JOBS = "the connection from gateway to worker breaks"
    CUT_RESULTS = "the connection from worker to gateway breaks"
    CUT_CLIENT = "the connection of a client breaks"
    VANISH = "a client vanishes"
    STOP_READING = "a client stops reading for a while"
    GARBAGE = "garbage on the worker port"
    REPLAY = "an old result comes again"
    FOREIGN = "a result that nobody asked for"
    MALFORMED = "garbage on the client port"
    SAME_ID = "a request with the id of an open one"
    RESTART_GATEWAY = "the gateway dies and a new one starts"
    DRAIN_GATEWAY = "the gateway drains and a new one starts"


#: How likely a seed is to play a fault at all, and how often it then happens beside the others.
#: Seeds without most of the faults matter: in a storm, one fault hides another.
_CHANCES = {
    Fault.KILL: (0.5, 4.0),
    Fault.FREEZE: (0.35, 2.0),
    Fault.DRAIN_WORKER: (0.3, 1.0),
    Fault.ROLL: (0.1, 0.3),
    Fault.CUT_JOBS: (0.25, 1.0),
    Fault.CUT_RESULTS: (0.25, 1.0),
    Fault.CUT_CLIENT: (0.25, 1.0),
    Fault.VANISH: (0.25, 0.5),
    Fault.STOP_READING: (0.25, 1.0),
    Fault.GARBAGE: (0.3, 1.0),
    Fault.REPLAY: (0.5, 4.0),
    Fault.FOREIGN: (0.3, 2.0),
    Fault.MALFORMED: (0.3, 1.0),
    Fault.SAME_ID: (0.3, 2.0),
    Fault.RESTART_GATEWAY: (0.08, 0.3),
    Fault.DRAIN_GATEWAY: (0.08, 0.3),
}


class Kind(enum.Enum):
    """How a call is made."""

    CALL = "_predict"
    BATCH = "_predict_batch"
    STREAM = "_predict_stream"
    OWN = "own"


@dataclass(frozen=True)
class ModelPlan:
    """A model, and how long it takes for a row."""

    info: ModelInfo
    #: Added to three times the row: tells one model's answers from another's.
    offset: int
    row_s: float
    #: Parts of a row's time by which it differs.
    spread: float


@dataclass(frozen=True)
class Scenario:
    """One seed's world."""

    seed: int
    clients: int
    workers: int
    models: tuple[ModelPlan, ...]
    requests: int
    play_s: float
    limits: Limits
    #: How long a client may take nothing of what waits for it.
    max_unread_s: float
    #: Jobs after which a worker asks to be replaced; 0: never.
    max_jobs: int
    #: Messages that a client's connection holds.
    client_high_water: int
    link_latency_s: float
    link_spike_s: float
    client_latency_s: float
    client_spike_s: float
    faults: dict[Fault, float]
    mean_fault_gap_s: float
    kinds: dict[Kind, float]
    #: Most rows of a batch or a stream.
    longest: int
    #: Chances of a row, or of a call.
    poison_rate: float
    hang_rate: float
    slow_rate: float
    bad_rate: float
    raise_rate: float
    timeout_rate: float
    give_up_rate: float
    #: Chance that a call comes at the same time as the one before it.
    burst_rate: float
    slow_reader_rate: float
    #: Chance of a client that sends no heartbeats.
    silent_rate: float
    #: Chance that a client counts its message ids from where another one does.
    shared_ids: bool
    restart_s: float
    notes: dict[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        faults = ", ".join(fault.name.lower() for fault in self.faults) or "none"
        models = "; ".join(
            f"{plan.info.qualified_name}: row_s={plan.row_s:g} timeout_s={plan.info.timeout_s:g} "
            f"max_batch={plan.info.max_batch_size} batches={plan.info.batches} "
            f"max_wait_s={plan.info.max_wait_s:g} retry_safe={plan.info.retry_safe} "
            f"max_queue={plan.info.max_queue}"
            for plan in self.models
        )
        return (
            f"seed {self.seed}: {self.clients} clients, {self.workers} workers, "
            f"{self.requests} requests in {self.play_s:g} s\n"
            f"faults: {faults}\nmodels: {models}\nlimits: {self.limits}"
        )


def draw(seed: int, rng: Random) -> Scenario:
    """Draw a world."""
    is_tight = rng.random() < 0.2
    faults = {
        fault: weight * rng.uniform(0.5, 1.5)
        for fault, (chance, weight) in _CHANCES.items()
        if rng.random() < chance
    }
    return Scenario(
        seed=seed,
        clients=rng.randint(1, 4),
        workers=rng.randint(1, 4),
        models=tuple(_model(rng, number, is_tight) for number in range(rng.choice((1, 1, 2)))),
        requests=rng.randint(15, 50),
        play_s=rng.uniform(0.5, LONGEST_PLAY_S),
        limits=_limits(rng, is_tight),
        max_unread_s=rng.choice((0.5, 30.0)),
        max_jobs=rng.choice((0, 0, 0, 3, 20)),
        client_high_water=rng.choice((2, 8, 64)),
        link_latency_s=rng.choice((0.00005, 0.0002, 0.005)),
        link_spike_s=rng.choice((0.005, 0.1, 0.5)),
        client_latency_s=rng.choice((0.0001, 0.001, 0.02)),
        client_spike_s=rng.choice((0.01, 0.2, 0.7)),
        faults=faults,
        mean_fault_gap_s=rng.choice((0.05, 0.15, 0.5)),
        kinds={
            Kind.CALL: rng.choice((1.0, 3.0, 8.0)),
            Kind.BATCH: rng.choice((0.0, 0.5, 1.5)),
            Kind.STREAM: rng.choice((0.0, 0.5, 1.5)),
            Kind.OWN: rng.choice((0.0, 0.2)),
        },
        longest=rng.choice((3, 12, 40)),
        poison_rate=_seldom(rng, 0.2, 0.06),
        hang_rate=_seldom(rng, 0.2, 0.05),
        slow_rate=_seldom(rng, 0.5, 0.1),
        bad_rate=_seldom(rng, 0.3, 0.1),
        raise_rate=_seldom(rng, 0.3, 0.1),
        timeout_rate=_seldom(rng, 0.4, 0.3),
        give_up_rate=_seldom(rng, 0.3, 0.1),
        burst_rate=rng.choice((0.0, 0.5, 0.95)),
        slow_reader_rate=_seldom(rng, 0.4, 0.5),
        silent_rate=_seldom(rng, 0.3, 0.3),
        shared_ids=rng.random() < 0.5,
        restart_s=rng.choice((0.01, 0.3, 1.5)),
    )


def _seldom(rng: Random, chance: float, most: float) -> float:
    """A rate that is 0 for most seeds."""
    return rng.uniform(0.0, most) if rng.random() < chance else 0.0


def _model(rng: Random, number: int, is_tight: bool) -> ModelPlan:  # noqa: FBT001 - drawn
    batches = rng.random() < 0.6
    info = ModelInfo(
        qualified_name=f"m{number}",
        display_name=f"Model {number}",
        description="Three times a number, and something.",
        major_version=1,
        minor_version=number,
        input_schema={"type": "integer"},
        output_schema={"type": "integer"},
        retry_safe=rng.random() < 0.75,
        max_batch_size=rng.choice((1, 2, 4, 16)),
        batches=batches,
        max_wait_s=rng.choice((0.0, 0.0, 0.002, 0.05)) if batches else 0.0,
        timeout_s=rng.choice((0.3, 1.0, 3.0)),
        max_queue=rng.randint(1, 6) if is_tight else 1000,
    )
    row_s = rng.choice((0.00002, 0.0001, 0.0005, 0.002, 0.02))
    return ModelPlan(info, 1 + number, row_s, rng.choice((0.0, 0.5, 1.0)))


def _limits(rng: Random, is_tight: bool) -> Limits:  # noqa: FBT001 - drawn
    return Limits(
        max_request_bytes=10_000,
        max_reply_bytes=rng.choice((150, 100_000, 100_000, 100_000)),
        max_held_bytes=rng.choice((6_000, 40_000)) if is_tight else 10_000_000,
        max_unread_bytes=rng.choice((5_000, 20_000, 1_000_000)),
        max_attempts=rng.choice((1, 2, 3, 3)),
        max_workers=100,
        startup_grace_s=rng.choice((0.0, 0.3, 5.0, 5.0)),
        stream_idle_s=rng.choice((0.5, 3.0)),
    )
