"""The gateway's side of the worker protocol: who is there, who is new, who is gone.

Turns what workers say into facts for the fleet, the service and the dispatcher, and what the
dispatcher decides into frames for workers. Refuses to know clients. No I/O, no clock.
Specified in ``docs/protocol.md``.
"""

from __future__ import annotations

from collections import Counter
from itertools import chain
from typing import Final

from zeropool.gateway.commands import Command, Connect, Disconnect, Log, Note, Tell
from zeropool.gateway.dispatcher import Dispatcher
from zeropool.gateway.enrolment import MAX_NAME_CHARACTERS, refusal
from zeropool.gateway.fleet import STALLED_AFTER_S, Fleet, Worker, WorkerState
from zeropool.gateway.retirement import Retirement
from zeropool.gateway.service import Service
from zeropool.shared import jobs
from zeropool.shared.errors import ProtocolError
from zeropool.shared.model import ModelInfo

#: A worker that registered must be connected within this time, or register again.
CONNECT_TIMEOUT_S: Final = 5.0
#: Jobs of a dead worker that its line in the log names.
MAX_JOBS_TOLD: Final = 20

# Bound once: to look a name up in another module takes as long as a small step.
_JOBS: Final = jobs.Jobs
_RESULTS: Final = jobs.Results
_decode: Final = jobs.decode_from_worker
_encode: Final = jobs.encode


class Pool:
    """All workers of one gateway, as far as messages to and from them go."""

    def __init__(  # noqa: PLR0913 - the cores around it, and the gateway's counts
        self,
        incarnation: str,
        fleet: Fleet,
        service: Service,
        dispatcher: Dispatcher,
        dropped: Counter[str],
        *,
        max_workers: int,
        now: float,
    ) -> None:
        self._incarnation = incarnation
        self._fleet = fleet
        self._service = service
        self._dispatcher = dispatcher
        #: Steps in the lives of workers that were logged.
        self.notes: Counter[Note] = Counter()
        #: What was not taken, by reason.
        self._dropped = dropped
        self._max_workers = max_workers
        #: What workers bring whose connection is not up yet: it may never be.
        self._joining: dict[str, list[ModelInfo]] = {}
        self._retirement = Retirement(fleet)
        self._now = now
        self._commands: list[Command] = []
        self._beat_at = now + jobs.BEAT_INTERVAL_S
        self._reclaim_at = now

    def __repr__(self) -> str:
        return f"<Pool {self._fleet!r} commands={len(self._commands)}>"

    def message(self, frame: bytes, now: float) -> None:
        """Take a frame from the worker port."""
        try:
            message = _decode(frame)
        except ProtocolError:
            self._dropped["worker_malformed"] += 1
            return
        worker = self._fleet.get(message.worker)
        if worker is not None:
            worker.heard_at = now
        if type(message) is _RESULTS:
            self._results(message, worker, now)
        elif type(message) is jobs.Register:
            self._register(message, len(frame), now)
        elif type(message) is jobs.Retire and worker is not None:
            self._retirement.asks(worker)
            self._let_go(now)
        elif type(message) is jobs.Draining:
            self._draining(message.worker)
        elif type(message) is jobs.Bye and worker is not None and message.last <= worker.seen:
            self._gone(message.worker, Note.WORKER_GONE)

    def _results(self, message: jobs.Results, worker: Worker | None, now: float) -> None:
        if worker is None or message.gateway != self._incarnation:
            self._dropped["result_foreign"] += len(message.results)
            return
        if not worker.sees(message.number):
            # The ledger knows what is new in it, as a number can be made up.
            self._dropped["result_repeated"] += len(message.results)
        self._dispatcher.take_results(message, worker, now)

    def _register(self, message: jobs.Register, size_bytes: int, now: float) -> None:
        known = self._fleet.get(message.worker)
        if known is not None:
            known.serial = message.serial
            if known.state is not WorkerState.CONNECTING:
                # It did not hear the welcome, or forgot it; what it holds stays in the ledger.
                self._welcome(known)
            return
        refused = refusal(message, size_bytes, self._fleet, self._known_models(), self._max_workers)
        if refused is not None:
            self._dropped[f"register_{refused.reason}"] += 1
            worker_id = message.worker[:MAX_NAME_CHARACTERS]
            self._log(Note.WORKER_REFUSED, worker=worker_id, reason=refused.text)
            return
        worker = Worker.registered(message, now)
        self._fleet.add(worker)
        self._joining[worker.worker_id] = message.models
        self._commands.append(Connect(worker.worker_id, worker.endpoint))

    def _known_models(self) -> set[str]:
        """The models that are served, and those that the workers bring that are being connected."""
        joining = chain.from_iterable(self._joining.values())
        return {*self._service.models, *(info.qualified_name for info in joining)}

    def connected(self, worker_id: str) -> bool:
        """The shell's socket to a worker is up. Tell whether it can now be given work."""
        worker = self._fleet.get(worker_id)
        if worker is None or worker.state is not WorkerState.CONNECTING:
            return False
        for info in self._joining.pop(worker_id):
            self._service.add_model(info)
            self._dispatcher.know(info)
        worker.state = WorkerState.READY
        self._welcome(worker)
        self._log(
            Note.WORKER_READY,
            worker=worker_id,
            pid=worker.pid,
            host=worker.host,
            models=",".join(worker.models),
        )
        self._let_go(self._now)
        return True

    def disconnected(self, worker_id: str) -> None:
        """The connection to a worker is gone or never came up: what it had moves to others."""
        self._gone(worker_id, Note.WORKER_LOST)

    def keep_all(self) -> None:
        """The gateway drains: no worker goes because it is spent."""
        self._retirement.end()

    def _let_go(self, now: float) -> None:
        for worker in self._retirement.take_leavers(now):
            self._tell(worker.worker_id, jobs.encode(jobs.Drain(self._incarnation)))
            self._log(Note.WORKER_RETIRING, worker=worker.worker_id, pid=worker.pid)

    def _draining(self, worker_id: str) -> None:
        worker = self._fleet.get(worker_id)
        if worker is None:
            return
        if worker.state is WorkerState.CONNECTING:
            # It has nothing, and is to get nothing.
            self._gone(worker_id, Note.WORKER_GONE)
        elif worker.state is WorkerState.READY:
            worker.state = WorkerState.DRAINING
            self._log(Note.WORKER_DRAINING, worker=worker_id, pid=worker.pid)

    def _gone(self, worker_id: str, note: Note, **about: object) -> None:
        worker = self._fleet.remove(worker_id)
        if worker is None:
            return
        self._joining.pop(worker_id, None)
        ledger = self._dispatcher.ledger
        unanswered, told = ledger.owned_by(worker_id), ledger.jobs_of(worker_id, MAX_JOBS_TOLD)
        if note is Note.WORKER_GONE:
            self._dispatcher.worker_left(worker_id)
        else:
            self._charge(worker)
            self._dispatcher.worker_lost(worker_id)
        self._retirement.left(worker, self._now)
        self._commands.append(Disconnect(worker_id))
        if told:
            about["jobs"] = told
        self._log(note, worker=worker_id, pid=worker.pid, unanswered=unanswered, **about)

    def _charge(self, lost: Worker) -> None:
        """The time until a worker's death is its model's: no result will ever tell of it."""
        oldest = self._dispatcher.ledger.oldest_of(lost.worker_id)
        if oldest is not None:
            used_s = max(self._now - lost.progress_at, oldest.cost_s)
            self._dispatcher.queues[oldest.call.model].used_s += used_s

    def _welcome(self, worker: Worker) -> None:
        welcome = jobs.Welcome(
            self._incarnation, jobs.PROTOCOL_VERSION, worker.link, worker.seen, worker.serial
        )
        self._tell(worker.worker_id, jobs.encode(welcome))

    def _tell(self, worker_id: str, frame: bytes) -> None:
        self._commands.append(Tell(worker_id, frame))

    # Time

    def next_deadline(self) -> float:
        """When `tick` next has something to do."""
        deadline = min(self._beat_at, self._retirement.next_deadline())
        if len(self._dispatcher.ledger):
            return min(deadline, self._reclaim_at)
        return deadline

    def tick(self, now: float) -> None:
        """Take back what stalled workers hold, give up those that are overdue, and beat."""
        self._now = now
        if now >= self._reclaim_at:
            self._reclaim_at = now + STALLED_AFTER_S
            self._dispatcher.reclaim(now)
            for queue in self._dispatcher.queues.values():
                # Little at a time, so that it holds up nobody.
                queue.tally.count()
            for worker_id in self._dispatcher.overdue_workers(now):
                self._gone(worker_id, Note.WORKER_LOST)
        if now >= self._beat_at:
            self._beat(now)
        if now >= self._retirement.next_deadline():
            self._let_go(now)

    def _beat(self, now: float) -> None:
        self._beat_at = now + jobs.BEAT_INTERVAL_S
        for worker in list(self._fleet):
            if worker.state is not WorkerState.CONNECTING:
                beat = jobs.GatewayBeat(self._incarnation, worker.seen)
                self._tell(worker.worker_id, jobs.encode(beat))
            elif now - worker.registered_at > CONNECT_TIMEOUT_S:
                error = f"{worker.endpoint}: no connection within {CONNECT_TIMEOUT_S:g} s"
                self._gone(worker.worker_id, Note.WORKER_LOST, error=error)

    # Commands

    def take_commands(self, now: float) -> list[Command]:
        """Decide what to dispatch, and return everything there is to do for workers, in order."""
        commands, self._commands = self._commands, []
        # First what is cancelled: a job that is taken back may go to the same worker again.
        if self._dispatcher.has_cancellations:
            self._cancel(commands)
        for worker_id, batch in self._dispatcher.dispatch(now).items():
            seen = self._fleet.seen_of(worker_id)
            frame = _encode(_JOBS(self._incarnation, batch, seen))
            commands.append(Tell(worker_id, frame))
        if self._dispatcher.has_cancellations:
            # A call has failed as its next rows were cut: others of its tasks may just have gone.
            self._cancel(commands)
        return commands

    def _cancel(self, commands: list[Command]) -> None:
        for worker_id, job_ids in self._dispatcher.take_cancellations().items():
            frame = jobs.encode(jobs.Cancel(self._incarnation, job_ids))
            commands.append(Tell(worker_id, frame))

    def _log(self, note: Note, **fields: object) -> None:
        self.notes[note] += 1
        self._commands.append(Log(note, fields))
