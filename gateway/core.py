"""The gateway without its sockets: frames and `now` in, commands out.

Puts the cores together: the session speaks ZeroRPC, the service knows the methods, the dispatcher
the work, the fleet the workers. Everything that the gateway decides, it decides here or in these;
the shell in ``server`` only carries out. After every call the shell runs `take_commands`;
`next_deadline` says when `tick` has something to do.
"""

from __future__ import annotations

import enum
from collections import Counter
from typing import Any

import msgspec

from zeropool.gateway.calls import Batch, Call, Order, Stream, Unary
from zeropool.gateway.commands import Command, Connect, Disconnect, Log, Note, Reply, Tell
from zeropool.gateway.dispatcher import Dispatcher
from zeropool.gateway.fleet import STALLED_AFTER_S, Fleet, Worker, WorkerState
from zeropool.gateway.limits import Limits
from zeropool.gateway.lobby import Lobby, due_at
from zeropool.gateway.rows import RowCursor, task_rows
from zeropool.gateway.service import ModelMethod, OwnMethod, Service, Shape
from zeropool.gateway.status import Rate, snapshot
from zeropool.shared import jobs
from zeropool.shared.errors import (
    DeadlineExceeded,
    Draining,
    PayloadTooLarge,
    ProtocolError,
    UnknownMethod,
    ZeropoolError,
)
from zeropool.shared.wire.channel import Channel, Route
from zeropool.shared.wire.event import Event, RemoteFailure
from zeropool.shared.wire.session import Granted, Lost, Requested, Role, Session

#: Frames that lead back to a client; more hops than any chain of devices in use.
MAX_HOPS = 8
#: The same in bytes: routing ids have at most 255 each.
MAX_ROUTE_BYTES = MAX_HOPS * 255
#: A worker that registered must be connected within this time, or register again.
CONNECT_TIMEOUT_S = 5.0

_SHUTTING_DOWN = "the service is shutting down; call again"


class GatewayState(enum.Enum):
    """Where the gateway is in its life."""

    SERVING = "serving"
    #: Takes no new calls, finishes those that it accepted.
    DRAINING = "draining"


class Gateway:
    """All decisions of one gateway process."""

    def __init__(
        self, name: str, version: str, incarnation: str, limits: Limits, *, now: float
    ) -> None:
        self.state = GatewayState.SERVING
        self.incarnation = incarnation
        self.session = Session(Role.SERVER)
        self.fleet = Fleet()
        self.dispatcher = Dispatcher(
            self.session,
            self.fleet,
            max_attempts=limits.max_attempts,
            max_held_bytes=limits.max_held_bytes,
        )
        self.service = Service(name, self._status)
        self.dropped: Counter[str] = Counter()
        #: Requests that were answered with an error at once, by its wire name.
        self.refused: Counter[str] = Counter()
        self._version = version
        self._limits = limits
        self._started_at = now
        self._now = now
        self._calls = Rate()
        self._commands: list[Command] = []
        self._beat_workers_at = now + jobs.BEAT_INTERVAL_S
        self._reclaim_at = now
        #: Calls for methods that a worker may yet bring.
        self._lobby = Lobby(limits.max_held_bytes)

    def __repr__(self) -> str:
        return (
            f"<Gateway {self.state.value} {self.session!r} {self.dispatcher!r} {self.fleet!r} "
            f"{self._lobby!r}>"
        )

    @property
    def is_drained(self) -> bool:
        """Draining, and every accepted call has its reply."""
        return self.state is GatewayState.DRAINING and not self.dispatcher.open_calls

    # Clients

    def client_message(self, frames: list[bytes], now: float) -> None:
        """Take a message from the client port: routing id, delimiter, payload, as a rule."""
        self._now = now
        # zerorpc.Server's rule: the last frame is the payload, the one before it the delimiter.
        route = tuple(frames[:-2]) or (frames[0],)
        # A single hop is the routing id, which libzmq bounds itself.
        if len(route) > 1 and (len(route) > MAX_HOPS or sum(map(len, route)) > MAX_ROUTE_BYTES):
            self.dropped["route_too_long"] += 1
            return
        signal = self.session.receive(route, frames[-1], now)
        if type(signal) is Requested:
            self._calls.count(now)
            self._request(signal, len(frames[-1]), now)
        elif type(signal) is Granted:
            self.dispatcher.caller_granted(signal.channel, now)

    def client_unreachable(self, route: Route, now: float) -> None:
        """A client's connection is gone, or it does not read what it asked for."""
        self._callers_lost(self.session.route_lost(route, now))

    def _request(self, request: Requested, size_bytes: int, now: float) -> None:
        channel = request.channel
        try:
            if size_bytes > self._limits.max_request_bytes:
                limit = self._limits.max_request_bytes
                raise PayloadTooLarge(
                    f"request of {size_bytes} bytes exceeds max_request_bytes {limit}"
                )
            self._route(request, now)
        except ZeropoolError as error:
            self._refuse(channel, error)

    def _route(self, request: Requested, now: float) -> None:
        event = request.event
        try:
            method = self.service.find(event.name)
        except UnknownMethod:
            if self.service.may_become_known(event.name) and self._is_starting(now):
                self._wait_for_workers(request)
                return
            raise
        if isinstance(method, ModelMethod):
            self._accept(method, request, now)
        elif method.needs_models and not self.service.models and self._is_starting(now):
            self._wait_for_workers(request)
        else:
            self._answer(method, request.channel, event)

    def _accept(self, method: ModelMethod, request: Requested, now: float) -> None:
        if self.state is GatewayState.DRAINING:
            raise Draining(_SHUTTING_DOWN)
        self.dispatcher.check_room(method.model, len(request.event.args))
        call = self._call(method, request, now)
        if not call.answer_if_empty(self.session):
            self.dispatcher.submit(call)

    def _call(self, method: ModelMethod, request: Requested, now: float) -> Call:
        info = self.service.models[method.model]
        args = request.event.args
        order = Order(
            request.channel,
            method.model,
            args,
            now,
            info.timeout_s,
            due_at(request),
            self._limits.max_reply_bytes,
        )
        if method.shape is Shape.CALL:
            return Unary(order)
        rows = RowCursor(args, method.name)

        def share() -> int:
            workers = len(self.fleet.holding(method.model))
            row_s = self.dispatcher.queues[method.model].row_s
            return task_rows(self.service.models[method.model], row_s, rows.total, workers)

        if method.shape is Shape.BATCH:
            return Batch(order, rows, task_rows=share)
        return Stream(order, rows, task_rows=share, idle_s=self._limits.stream_idle_s)

    def _answer(self, method: OwnMethod, channel: Channel, event: Event) -> None:
        value = self.service.answer(method, event.args)
        self.session.answer(channel, msgspec.msgpack.encode(value))

    def _refuse(self, channel: Channel, error: ZeropoolError) -> None:
        self.refused[error.wire_name] += 1
        message = str(error)
        text = f"{error.wire_name}: {message}"
        self.session.fail(channel, RemoteFailure(error.wire_name, message, text))

    def _callers_lost(self, lost: list[Lost]) -> None:
        for signal in lost:
            self.dispatcher.caller_lost(signal.channel)
            self._lobby.remove(signal.channel)

    # The time between the start and the first registrations

    def _is_starting(self, now: float) -> bool:
        return now < self._started_at + self._limits.startup_grace_s

    def _wait_for_workers(self, request: Requested) -> None:
        if self.state is GatewayState.DRAINING:
            raise Draining(_SHUTTING_DOWN)
        self._lobby.add(request)

    def _leave_lobby(self, now: float) -> None:
        for request in self._lobby.take_all():
            self._request(request, len(request.event.args), now)

    def _refuse_overdue(self, now: float) -> None:
        for request in self._lobby.take_overdue(now):
            name = request.event.name
            self._refuse(request.channel, DeadlineExceeded(f"{name}: no worker brought it in time"))

    # Workers

    def worker_message(self, frame: bytes, now: float) -> None:
        """Take a frame from the worker port."""
        self._now = now
        try:
            message = jobs.decode_from_worker(frame)
        except ProtocolError:
            self.dropped["worker_malformed"] += 1
            return
        worker = self.fleet.get(message.worker)
        if worker is not None:
            worker.heard_at = now
        if type(message) is jobs.Results:
            self._results(message, worker, now)
        elif type(message) is jobs.Register:
            self._register(message, now)
        elif type(message) is jobs.Draining:
            self._draining(message.worker)
        elif type(message) is jobs.Bye:
            self._gone(message.worker, Note.WORKER_GONE)

    def _results(self, message: jobs.Results, worker: Worker | None, now: float) -> None:
        if worker is None or message.gateway != self.incarnation:
            self.dropped["result_foreign"] += len(message.results)
            return
        self.dispatcher.take_results(message, worker, now)

    def _register(self, message: jobs.Register, now: float) -> None:
        if message.protocol_version != jobs.PROTOCOL_VERSION:
            self._log(
                Note.WORKER_REFUSED,
                worker=message.worker,
                reason=f"speaks protocol version {message.protocol_version}, "
                f"this gateway {jobs.PROTOCOL_VERSION}",
            )
            return
        known = self.fleet.get(message.worker)
        if known is not None:
            if known.state is not WorkerState.CONNECTING:
                # It did not hear the welcome, or forgot it; what it holds stays in the ledger.
                self._welcome(known)
            return
        worker = Worker(
            message.worker,
            message.endpoint,
            tuple(info.qualified_name for info in message.models),
            message.credit,
            message.pid,
            message.host,
            message.link,
            registered_at=now,
            heard_at=now,
        )
        self.fleet.add(worker)
        for info in message.models:
            self.service.add_model(info)
            self.dispatcher.know(info)
        self._commands.append(Connect(worker.worker_id, worker.endpoint))

    def worker_connected(self, worker_id: str, now: float) -> None:
        """The shell's socket to a worker is up: it can be given work."""
        worker = self.fleet.get(worker_id)
        if worker is None or worker.state is not WorkerState.CONNECTING:
            return
        worker.state = WorkerState.READY
        self._welcome(worker)
        self._log(
            Note.WORKER_READY,
            worker=worker_id,
            pid=worker.pid,
            host=worker.host,
            models=",".join(worker.models),
        )
        self._leave_lobby(now)

    def worker_disconnected(self, worker_id: str) -> None:
        """The connection to a worker is gone or never came up: what it had moves to others."""
        self._gone(worker_id, Note.WORKER_LOST)

    def _draining(self, worker_id: str) -> None:
        worker = self.fleet.get(worker_id)
        if worker is not None and worker.state is not WorkerState.DRAINING:
            worker.state = WorkerState.DRAINING
            self._log(Note.WORKER_DRAINING, worker=worker_id, pid=worker.pid)

    def _gone(self, worker_id: str, note: Note) -> None:
        worker = self.fleet.remove(worker_id)
        if worker is None:
            return
        unanswered = self.dispatcher.ledger.owned_by(worker_id)
        if note is Note.WORKER_GONE:
            self.dispatcher.worker_left(worker_id)
        else:
            self.dispatcher.worker_lost(worker_id)
        self._commands.append(Disconnect(worker_id))
        self._log(note, worker=worker_id, pid=worker.pid, unanswered=unanswered)

    def _welcome(self, worker: Worker) -> None:
        welcome = jobs.Welcome(self.incarnation, jobs.PROTOCOL_VERSION, worker.link)
        self._tell(worker.worker_id, jobs.encode(welcome))

    def _tell(self, worker_id: str, frame: bytes) -> None:
        self._commands.append(Tell(worker_id, frame))

    # Time

    def next_deadline(self) -> float:
        """When `tick` next has something to do."""
        deadlines = [self._beat_workers_at]
        cores = (self.session.next_deadline(), self.dispatcher.next_deadline())
        deadlines.extend(deadline for deadline in cores if deadline is not None)
        if len(self.dispatcher.ledger):
            deadlines.append(self._reclaim_at)
        if self._lobby:
            deadlines.append(self._started_at + self._limits.startup_grace_s)
            deadlines.append(self._lobby.next_deadline())
        return min(deadlines)

    def tick(self, now: float) -> None:
        """Do what is due by now."""
        self._now = now
        self._callers_lost(self.session.tick(now))
        self.dispatcher.tick(now)
        if now >= self._reclaim_at:
            self._reclaim_at = now + STALLED_AFTER_S
            self.dispatcher.reclaim(now)
            for worker_id in self.dispatcher.overdue_workers(now):
                self._gone(worker_id, Note.WORKER_LOST)
        self._refuse_overdue(now)
        if self._lobby and not self._is_starting(now):
            self._leave_lobby(now)
        if now >= self._beat_workers_at:
            self._beat_workers(now)

    def _beat_workers(self, now: float) -> None:
        self._beat_workers_at = now + jobs.BEAT_INTERVAL_S
        beat = jobs.encode(jobs.GatewayBeat(self.incarnation))
        for worker in list(self.fleet):
            if worker.state is not WorkerState.CONNECTING:
                self._tell(worker.worker_id, beat)
            elif now - worker.registered_at > CONNECT_TIMEOUT_S:
                self._gone(worker.worker_id, Note.WORKER_LOST)

    def drain(self) -> None:
        """Take no new calls; `is_drained` tells when the last accepted one has its reply."""
        self.state = GatewayState.DRAINING
        for request in self._lobby.take_all():
            self._refuse(request.channel, Draining(_SHUTTING_DOWN))

    def abandon(self) -> None:
        """The time to drain is over: answer what is left with `Draining`."""
        self.dispatcher.fail_all(Draining("the service shut down before the call was finished"))

    # Commands

    def take_commands(self, now: float) -> list[Command]:
        """Decide what to dispatch, and return everything there is to do, in order."""
        commands, self._commands = self._commands, []
        # First what is cancelled: a job that is taken back may go to the same worker again.
        for cancellation in self.dispatcher.take_cancellations():
            frame = jobs.encode(jobs.Cancel(self.incarnation, cancellation.job_ids))
            commands.append(Tell(cancellation.worker_id, frame))
        for assignment in self.dispatcher.dispatch(now):
            frame = jobs.encode(jobs.Jobs(self.incarnation, assignment.jobs))
            commands.append(Tell(assignment.worker_id, frame))
        commands.extend(Reply(*outgoing) for outgoing in self.session.take_outgoing())
        return commands

    def _log(self, note: Note, **fields: object) -> None:
        self._commands.append(Log(note, fields))

    def _status(self) -> dict[str, Any]:
        return snapshot(
            name=self.service.name,
            version=self._version,
            state=self.state.value,
            uptime_s=self._now - self._started_at,
            calls_per_s=self._calls.per_s(self._now),
            session=self.session,
            dispatcher=self.dispatcher,
            fleet=self.fleet,
            now=self._now,
            extra_drops=dict(self.dropped),
        )
