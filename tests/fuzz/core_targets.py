"""The whole gateway and a worker's whole way from frame to result, fed hostile frames.

Beside the hostile input an honest caller asks and an honest worker answers, and time passes: what
is fuzzed is a core that has calls open.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import msgspec
from fuzz import pools
from fuzz.targets import Fault, Target

from zeropool.gateway.commands import Connect, Tell
from zeropool.gateway.core import Gateway
from zeropool.gateway.limits import Limits
from zeropool.gateway.reply import Reply
from zeropool.shared import jobs
from zeropool.shared.jobs import Job, Kind, Outcome, Result
from zeropool.shared.wire import event as wire
from zeropool.shared.wire.event import MessageIds
from zeropool.workers.commands import Send
from zeropool.workers.core import Identity, WorkerCore
from zeropool.workers.loaded_model import LoadedModel
from zeropool.workers.models import load_model
from zeropool.workers.runner import Runner

pack = msgspec.msgpack.encode
unpack = msgspec.msgpack.decode

LIMITS: dict[str, Any] = {
    "max_request_bytes": 10_000,
    "max_reply_bytes": 10_000,
    "max_held_bytes": 100_000,
    "max_attempts": 3,
    "startup_grace_s": 10.0,
    "stream_idle_s": 60.0,
    "max_unread_bytes": 100_000,
    "max_workers": 50,
}
#: Deep checks cost more than an input; one in so many is checked.
CHECK_EVERY = 16
#: Beyond every limit of the model and of a session.
LONG_AFTER_S = 10_000.0
HONEST = (b"honest",)


class GatewayTarget(Target):
    """Frames on the worker port of a gateway that has calls open."""

    name = "worker-message"
    pool = pools.FROM_WORKER

    def open(self, rng: random.Random, folder: Path) -> None:  # noqa: ARG002 - not all need both
        self._rng = rng
        self._now = 0.0
        self._gateway = Gateway("fuzz", "1.0", "gw1", Limits(**LIMITS), now=0.0)
        self._held: dict[str, list[Job]] = {}
        self._asked = 0
        self._fed = 0
        #: Terminal events for each call of the honest caller.
        self._ended: Counter[object] = Counter()
        self._register("w0")

    def feed(self, data: bytes) -> None:
        self._now += self._rng.random() * 0.05
        self._hostile(data)
        self._fed += 1
        match self._rng.randrange(6):
            case 0:
                self._ask()
            case 1 | 2:
                self._answer()
            case 3:
                self._gateway.tick(self._now)
            case 4 if self._rng.random() < 0.1:
                self._lose()
        self._run()
        if self._fed % CHECK_EVERY == 0:
            self._gateway.dispatcher.check_invariants()

    def _hostile(self, data: bytes) -> None:
        self._gateway.worker_message(data, self._now)

    def close(self) -> None:
        """Every call ends once, and nothing is kept."""
        gateway = self._gateway
        for worker in list(gateway.fleet):
            gateway.worker_disconnected(worker.worker_id)
        self._run()
        self._now += LONG_AFTER_S
        gateway.tick(self._now)
        gateway.abandon()
        self._run()
        gateway.dispatcher.check_invariants()
        if gateway.dispatcher.open_calls or gateway.dispatcher.held_bytes:
            raise Fault(f"{gateway!r} still holds calls")
        if set(self._ended.values()) - {1} or len(self._ended) != self._asked:
            raise Fault(f"{len(self._ended)} of {self._asked} calls ended, {self._ended}")

    # The honest ones

    def _register(self, name: str) -> None:
        message = jobs.Register(
            name, jobs.PROTOCOL_VERSION, 0, f"ipc://{name}", 100, 7, "host", [pools.MODEL]
        )
        self._gateway.worker_message(jobs.encode(message), self._now)
        self._gateway.worker_connected(name, self._now)
        self._run()

    def _ask(self) -> None:
        self._asked += 1
        call_id = pack(self._asked)
        shape = self._rng.choice(("", "_batch", "_stream"))
        data = list(range(self._rng.choice((0, 1, 5, 100)))) if shape else self._asked
        request = wire.encode_request(call_id, f"double_predict{shape}", [data])
        self._gateway.client_message(HONEST, request, self._now)
        if shape == "_stream":
            more = wire.encode_more(b"\xa1m", call_id, 200)
            self._gateway.client_message(HONEST, more, self._now)

    def _answer(self) -> None:
        name = self._rng.choice(list(self._held) or ["w0"])
        held = self._held.pop(name, [])
        results = [_result_of(job) for job in held]
        message = jobs.Results(name, "gw1", results, "double", len(held), 0.001 * len(held))
        self._gateway.worker_message(jobs.encode(message), self._now)

    def _lose(self) -> None:
        if self._gateway.fleet.get("w0") is not None:
            self._gateway.worker_disconnected("w0")
        self._held.pop("w0", None)
        self._register("w0")

    def _run(self) -> None:
        while commands := self._gateway.take_commands(self._now):
            for command in commands:
                self._do(command)

    def _do(self, command: object) -> None:
        match command:
            case Reply(route=route, payload=payload):
                self._hear(route, payload)
            case Tell(worker_id=name, frame=frame):
                message = jobs.decode_from_gateway(frame)
                if isinstance(message, jobs.Jobs):
                    self._held.setdefault(name, []).extend(message.jobs)
            case Connect(worker_id=name):
                # Some of those who register can even be reached.
                if self._rng.random() < 0.5:
                    self._gateway.worker_connected(name, self._now)

    def _hear(self, route: tuple[bytes, ...], payload: bytes) -> None:
        if route != HONEST:
            return
        try:
            event = wire.decode_event(payload)
        except wire.ProtocolError:
            # A worker's reply passes unread; this one lies as the owner of the job.
            self._ended[object()] += 1
            return
        if event.name in wire.TERMINAL:
            self._ended[event.response_to] += 1


def _result_of(job: Job) -> Result:
    if job.kind is Kind.CALL:
        body = wire.encode_ok(b"\xa1r", job.reply_to, b"\x02")
        return Result(job.job_id, job.attempt, Outcome.OK, body)
    if job.kind is Kind.ITEMS:
        return Result(job.job_id, job.attempt, Outcome.OK, b"", (b"\x02",) * job.rows)
    return Result(job.job_id, job.attempt, Outcome.OK, b"\x02" * job.rows)


class ClientMessageTarget(GatewayTarget):
    """Messages on the client port of a gateway: any number of frames, any payload."""

    name = "client-message"
    pool = pools.EVENTS

    def _hostile(self, data: bytes) -> None:
        rng = self._rng
        client = rng.choice((b"a", b"b", b"c"))
        hops: list[bytes] = []
        if rng.randrange(8) == 0:
            hops = [rng.choice(self.pool) for _ in range(rng.randrange(12))]
        self._gateway.client_message((client, *hops), data, self._now)
        if rng.randrange(50) == 0:
            self._gateway.client_gone(client, self._now, has_hops=True)


class WorkerTarget(Target):
    """Frames on a worker's port: decided, batched, run, encoded, as its shell does it."""

    name = "worker-entry"
    pool = pools.FROM_GATEWAY
    models: ClassVar[Sequence[LoadedModel]] = []

    def open(self, rng: random.Random, folder: Path) -> None:  # noqa: ARG002 - not all need both
        if not self.models:
            limits: dict[str, Any] = {"max_batch_size": 4, "timeout_s": 60.0, "max_queue": 10}
            type(self).models = [load_model("fixture_models.plain", "EchoModel", **limits)]
        self._rng = rng
        self._now = 0.0
        self._runner = Runner(self.models, MessageIds(1))
        self._start()

    def _start(self) -> None:
        identity = Identity("w1", "ipc://w1", 7, "host")
        infos = [model.info for model in self.models]
        self._core = WorkerCore(identity, infos, ["ipc://gateway"], now=self._now)
        self._core.connected(0, self._now)
        self._core.message(
            jobs.encode(jobs.Welcome("gw1", jobs.PROTOCOL_VERSION, 0, serial=1)), self._now
        )

    def feed(self, data: bytes) -> None:
        self._now += self._rng.random() * 0.01
        self._core.message(data.replace(b"\xa6double", b"\xa4echo"), self._now)
        self._work()
        if self._core.is_ending or self._rng.random() < 0.01:
            self._start()

    def _work(self) -> None:
        self._core.tick(self._now)
        while (batch := self._core.next_batch(self._now)) is not None:
            results = self._runner.run(batch)
            self._core.finished(batch, results, started_at=self._now, ended_at=self._now)
        for command in self._core.take_commands():
            if isinstance(command, Send):
                jobs.decode_from_worker(command.frame)

    def close(self) -> None:
        self._now += LONG_AFTER_S
        self._work()
        if len(self._core.batcher):
            raise Fault(f"{self._core!r} keeps jobs")
