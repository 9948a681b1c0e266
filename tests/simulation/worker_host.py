"""A worker process in the simulated world: the real core and runner, in a shell of virtual sockets.

It follows ``workers/worker.py``. A batch is run at its start; what it would take is drawn from its
rows, and its results leave when that time is over, if the process lives so long.
"""

from __future__ import annotations

from collections import deque
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import msgspec
from chronicle import FromGateway, FromWorker
from clock import Alarm
from gateway_host import Link
from network import Pipe
from request import Broken, Row, Trait
from scenario import ModelPlan

from zeropool.shared import jobs
from zeropool.shared.jobs import Job, Kind
from zeropool.shared.wire.event import MessageIds
from zeropool.workers.batcher import Batch
from zeropool.workers.commands import Send
from zeropool.workers.core import Identity, WorkerCore
from zeropool.workers.loaded_model import LoadedModel
from zeropool.workers.runner import Runner
from zeropool.workers.validation import CompiledSchema, compile_schema
from zeropool.workers.wear import Wear

if TYPE_CHECKING:
    from world import World

WAKE_S = 0.00002
#: A batch costs this beside its rows.
BATCH_S = 0.00003
#: ZMTP heartbeats stop for this long before a frozen process is noticed: ``gateway/link.py``.
FROZEN_NOTICED_S = 2.5
#: libzmq connects again after this, on average: ``workers/link.py``.
RECONNECT_S = 0.1
#: A worker that said goodbye waits so long for its gateways to hang up.
LINGER_S = 3.0


@cache
def _input_schema() -> CompiledSchema:
    return compile_schema({"type": "integer"}, "simulation")


class Tripler:
    """The model: three times a number, and something."""

    def __init__(self, offset: int, traits: dict[Row, Trait]) -> None:
        self._offset = offset
        self._traits = traits

    def predict(self, row: int) -> int:
        if self._traits and self._traits.get(row) is Trait.RAISES:
            raise ArithmeticError("too odd")
        return 3 * row + self._offset

    def predict_batch(self, rows: list[int]) -> list[int]:
        return [self.predict(row) for row in rows]


def load(plan: ModelPlan, traits: dict[Row, Trait]) -> LoadedModel:
    """A worker's own copy of a model."""
    model = Tripler(plan.offset, traits)
    predict_batch = model.predict_batch if plan.info.batches else None
    return LoadedModel("simulation", plan.info, _input_schema(), model, predict_batch)


class WorkerHost:
    """A place for a worker: one incarnation after the other."""

    def __init__(self, world: World, slot: int) -> None:
        self._world = world
        self._clock = world.clock
        self._slot = slot
        self._births = 0
        self._alarm = Alarm(world.clock, self._wake_up)
        self._plans = {plan.info.qualified_name: plan for plan in world.scenario.models}
        self.is_alive = False
        self.name = ""
        #: The connection from the gateway to this worker, if it is up.
        self._link: Link | None = None

    # Its life

    def start(self) -> None:
        """A new incarnation begins to run."""
        if self.is_alive:
            return
        self._births += 1
        self.name = f"w{self._slot}.{self._births}"
        self.is_alive = True
        self.is_frozen = False
        self.is_leaving = False
        self._is_waking = False
        self._busy: tuple[Batch, list[jobs.Result], float] | None = None
        self._batch_ends_at = 0.0
        self._dies_at = float("inf")
        self._inbox: deque[bytes] = deque()
        self._wants_to_drain = False
        self._arrivals: dict[tuple[str, int, int], float] = {}
        self._cancelled: set[tuple[str, int, int]] = set()
        self._link = None
        self._to_gateway: Pipe | None = None
        self._came_up = False
        self._due_at = 0.0
        world = self._world
        world.note(self.name, "starts")
        world.incarnations[self.name] = self
        endpoint = f"ipc://{self.name}"
        infos = [plan.info for plan in world.scenario.models]
        self.core = WorkerCore(
            Identity(self.name, endpoint, self._births, "host"),
            infos,
            ["ipc://gateway"],
            now=self._clock.now,
            wear=Wear(world.scenario.max_jobs),
        )
        self._runner = Runner(
            [load(plan, world.oracle.traits) for plan in world.scenario.models],
            MessageIds((self._slot * 1000 + self._births) << 32),
        )
        self._connect_later(WAKE_S)
        self._wake()

    def kill(self, *, why: str) -> None:
        """The process ends where it stands."""
        if not self.is_alive:
            return
        self._world.note(self.name, why)
        self.is_alive = False
        if self._to_gateway is not None:
            self._to_gateway.cut(self._world.rng)
        if self._link is not None:
            if self._link.pipe is not None:
                self._link.pipe.lose_all()
            self._world.gateway.link_breaks(self.name, self._link)
        restart_s = self._world.scenario.restart_s * self._world.rng.uniform(0.5, 1.5)
        self._clock.after(restart_s, self.start)

    def freeze(self, span_s: float) -> None:
        """SIGSTOP, and SIGCONT after a while."""
        if not self.is_alive or self.is_frozen:
            return
        self._world.note(self.name, "freezes for", span_s)
        self.is_frozen = True
        link = self._link
        name = self.name
        if link is not None and span_s > FROZEN_NOTICED_S:
            self._clock.after(FROZEN_NOTICED_S, self._is_missed, name, link)
        self._clock.after(span_s, self._thaw, name)

    def _is_missed(self, name: str, link: Link) -> None:
        if self.name == name and self.is_alive and self.is_frozen:
            self._world.gateway.link_breaks(name, link)

    def _thaw(self, name: str) -> None:
        if self.name != name or not self.is_alive or not self.is_frozen:
            return
        self._world.note(self.name, "thaws")
        self.is_frozen = False
        if self._clock.now >= self._dies_at:
            # The timer of the hard limit ran on.
            self.kill(why="is ended by its hard limit")
            return
        self._wake_up()

    def drain(self) -> None:
        """TERM."""
        if self.is_alive and not self.is_leaving:
            self._world.note(self.name, "is told to drain")
            self._wants_to_drain = True
            self._wake()

    # Connections

    def gateway_is_up(self) -> None:
        """A gateway listens."""
        if self.is_alive:
            self._connect_later(RECONNECT_S * self._world.rng.random())

    def gateway_is_down(self) -> None:
        """The gateway is no more."""
        if self.is_alive:
            self._to_gateway = None
            self._link = None

    def results_break(self) -> None:
        """The connection to the gateway breaks, and comes up again."""
        if self.is_alive and self._to_gateway is not None:
            self._world.note(self.name, "loses its way to the gateway")
            self._to_gateway.cut(self._world.rng)
            self._to_gateway = None
            self._connect_later(RECONNECT_S * (0.5 + self._world.rng.random()))

    def jobs_break(self) -> None:
        """The connection from the gateway breaks."""
        link = self._link
        if self.is_alive and link is not None and link.pipe is not None:
            self._world.note(self.name, "is cut off")
            link.pipe.cut(self._world.rng)
            self._world.gateway.link_breaks(self.name, link)

    def _connect_later(self, span_s: float) -> None:
        self._clock.after(span_s, self._connects, self.name)

    def _connects(self, name: str) -> None:
        gateway = self._world.gateway
        if self.name != name or not self.is_alive or self._to_gateway is not None:
            return
        if not gateway.is_up:
            return
        if self.is_frozen:
            self._connect_later(RECONNECT_S)
            return
        self._to_gateway = Pipe(
            self._clock, self._world.link_latency, partial(gateway.worker_says, gateway.number)
        )
        self._came_up = True
        self._wake()

    def accept(self, name: str, link: Link) -> None:
        """The gateway connects to an incarnation of this worker."""
        if not self.is_alive or self.name != name:
            self._world.gateway.link_event(name, link, is_up=False)
            return
        if self.is_frozen:
            self._clock.after(RECONNECT_S, self.accept, name, link)
            return
        if link.is_broken:
            return
        link.pipe = Pipe(
            self._clock, self._world.link_latency, lambda frame: self._arrives(name, frame)
        )
        self._link = link
        self._clock.after(
            self._world.link_latency.draw(),
            lambda: self._world.gateway.link_event(name, link, is_up=True),
        )

    def hung_up(self, link: Link) -> None:
        """The gateway closed its connection."""
        if link.pipe is not None:
            link.pipe.cut(self._world.rng)
        if self._link is link:
            self._link = None
            if self.is_alive and self.is_leaving:
                self._leaves(self.name)

    def _arrives(self, name: str, frame: bytes) -> None:
        if self.is_alive and self.name == name:
            self._inbox.append(frame)
            self._wake()

    # The loop

    def _wake(self) -> None:
        if not self._is_waking:
            self._is_waking = True
            self._clock.after(WAKE_S, self._woken, self.name)

    def _woken(self, name: str) -> None:
        if self.name == name:
            self._is_waking = False
            self._wake_up()

    def _wake_up(self) -> None:
        if not self.is_alive or self.is_frozen:
            return
        if self._busy is not None:
            if self._clock.now < self._batch_ends_at:
                return
            self._finish()
        self._step()

    def _step(self) -> None:
        now = self._clock.now
        core = self.core
        if self._wants_to_drain:
            core.drain()
        while self._inbox:
            self._take(self._inbox.popleft(), now)
        if self._came_up:
            self._came_up = False
            core.connected(0, now)
        if now >= self._due_at:
            core.tick(now)
        self._carry_out()
        if core.is_ending and not self.is_leaving:
            self.is_leaving = True
            linger_s = LINGER_S if self._link is not None else 0.0
            self._clock.after(linger_s, self._leaves, self.name)
        batch = core.next_batch(now)
        if batch is not None:
            self._begin(batch, now)
        else:
            if core.next_deadline() <= now:
                self._wake()
            self._alarm.set(core.next_deadline())
        self._due_at = core.next_deadline()

    def _take(self, frame: bytes, now: float) -> None:
        self._world.note(self.name, "is told", FromGateway(frame))
        message = jobs.decode_from_gateway(frame)
        if type(message) is jobs.Jobs:
            for job in message.jobs:
                key = message.gateway, job.job_id, job.attempt
                self._arrivals.setdefault(key, now + job.remaining_s)
        elif type(message) is jobs.Cancel:
            gateway, job_ids = message.gateway, set(message.job_ids)
            self._cancelled.update(
                key for key in self._arrivals if key[0] == gateway and key[1] in job_ids
            )
        self.core.message(frame, now)

    def _begin(self, batch: Batch, now: float) -> None:
        oracle = self._world.oracle
        for job in batch.jobs:
            self._world.note(self.name, "starts job", job.job_id, job.attempt)
            key = batch.gateway, job.job_id, job.attempt
            if key in self._cancelled:
                raise Broken(f"{self.name} starts job {job.job_id}, which was cancelled")
            oracle.starts(self.name, job, self._arrivals.pop(key), now)
        results = self._runner.run(batch)
        ends_after_s, dies_after_s, why = self._fate(batch)
        if dies_after_s is not None:
            self._dies_at = now + dies_after_s
            self._clock.at(self._dies_at, self._dies, self.name, self._dies_at, why)
        self._busy = batch, results, now
        self._batch_ends_at = now + ends_after_s
        self._clock.at(self._batch_ends_at, self._woken, self.name)

    def _dies(self, name: str, at: float, why: str) -> None:
        if self.name == name and self._dies_at == at and not self.is_frozen:
            self.kill(why=why)

    def _finish(self) -> None:
        assert self._busy is not None
        batch, results, started_at = self._busy
        self._busy = None
        self._dies_at = float("inf")
        now = self._clock.now
        self.core.finished(batch, results, started_at=started_at, ended_at=now)
        self._carry_out()

    def _carry_out(self) -> None:
        for command in self.core.take_commands():
            if type(command) is Send and self._to_gateway is not None:
                self._world.note(self.name, "says", FromWorker(command.frame))
                self._to_gateway.send(command.frame)
            else:
                self._world.note(self.name, "notes", type(command).__name__)

    def _leaves(self, name: str) -> None:
        if self.name != name or not self.is_alive or not self.is_leaving:
            return
        self._world.note(self.name, "leaves")
        self.is_alive = False
        if self._link is not None:
            self._world.gateway.link_breaks(self.name, self._link)
        # What was said is flushed, as far as there is a connection.
        self._clock.after(self._world.scenario.restart_s, self.start)

    # What a batch takes

    def _fate(self, batch: Batch) -> tuple[float, float | None, str]:
        """How long a batch takes; and when it ends its process, if it does, and why."""
        plan = self._plans[batch.model]
        info = plan.info
        size = info.max_batch_size if info.batches else 1
        total_s = BATCH_S
        calls = [_rows(job)[0] for job in batch.jobs if job.kind is Kind.CALL]
        portions = [calls] if calls else []
        for job in batch.jobs:
            if job.kind is not Kind.CALL:
                rows = _rows(job)
                portions.extend(rows[at : at + size] for at in range(0, len(rows), size))
        for rows in portions:
            took_s = sum(self._row_s(plan, row) for row in rows)
            if any(self._world.oracle.traits.get(row) is Trait.POISON for row in rows):
                return total_s + took_s, total_s + took_s * self._world.rng.random(), "is poisoned"
            if took_s > info.timeout_s:
                return total_s + took_s, total_s + info.timeout_s, "is ended by its hard limit"
            total_s += took_s
        return total_s, None, ""

    def _row_s(self, plan: ModelPlan, row: Row) -> float:
        trait = self._world.oracle.traits.get(row)
        usual_s = plan.row_s * (1.0 + plan.spread * (self._world.rng.random() - 0.5))
        if trait is Trait.HANG:
            return usual_s + 2.0 * plan.info.timeout_s
        if trait is Trait.SLOW:
            return usual_s + 0.4 * plan.info.timeout_s
        return usual_s


def _rows(job: Job) -> list[Any]:
    rows: list[Any] = msgspec.msgpack.decode(job.args)
    return rows
