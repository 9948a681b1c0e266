"""The gateway without its sockets: frames and `now` in, commands out.

Puts the cores together: the session speaks ZeroRPC, the service knows the methods, the dispatcher
the work, the fleet the workers. Everything that the gateway decides, it decides here or in these;
the shell in ``server`` only carries out. After every call the shell runs `take_commands`;
`next_deadline` says when `tick` has something to do.
"""

from __future__ import annotations

import enum
from collections import Counter
from typing import Any, Final

import msgspec

from zeropool.gateway.budget import PARKED_PART, Budget
from zeropool.gateway.calls import Call, Order, Unary
from zeropool.gateway.commands import Command
from zeropool.gateway.dispatcher import Dispatcher
from zeropool.gateway.fleet import Fleet
from zeropool.gateway.limits import Limits
from zeropool.gateway.lobby import Lobby, due_at
from zeropool.gateway.methods import ModelMethod, OwnMethod, Shape
from zeropool.gateway.pool import Pool
from zeropool.gateway.rate import Rate
from zeropool.gateway.reply import Reply
from zeropool.gateway.row_calls import Batch, Stream
from zeropool.gateway.rows import RowCursor, batch_task_rows, reading_bytes, stream_task_rows
from zeropool.gateway.service import Service
from zeropool.gateway.status import snapshot
from zeropool.gateway.tally import OK
from zeropool.shared.errors import (
    DeadlineExceeded,
    Draining,
    PayloadTooLarge,
    UnknownMethod,
    ZeropoolError,
)
from zeropool.shared.model import ModelInfo
from zeropool.shared.wire.channel import Channel
from zeropool.shared.wire.event_scan import Event
from zeropool.shared.wire.records import Client, RemoteFailure, Route
from zeropool.shared.wire.requested import Requested
from zeropool.shared.wire.session import Role, Session
from zeropool.shared.wire.signals import Granted, Lost

#: Frames that lead back to a client; more hops than any chain of devices in use.
MAX_HOPS: Final = 8
#: The same in bytes: ZeroMQ's routing ids have at most 255 each.
MAX_ROUTE_BYTES: Final = MAX_HOPS * 255
_SHUTTING_DOWN: Final = "the service is shutting down; call again"


class GatewayState(enum.Enum):
    """Where the gateway is in its life."""

    SERVING = "serving"
    #: Takes no new calls, finishes those that it accepted.
    DRAINING = "draining"


# Bound once: looking a member up on its enum costs 0.15 µs on Python 3.11, as much as a call.
_DRAINING: Final = GatewayState.DRAINING
_CALL: Final = Shape.CALL


class Gateway:
    """All decisions of one gateway process."""

    def __init__(
        self, name: str, version: str, incarnation: str, limits: Limits, *, now: float
    ) -> None:
        self.state = GatewayState.SERVING
        self.incarnation = incarnation
        self.session = Session(
            Role.SERVER,
            max_parked_bytes=limits.max_unread_bytes,
            max_parked_bytes_in_all=limits.max_held_bytes // PARKED_PART,
        )
        self.fleet = Fleet()
        self.budget = Budget(limits.max_held_bytes)
        #: Something came up that may give new commands, while the last ones are carried out.
        self.has_news = False
        #: Replies that the shell keeps for clients whose connections are full; see `keeps`.
        self.unread_bytes = 0
        self.dispatcher = Dispatcher(
            self.session, self.fleet, self.budget, max_attempts=limits.max_attempts
        )
        self.service = Service(name, self.status)
        self.dropped: Counter[str] = Counter()
        #: Requests that were answered with an error at once, by its wire name.
        self.refused: Counter[str] = Counter()
        self._version = version
        self._limits = limits
        self._started_at = now
        self._now = now
        self._calls = Rate()
        self.pool = Pool(
            incarnation,
            self.fleet,
            self.service,
            self.dispatcher,
            self.dropped,
            max_workers=limits.max_workers,
            now=now,
        )
        #: Calls for methods that a worker may yet bring.
        self._lobby = Lobby(self.budget)

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

    def client_message(self, route: Route, payload: bytes, now: float) -> None:
        """Take a message from the client port: who sent it, by which devices, and what it says."""
        self._now = now
        if len(route) > 1 and (len(route) > MAX_HOPS or sum(map(len, route)) > MAX_ROUTE_BYTES):
            self.dropped["route_too_long"] += 1
            return
        signal = self.session.receive(route, payload, now)
        if type(signal) is Requested:
            self._calls.count(now)
            self._request(signal, len(payload), now)
        elif type(signal) is Granted:
            self.dispatcher.caller_granted(signal.channel, now)

    def has_head_start(self) -> bool:
        """Tell whether the commands are to be carried out now, halfway through many messages."""
        return self.dispatcher.has_head_start()

    def client_gone(self, client: Client, now: float, *, has_hops: bool = False) -> None:
        """A client's connection is gone. ``has_hops``: some of its calls came through devices."""
        routes = self.session.routes_of(client) if has_hops else [(client,)]
        for route in routes:
            self._callers_lost(self.session.route_lost(route, now))
        self.has_news = True

    def keeps(self, unread_bytes: int, unsent_bytes: int = 0) -> None:
        """The commands were carried out; the shell now keeps so much for full connections.

        ``unread_bytes`` are replies for clients, ``unsent_bytes`` jobs for workers.
        """
        self.unread_bytes = unread_bytes
        self.budget.reply_bytes = self.session.parked_bytes + unread_bytes + unsent_bytes

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
        if self.state is _DRAINING:
            raise Draining(_SHUTTING_DOWN)
        queue = self.dispatcher.queues[method.model]
        due = due_at(request)
        event = request.event
        size_bytes = event.args_bytes
        if method.shape is not _CALL:
            size_bytes += reading_bytes(size_bytes)
        left_s = min(queue.timeout_s, due - now)
        self.dispatcher.check_room(queue, request.channel.client, size_bytes, left_s)
        order = Order(
            request.channel,
            method.model,
            event.packed,
            now,
            queue.timeout_s,
            due,
            self._limits.max_reply_bytes,
            event.args_at,
        )
        call = self._call(method, order)
        if call.answer_if_empty(self.session):
            queue.tally.ended(OK)
        else:
            self.dispatcher.submit(call)

    def _call(self, method: ModelMethod, order: Order) -> Call:
        if method.shape is _CALL:
            return Unary(order)
        rows = RowCursor(order.packed, method.name, order.args_at)

        if method.shape is Shape.BATCH:
            return Batch(order, rows, task_rows=lambda: batch_task_rows(*self._facts(method, rows)))
        return Stream(
            order,
            rows,
            task_rows=lambda item_bytes: stream_task_rows(*self._facts(method, rows), item_bytes),
            idle_s=self._limits.stream_idle_s,
        )

    def _facts(
        self, method: ModelMethod, rows: RowCursor
    ) -> tuple[ModelInfo, float | None, int, int]:
        """By what a call's rows are cut: the model, a row's cost, their number, and its workers."""
        row_s = self.dispatcher.queues[method.model].row_s
        workers = len(self.fleet.holding(method.model))
        return self.service.models[method.model], row_s, rows.total, workers

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
            self._request(request, request.event.args_bytes, now)

    def _refuse_overdue(self, now: float) -> None:
        for request in self._lobby.take_overdue(now):
            name = request.event.name
            self._refuse(request.channel, DeadlineExceeded(f"{name}: no worker brought it in time"))

    # Workers

    def worker_message(self, frame: bytes, now: float) -> None:
        """Take a frame from the worker port."""
        self._now = now
        self.pool.message(frame, now)

    def worker_connected(self, worker_id: str, now: float) -> None:
        """The shell's socket to a worker is up: it can be given work."""
        if self.pool.connected(worker_id):
            self._refuse_overdue(now)
            self._leave_lobby(now)

    def worker_disconnected(self, worker_id: str) -> None:
        """The connection to a worker is gone or never came up: what it had moves to others."""
        self.pool.disconnected(worker_id)
        self.has_news = True

    # Time

    def next_deadline(self) -> float:
        """When `tick` next has something to do."""
        deadline = min(self.pool.next_deadline(), self.dispatcher.next_deadline())
        beat_at = self.session.next_deadline()
        if beat_at is not None:
            deadline = min(deadline, beat_at)
        if self._lobby:
            leave_at = self._started_at + self._limits.startup_grace_s
            deadline = min(deadline, leave_at, self._lobby.next_deadline())
        return deadline

    def tick(self, now: float) -> None:
        """Do what is due by now."""
        self._now = now
        self._callers_lost(self.session.tick(now))
        self.dispatcher.tick(now)
        self.pool.tick(now)
        self._refuse_overdue(now)
        if self._lobby and not self._is_starting(now):
            self._leave_lobby(now)

    def drain(self) -> None:
        """Take no new calls; `is_drained` tells when the last accepted one has its reply."""
        self.state = GatewayState.DRAINING
        self.pool.keep_all()
        for request in self._lobby.take_all():
            self._refuse(request.channel, Draining(_SHUTTING_DOWN))

    def abandon(self) -> None:
        """The time to drain is over: answer what is left with `Draining`."""
        self.dispatcher.fail_all(Draining("the service shut down before the call was finished"))

    # Commands

    def take_commands(self, now: float) -> list[Command]:
        """Decide what to dispatch, and return everything there is to do, in order."""
        self.has_news = False
        self._callers_lost(self.session.take_given_up())
        commands = self.pool.take_commands(now)
        outgoing = self.session.take_outgoing()
        if outgoing:
            commands += [Reply(route, payload) for route, payload in outgoing]
        return commands

    def status(self) -> dict[str, Any]:
        """What `get_status` answers."""
        return snapshot(
            name=self.service.name,
            version=self._version,
            gateway=self.incarnation,
            state=self.state.value,
            uptime_s=self._now - self._started_at,
            calls_per_s=self._calls.per_s(self._now),
            session=self.session,
            held_bytes=self.budget.held_bytes,
            dispatcher=self.dispatcher,
            fleet=self.fleet,
            now=self._now,
            extra_drops=dict(self.dropped),
        )

    def check_invariants(self) -> None:
        """Facts that hold between any two calls of this class."""
        self.session.check_invariants()
        self.dispatcher.check_invariants()
        self.budget.check_invariants()
        if self.budget.call_bytes != self.dispatcher.held_bytes + self._lobby.held_bytes:
            raise RuntimeError(f"{self!r}: the budget is not what is held")
