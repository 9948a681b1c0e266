"""What goes wrong, and when. Each fault uses only what the real world could do."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from chronicle import FromWorker
from request import Request
from scenario import LONGEST_PLAY_S, Fault, Kind
from worker_host import FROZEN_NOTICED_S

from zeropool.shared import jobs
from zeropool.shared.errors import ProtocolError
from zeropool.shared.jobs import Outcome, Result
from zeropool.shared.wire import event as wire

if TYPE_CHECKING:
    from world import World

FREEZES_S = (0.01, 0.2, 1.0, FROZEN_NOTICED_S + 0.5, FROZEN_NOTICED_S + 3.0)
PAUSES_S = (0.05, 0.5, 2.0)


class Faults:
    """The hand that does it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rng = world.rng
        self._kinds = list(world.scenario.faults)
        self._weights = list(world.scenario.faults.values())
        self._do = {
            Fault.KILL: self._kill,
            Fault.FREEZE: self._freeze,
            Fault.DRAIN_WORKER: self._drain_worker,
            Fault.ROLL: self._roll,
            Fault.CUT_JOBS: lambda: self._worker().jobs_break(),
            Fault.CUT_RESULTS: lambda: self._worker().results_break(),
            Fault.CUT_CLIENT: lambda: self._client().cut(),
            Fault.VANISH: lambda: self._client().vanish(),
            Fault.STOP_READING: self._stop_reading,
            Fault.GARBAGE: self._garbage,
            Fault.REPLAY: self._replay,
            Fault.FOREIGN: self._foreign,
            Fault.MALFORMED: self._malformed,
            Fault.SAME_ID: self._same_id,
            Fault.RESTART_GATEWAY: self._restart_gateway,
            Fault.DRAIN_GATEWAY: self._world.gateway.drain,
        }

    def begin(self) -> None:
        """Faults happen until the play is over."""
        if self._kinds:
            self._later()

    def _later(self) -> None:
        gap_s = self._rng.expovariate(1.0 / self._world.scenario.mean_fault_gap_s)
        self._world.clock.after(gap_s, self._happen)

    def _happen(self) -> None:
        if self._world.is_calm:
            return
        fault = self._rng.choices(self._kinds, self._weights)[0]
        self._world.note("fault", fault.value)
        self._do[fault]()
        self._later()

    def _worker(self):
        return self._rng.choice(self._world.workers)

    def _client(self):
        return self._rng.choice(self._world.clients)

    # Workers

    def _kill(self) -> None:
        self._worker().kill(why="is killed")

    def _freeze(self) -> None:
        self._worker().freeze(self._rng.choice(FREEZES_S))

    def _drain_worker(self) -> None:
        self._worker().drain()

    def _roll(self) -> None:
        at = self._world.clock.now
        for worker in self._world.workers:
            self._world.clock.at(at, worker.drain)
            at += self._rng.uniform(0.0, 0.5)

    # The worker port

    def _say(self, frame: bytes) -> None:
        self._world.note("stranger", "says", FromWorker(frame))
        self._world.gateway.anybody_says(frame)

    def _garbage(self) -> None:
        heard = self._world.gateway.heard
        frame = self._rng.randbytes(self._rng.randint(0, 40))
        if heard and self._rng.random() < 0.5:
            whole = self._rng.choice(heard)
            frame = whole[: self._rng.randint(0, max(len(whole) - 1, 0))]
        self._say(frame)

    def _replay(self) -> None:
        """Something that a worker said comes again; but a goodbye is its own to say."""
        heard = self._world.gateway.heard
        if not heard:
            return
        frame = self._rng.choice(heard)
        try:
            message = jobs.decode_from_worker(frame)
        except ProtocolError:
            return
        if isinstance(message, jobs.Results | jobs.WorkerBeat | jobs.Retire):
            self._say(frame)

    def _foreign(self) -> None:
        """A result for a job that another has, of another attempt, or of another gateway."""
        gateway = self._world.gateway
        if not gateway.is_up:
            return
        rng = self._rng
        by_owner = gateway.core.dispatcher.ledger._by_owner
        tasks = [task for owned in by_owner.values() for task in owned.values()]
        job_id, attempt, owner = rng.randint(0, 50), rng.randint(0, 3), "nobody"
        others = [worker.worker_id for worker in gateway.core.fleet]
        incarnation = gateway.core.incarnation
        if tasks:
            task = rng.choice(tasks)
            job_id, attempt, owner = task.job_id, task.attempt, task.owner
        wrong = rng.choice(("attempt", "owner", "gateway", "job"))
        if wrong == "attempt":
            attempt += rng.choice((-1, 1, 7, 2**40))
        elif wrong == "owner":
            owner = rng.choice([name for name in others if name != owner] or ["nobody"])
        elif wrong == "gateway":
            incarnation = "g0"
        else:
            job_id += 2**32
        outcome = rng.choice(list(Outcome))
        result = Result(job_id, attempt, outcome, b"\xc0", (b"\xc0",))
        busy_s = rng.choice((0.0, -1.0, math.nan, math.inf))
        self._say(jobs.encode(jobs.Results(owner, incarnation, [result], "m0", 0, busy_s)))

    # The client port

    def _stop_reading(self) -> None:
        self._client().stop_reading(self._rng.choice(PAUSES_S))

    def _malformed(self) -> None:
        rng = self._rng
        client = self._client()
        if not client.is_alive:
            return
        open_id = rng.choice(client.open_ids or [b"\xa1x"])
        number = b"\xa5\x65\x76%03d" % rng.randint(0, 999)
        whole = wire.encode_request(number, "m0_predict", [1])
        payload = rng.choice(
            (
                rng.randbytes(rng.randint(0, 30)),
                whole[: rng.randrange(len(whole))],
                wire.encode_request(number, "_zpc_hb", []),
                wire.encode_reply(number, b"\xa7nowhere", wire.OK, b"\x91\x01"),
                wire.encode_reply(number, open_id, wire.OK, b"\x91\x01"),
                wire.encode_reply(number, open_id, wire.MORE, b"\x91\xa1x"),
                wire.encode_reply(number, open_id, wire.MORE, b"\x90"),
                b"\x93\x80\xa1x\x90",
            )
        )
        client.say(payload)

    def _same_id(self) -> None:
        client = self._client()
        plan = self._rng.choice(self._world.scenario.models)
        request: Request = self._world.request(client.name, Kind.CALL, plan)
        scenario = self._world.scenario
        # Where the gateway gives clients up, what it then takes for a new request would be answered
        # on the channel of the old one.
        if scenario.limits.max_unread_bytes > 100_000 and scenario.max_unread_s > LONGEST_PLAY_S:
            client.ask_with_same_id(request)

    # The gateway

    def _restart_gateway(self) -> None:
        if self._world.gateway.is_up:
            self._world.gateway.kill()
