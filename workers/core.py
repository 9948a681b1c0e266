"""A worker without its sockets and models: frames and `now` in, commands and batches out.

Puts the cores together: a registration and an outbox for each gateway, and the batcher. Everything
that a worker decides, it decides here or in these; the shell in ``worker`` carries out and runs the
batches. After every call but `next_batch` the shell runs `take_commands`; `next_deadline` says when
`tick` or `next_batch` has something to do. Refuses to know how a job becomes a result. Times are
monotonic seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

from zeropool.shared import jobs
from zeropool.shared.errors import ProtocolError
from zeropool.shared.model import ModelInfo
from zeropool.workers.batcher import Batch, Batcher, BatchLimits
from zeropool.workers.commands import Command, Log, Note, Ready, Send
from zeropool.workers.outbox import MAX_MESSAGE_BYTES, Outbox, portions
from zeropool.workers.registration import Registration
from zeropool.workers.wear import Wear

#: Batches that a worker wants to hold: one to run, one to run next.
CREDIT_BATCHES: Final = 2
#: About five seconds of registering without an answer are worth a line in the log.
UNHEARD_AFTER_TRIES: Final = 7

# Bound once: to look a name up in another module takes as long as a small step.
_JOBS: Final = jobs.Jobs
_RESULTS: Final = jobs.Results
_WELCOME: Final = jobs.Welcome
_decode: Final = jobs.decode_from_gateway
_encode: Final = jobs.encode


class Identity:
    """Who this incarnation of a worker is, and where it takes jobs."""

    __slots__ = ("endpoint", "host", "pid", "worker_id")

    def __init__(self, worker_id: str, endpoint: str, pid: int, host: str) -> None:
        self.worker_id = worker_id
        self.endpoint = endpoint
        self.pid = pid
        self.host = host


class _Link:
    """What a worker knows of one of its gateways."""

    __slots__ = ("endpoint", "has_lost", "number", "outbox", "registration")

    def __init__(self, number: int, endpoint: str, registration: Registration) -> None:
        self.number = number
        self.endpoint = endpoint
        self.registration = registration
        self.outbox = Outbox()
        #: Results are lost for good: what the gateway has no answer to, may have been started.
        self.has_lost = False

    @property
    def gateway(self) -> str:
        """The incarnation that welcomed us; empty while none has."""
        return self.registration.gateway


class WorkerCore:
    """All decisions of one worker process. Gateways are numbered as they are given."""

    def __init__(
        self,
        identity: Identity,
        infos: Sequence[ModelInfo],
        gateways: Sequence[str],
        *,
        now: float,
        wear: Wear | None = None,
    ) -> None:
        self.identity = identity
        self.wear = wear or Wear()
        #: It has said goodbye: nothing is started and nothing taken any more. It is only there for
        #: gateways that did not hear everything.
        self.is_ending = False
        self.batcher = Batcher({info.qualified_name: _limits(info) for info in infos})
        self._infos = list(infos)
        self._links = [
            _Link(number, endpoint, Registration(now=now))
            for number, endpoint in enumerate(gateways)
        ]
        self._beat_at = -math.inf
        #: The gateway that was asked to let a spent worker go.
        self._asked: _Link | None = None
        self._is_ready = False
        #: Until then no batch is started: a gateway may be about to answer.
        self._rest_until = -math.inf
        self._commands: list[Command] = []
        if self.wear.is_born_large:
            self._log(Note.BORN_LARGE, worker=identity.worker_id)

    def __repr__(self) -> str:
        welcomed = sum(link.registration.is_welcomed for link in self._links)
        return (
            f"<WorkerCore {self.identity.worker_id} gateways={welcomed}/{len(self._links)} "
            f"{self.batcher!r} is_ending={self.is_ending}>"
        )

    # Gateways

    def connected(self, link: int, now: float) -> None:
        """The connection to a gateway has come up, perhaps again."""
        self._links[link].registration.connected(now)
        self._rest()
        self._links[link].outbox.reconnected()

    def disconnected(self, link: int) -> None:
        """The connection to a gateway has ended."""
        self._links[link].registration.disconnected()
        self._rest()

    def message(self, frame: bytes, now: float) -> None:
        """Take a frame from the socket for jobs."""
        try:
            message = _decode(frame)
        except ProtocolError as error:
            self._log(Note.MALFORMED, reason=error)
            return
        link = self._link_of(message)
        if link is None:
            return
        link.registration.heard(message.gateway, now)
        if type(message) is _JOBS:
            link.outbox.seen(message.seen)
            self._take_jobs(link, message, now)
        elif type(message) is jobs.GatewayBeat:
            link.outbox.seen(message.seen)
        elif type(message) is jobs.Cancel:
            cancelled = self.batcher.cancel(message.gateway, set(message.job_ids))
            self._give_back(link, cancelled)
        elif type(message) is jobs.Welcome:
            self._welcomed(link, message, now)
        elif type(message) is jobs.Drain:
            self.drain()

    def _link_of(self, message: jobs.FromGateway) -> _Link | None:
        """The link that a message belongs to; None for what another incarnation says."""
        if type(message) is not _WELCOME:
            return self._link_to(message.gateway)
        if not 0 <= message.link < len(self._links):
            return None
        link = self._links[message.link]
        return None if link.registration.is_late(message.serial) else link

    def _link_to(self, gateway: str) -> _Link | None:
        for link in self._links:
            if link.registration.is_welcomed and link.gateway == gateway:
                return link
        return None

    def _welcomed(self, link: _Link, message: jobs.Welcome, now: float) -> None:
        is_first = not any(other.registration.is_welcomed for other in self._links)
        replaced = link.registration.welcomed(message.gateway, now, message.serial)
        self._rest()
        if replaced:
            # That incarnation is gone, and its jobs mean nothing to the new one.
            self.batcher.forget_gateway(replaced)
            link.outbox.forget()
            link.has_lost = False
        link.outbox.seen(message.seen)
        self._send_again(link)
        if self._asked is link:
            # It may not have heard the request, or be another incarnation.
            self._asked = None
        if is_first and not self.is_ending:
            self._log(
                Note.READY,
                worker=self.identity.worker_id,
                gateway=link.endpoint,
                models=[info.qualified_name for info in self._infos],
            )
        if not self._is_ready and all(each.registration.is_welcomed for each in self._links):
            self._is_ready = True
            self._commands.append(Ready())

    def _send_again(self, link: _Link) -> None:
        """Send what went over a connection that broke and did not arrive."""
        lost = 0
        for number, frame in link.outbox.take_unsure():
            if frame is not None:
                self._commands.append(Send(link.number, frame))
                continue
            lost += 1
            # The gateway gives these jobs up in time; it must not wait for their message as well.
            empty = jobs.Results(self.identity.worker_id, link.gateway, [], number=number)
            self._send(link, empty)
        if lost:
            link.has_lost = True
            self._log(Note.RESULTS_LOST, endpoint=link.endpoint, messages=lost)
        if self.is_ending:
            self._say_goodbye(link)

    def _take_jobs(self, link: _Link, message: jobs.Jobs, now: float) -> None:
        if self.is_ending:
            # The gateway has not read the goodbye yet; when it does, it gives them to others.
            return
        self._give_back(link, self.batcher.add(message.gateway, message.jobs, now))

    # Batches

    def next_batch(self, now: float) -> Batch | None:
        """The batch to run now, if one is due; `finished` is to follow."""
        if self.is_ending or now < self._rest_until:
            return None
        return self.batcher.next_batch(now)

    @property
    def has_full_batch(self) -> bool:
        """Tell whether the next batch has no room for what may still come."""
        return not self.is_ending and self.batcher.is_full

    def finished(
        self, batch: Batch, results: list[jobs.Result], *, started_at: float, ended_at: float
    ) -> None:
        """A batch was run: its results go to the gateway that asked."""
        self._beat_at = ended_at + jobs.BEAT_INTERVAL_S
        self.wear.answered(len(results))
        link = self._link_to(batch.gateway)
        if link is not None:
            self._send_results(link, results, batch.model, batch.rows, ended_at - started_at)
        if self.wear.reason:
            self._ask_to_retire()

    # Time

    def next_deadline(self) -> float:
        """When `tick` or `next_batch` next has something to do."""
        deadline = math.inf
        for link in self._reporting():
            deadline = min(deadline, link.registration.next_deadline())
        if self.is_ending:
            return deadline
        deadline = min(deadline, self._beat_at)
        return min(deadline, max(self.batcher.next_deadline(), self._rest_until))

    def tick(self, now: float) -> None:
        """Do what is due by now."""
        for link in self._reporting():
            if link.registration.must_register(now):
                self._register(link)
                self._rest()
        if self.is_ending:
            return
        if self.wear.reason:
            self._ask_to_retire()
        if now >= self._beat_at:
            self._beat_at = now + jobs.BEAT_INTERVAL_S
            for link in self._links:
                if link.registration.is_welcomed:
                    self._send(link, jobs.WorkerBeat(self.identity.worker_id))

    def _ask_to_retire(self) -> None:
        """Ask the first gateway that answers: if all asked theirs, all might go at once."""
        answering = (link for link in self._links if link.registration.is_answered)
        link = next(answering, None)
        if link is None or link is self._asked:
            return
        self._asked = link
        self._send(link, jobs.Retire(self.identity.worker_id, self.wear.reason))
        self._log(Note.SPENT, worker=self.identity.worker_id, reason=self.wear.reason)

    def _rest(self) -> None:
        self._rest_until = max(link.registration.answer_until for link in self._links)

    def _reporting(self) -> Iterable[_Link]:
        """The links over which to register: on its way out, none to which it would be new."""
        if not self.is_ending:
            return self._links
        return (link for link in self._links if link.registration.is_welcomed)

    def _register(self, link: _Link) -> None:
        rows = max(info.max_batch_size for info in self._infos)
        self._send(
            link,
            jobs.Register(
                self.identity.worker_id,
                jobs.PROTOCOL_VERSION,
                link.number,
                self.identity.endpoint,
                CREDIT_BATCHES * rows,
                self.identity.pid,
                self.identity.host,
                self._infos,
                link.outbox.last,
                link.registration.serial,
            ),
        )
        if link.registration.tries == UNHEARD_AFTER_TRIES:
            # One of another version is silent as well, and says why in its own log.
            self._log(
                Note.NO_GATEWAY, endpoint=link.endpoint, protocol_version=jobs.PROTOCOL_VERSION
            )

    # The end

    def drain(self) -> None:
        """Give back what was not started, and say goodbye. Nothing runs between two batches."""
        if self.is_ending:
            return
        self.is_ending = True
        self._log(Note.DRAINING, worker=self.identity.worker_id, not_started=len(self.batcher))
        for link in self._links:
            self._send(link, jobs.Draining(self.identity.worker_id))
        for gateway, waiting in self.batcher.empty().items():
            link_to = self._link_to(gateway)
            if link_to is not None:
                self._give_back(link_to, waiting)
        for link in self._links:
            self._say_goodbye(link)

    def _say_goodbye(self, link: _Link) -> None:
        if link.has_lost:
            # A goodbye would say that nothing unanswered was started; so its end has to do.
            return
        self._send(link, jobs.Bye(self.identity.worker_id, link.outbox.last))

    # Commands

    def take_commands(self) -> list[Command]:
        """Everything there is to do, in order."""
        commands, self._commands = self._commands, []
        return commands

    def _give_back(self, link: _Link, not_started: Iterable[jobs.Job]) -> None:
        returned = [
            jobs.Result(job.job_id, job.attempt, jobs.Outcome.RETURNED) for job in not_started
        ]
        if returned:
            self._send_results(link, returned)

    def _send_results(
        self,
        link: _Link,
        results: list[jobs.Result],
        model: str = "",
        rows: int = 0,
        busy_s: float = 0.0,
    ) -> None:
        is_one = len(results) <= 1
        # They are alike as a rule: what is too large for one message, is not encoded as one.
        if is_one or len(results) * len(results[0].body) <= MAX_MESSAGE_BYTES:
            frame = self._results_frame(link, results, model, rows, busy_s)
            if is_one or len(frame) <= MAX_MESSAGE_BYTES:
                self._send_numbered(link, frame)
                return
        for portion in portions(results):
            self._send_numbered(link, self._results_frame(link, portion, model, rows, busy_s))
            # The batch is told of once.
            rows, busy_s = 0, 0.0

    def _results_frame(
        self, link: _Link, results: list[jobs.Result], model: str, rows: int, busy_s: float
    ) -> bytes:
        number = link.outbox.last + 1
        return _encode(
            _RESULTS(self.identity.worker_id, link.gateway, results, model, rows, busy_s, number)
        )

    def _send_numbered(self, link: _Link, frame: bytes) -> None:
        link.outbox.add(frame)
        self._commands.append(Send(link.number, frame))

    def _send(self, link: _Link, message: jobs.FromWorker) -> None:
        self._commands.append(Send(link.number, _encode(message)))

    def _log(self, note: Note, **fields: object) -> None:
        self._commands.append(Log(note, fields))


def _limits(info: ModelInfo) -> BatchLimits:
    # Without predict_batch, company would only hold up the first one's result.
    if not info.batches:
        return BatchLimits(1, 0.0)
    return BatchLimits(info.max_batch_size, info.max_wait_s)
