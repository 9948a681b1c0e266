"""The gateway process in the simulated world: the real core, in a shell of virtual sockets.

It follows ``gateway/server.py``: results, link events, clients, `tick`, waiting replies, commands.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

from chronicle import Event, FromGateway, FromWorker
from clock import Alarm
from network import Pipe
from request import Broken, Request

from zeropool.gateway.commands import Command, Connect, Disconnect, Log, Note, Tell
from zeropool.gateway.core import Gateway
from zeropool.gateway.reply import Reply
from zeropool.gateway.unread import Unread
from zeropool.shared.errors import ProtocolError
from zeropool.shared.wire import event as wire
from zeropool.shared.wire.event import MessageIds
from zeropool.shared.wire.records import Route

if TYPE_CHECKING:
    from client_host import Wire
    from world import World

MAX_CLIENT_DRAIN = 16
MAX_RESULT_DRAIN = 16
#: Between the arrival of a message and the step that takes it.
WAKE_S = 0.00002
#: How soon a broken connection is told, and how late.
MONITOR_S = (0.0005, 0.006)


class Link:
    """The gateway's socket to one worker, and its monitor."""

    def __init__(self, pipe: Pipe | None) -> None:
        #: None while the connection is not up.
        self.pipe = pipe
        self.is_broken = False


class GatewayHost:
    """One gateway after the other."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._clock = world.clock
        self._alarm = Alarm(world.clock, self._step)
        self._is_waking = False
        self.number = 0
        self.is_up = False
        self._stop_at = math.inf
        self._links: dict[str, Link] = {}
        self._wires: dict[Route, Wire] = {}
        self._results: deque[bytes] = deque()
        self._link_events: deque[tuple[str, Link, bool]] = deque()
        #: What clients say; None is the end of a connection.
        self._messages: deque[tuple[Route, bytes | None, Request | None]] = deque()
        #: Clients that wait for replies, and have read.
        self._readers: deque[Route] = deque()
        #: Frames that workers sent, for those who repeat them.
        self.heard: deque[bytes] = deque(maxlen=40)

    # Its life

    def start(self) -> None:
        """A new incarnation listens."""
        world = self._world
        self.number += 1
        self.is_up = True
        self._stop_at = math.inf
        self._due_at = 0.0
        incarnation = f"g{self.number}"
        scenario = world.scenario
        self.core = Gateway("zeropool", "1.0", incarnation, scenario.limits, now=self._clock.now)
        self.core.session.ids = MessageIds(self.number << 32)
        self._unread = Unread(
            max_client_bytes=scenario.limits.max_unread_bytes,
            max_total_bytes=scenario.limits.max_held_bytes,
            max_wait_s=scenario.max_unread_s,
        )
        #: What the clients' connections do not take yet.
        self._waiting: dict[Route, deque[bytes]] = {}
        self._unreachable: set[Route] = set()
        world.oracle.gateway_starts(incarnation)
        world.note("gateway", "starts", incarnation)
        for worker in world.workers:
            worker.gateway_is_up()
        for client in world.clients:
            client.gateway_is_up()
        self._alarm.set(self._clock.now)

    def kill(self) -> None:
        """It ends without a word."""
        self._world.note("gateway", "dies")
        self._end(flushes=False)

    def drain(self) -> None:
        """TERM."""
        if not self.is_up or self._stop_at < math.inf:
            return
        self._world.note("gateway", "drains")
        self._world.oracle.gateway_drains()
        self.core.drain()
        self._stop_at = self._clock.now + self._world.drain_s
        self._wake()

    def _end(self, *, flushes: bool) -> None:
        self.is_up = False
        for link in self._links.values():
            # Also one that is still on its way to its worker: it must not take a successor's place.
            link.is_broken = True
            if link.pipe is not None:
                link.pipe.cut(self._world.rng)
        self._links.clear()
        for wire_to in list(self._wires.values()):
            wire_to.breaks(flushes=flushes)
        self._wires.clear()
        self._results.clear()
        self._link_events.clear()
        self._messages.clear()
        self._readers.clear()
        for worker in self._world.workers:
            worker.gateway_is_down()
        self._clock.after(self._world.scenario.restart_s, self.start)

    # What arrives

    def _wake(self) -> None:
        if not self._is_waking:
            self._is_waking = True
            self._clock.after(WAKE_S, self._step)

    def worker_says(self, number: int, frame: bytes) -> None:
        """A worker's frame on the worker port of the gateway with this number."""
        if number != self.number:
            # What is on its way to one that ended, no successor hears: connections end with it.
            return
        self.heard.append(frame)
        self.anybody_says(frame)

    def anybody_says(self, frame: bytes) -> None:
        """A frame on the worker port."""
        if self.is_up:
            self._results.append(frame)
            self._wake()

    def client_says(self, route: Route, payload: bytes, request: Request | None = None) -> None:
        """A message on the client port; ``request`` is what it asks for."""
        if self.is_up:
            self._messages.append((route, payload, request))
            self._wake()

    def client_connected(self, wire_to: Wire) -> None:
        """A client's connection is up."""
        self._wires[wire_to.route] = wire_to

    def client_disconnected(self, wire_to: Wire) -> None:
        """The end of a client's connection is noticed, behind all that came by it."""
        if self.is_up and self._wires.get(wire_to.route) is wire_to:
            self._messages.append((wire_to.route, None, None))
            self._wake()

    def client_reads(self, wire_to: Wire) -> None:
        """A client's connection takes something again."""
        if self.is_up and wire_to.route in self._waiting:
            self._readers.append(wire_to.route)
            self._wake()

    def link_event(self, worker_id: str, link: Link, *, is_up: bool) -> None:
        """A link's monitor has something to tell."""
        if self._links.get(worker_id) is link:
            self._link_events.append((worker_id, link, is_up))
            self._wake()

    def link_to(self, worker_id: str) -> Link | None:
        """The connection to a worker, if there is one."""
        return self._links.get(worker_id)

    def link_breaks(self, worker_id: str, link: Link) -> None:
        """A connection to a worker breaks; it is noticed a little later."""
        if link.is_broken:
            return
        link.is_broken = True
        delay = self._world.rng.uniform(*MONITOR_S)
        self._clock.after(delay, lambda: self.link_event(worker_id, link, is_up=False))

    # The loop

    def _step(self) -> None:
        self._is_waking = False
        if not self.is_up:
            return
        now = self._clock.now
        for _ in range(min(len(self._results), MAX_RESULT_DRAIN)):
            self._take_result(self._results.popleft(), now)
        while self._link_events:
            self._take_link_event(*self._link_events.popleft(), now)
        while self._readers:
            self._send_waiting(self._readers.popleft(), now)
        for _ in range(min(len(self._messages), MAX_CLIENT_DRAIN)):
            self._take_message(*self._messages.popleft(), now)
        if now >= self._due_at:
            self._tick(now)
        self._carry_out(now)
        self._due_at = self._next_deadline()
        if now >= self._due_at:
            self._tick(now)
            self._carry_out(now)
            self._due_at = self._next_deadline()
        self._world.gateway_stepped()
        if self._stop_at < math.inf and self._finish_draining(now):
            return
        if self._results or self._messages:
            self._wake()
        self._alarm.set(min(self._due_at, self._stop_at))

    def _tick(self, now: float) -> None:
        self.core.tick(now)
        for client in self._unread.take_overdue(now):
            self._give_up((client,), now)

    def _next_deadline(self) -> float:
        return min(self.core.next_deadline(), self._unread.next_deadline())

    def _take_result(self, frame: bytes, now: float) -> None:
        self._world.note("gateway", "hears", FromWorker(frame))
        self._world.oracle.hears(frame)
        self.core.worker_message(frame, now)

    def _take_link_event(self, worker_id: str, link: Link, is_up: bool, now: float) -> None:  # noqa: FBT001
        if self._links.get(worker_id) is not link:
            return
        self._world.note("gateway", "is connected to" if is_up else "has lost", worker_id)
        if is_up:
            self._world.oracle.worker_connected(worker_id)
            self.core.worker_connected(worker_id, now)
        else:
            self._lost(worker_id)

    def _lost(self, worker_id: str) -> None:
        self._world.oracle.worker_ends(worker_id, died=True)
        self.core.worker_disconnected(worker_id)

    def _take_message(
        self, route: Route, payload: bytes | None, request: Request | None, now: float
    ) -> None:
        if route not in self._wires:
            # It came by a connection that was hung up.
            return
        if payload is None:
            self._world.note("gateway", "sees the end of", route)
            self._hang_up(route, now)
            return
        self._world.note("gateway", "is told by", route, Event(payload))
        try:
            event = wire.decode_event(payload)
        except ProtocolError:
            pass
        else:
            if request is not None and self._world.oracle.is_open(route, event.message_id):
                # The id may be free again by now: what the core has said of it must be known.
                self.core.tick(now)
                self._carry_out(now)
            self._world.oracle.arrives(route, event, request, now)
        self.core.client_message(route, payload, now)

    # Commands, as the server carries them out

    def _carry_out(self, now: float) -> None:
        core = self.core
        while True:
            for command in self._commands(now):
                if type(command) is Reply:
                    self._reply(command.route, command.payload)
                else:
                    self._do(command)
            if core.has_news:
                continue
            self._flush(now)
            if not core.has_news:
                break
        self._unreachable.clear()

    def _commands(self, now: float) -> list[Command]:
        commands = self.core.take_commands(now)
        self._watch(commands, now)
        return commands

    def _watch(self, commands: list[Command], now: float) -> None:
        """The oracle sees what the core decided, whatever becomes of it outside."""
        oracle = self._world.oracle
        for command in commands:
            if type(command) is Log and command.note is Note.WORKER_GONE:
                oracle.worker_ends(str(command.fields["worker"]), died=False)
            elif type(command) is Log and command.note is Note.WORKER_LOST:
                oracle.given_up(str(command.fields["worker"]))
        for command in commands:
            # What was decided before the client was known to be gone, nobody sees.
            if type(command) is Reply and command.route not in self._unreachable:
                oracle.leaves(command.route, command.payload, now)
        # A job is cancelled because its call is over, or taken back because it is not.
        for command in commands:
            if type(command) is Tell:
                self._world.note("gateway", "tells", command.worker_id, FromGateway(command.frame))
                oracle.tells(command.worker_id, command.frame)

    def count_unread(self) -> None:
        """Tell the core what the shell holds, as it does with the next command."""
        self.core.keeps(self._unread.held_bytes)

    def _do(self, command: Command) -> None:
        match command:
            case Tell(worker_id=worker_id, frame=frame):
                self._tell(worker_id, frame)
            case Connect(worker_id=worker_id):
                self._connect(worker_id)
            case Disconnect(worker_id=worker_id):
                self._disconnect(worker_id)
            case Log(note=note, fields=fields):
                self._world.note("gateway", note.value, fields["worker"])

    def _reply(self, route: Route, payload: bytes) -> None:
        wire_to = self._wires.get(route)
        if wire_to is None:
            self._world.note("gateway", "drops", route, Event(payload))
        elif route in self._waiting or wire_to.is_full:
            self._world.note("gateway", "keeps for", route, Event(payload))
            self._waiting.setdefault(route, deque()).append(payload)
        else:
            self._world.note("gateway", "tells", route, Event(payload))
            wire_to.to_client(payload)

    def _flush(self, now: float) -> None:
        for route in list(self._waiting):
            if route in self._waiting:
                self._keep_unread(route, now, has_taken=False)
        self.count_unread()

    def _send_waiting(self, route: Route, now: float) -> None:
        wire_to, waiting = self._wires.get(route), self._waiting.get(route)
        if wire_to is None or waiting is None:
            return
        has_taken = False
        while waiting and not wire_to.is_full:
            payload = waiting.popleft()
            self._world.note("gateway", "tells at last", route, Event(payload))
            wire_to.to_client(payload)
            has_taken = True
        if not waiting:
            del self._waiting[route]
        self._keep_unread(route, now, has_taken=has_taken)

    def _keep_unread(self, route: Route, now: float, *, has_taken: bool) -> None:
        waiting = self._waiting.get(route, ())
        held_bytes = sum(map(len, waiting))
        # The kernel has begun with none: each counts.
        for client in self._unread.keep(route[0], held_bytes, held_bytes, now, has_taken=has_taken):
            self._give_up((client,), now)

    def _give_up(self, route: Route, now: float) -> None:
        self._world.note("gateway", "gives up", route)
        wire_to = self._wires[route]
        self._hang_up(route, now)
        wire_to.breaks(flushes=False)

    def _hang_up(self, route: Route, now: float) -> None:
        del self._wires[route]
        self._waiting.pop(route, None)
        self._unread.forget(route[0])
        self._unreachable.add(route)
        self._world.oracle.client_gone(route)
        self.core.client_gone(route[0], now)

    def _tell(self, worker_id: str, frame: bytes) -> None:
        link = self._links.get(worker_id)
        if link is None:
            return
        if link.pipe is None or (link.is_broken and self._world.chance(0.5)):
            # The connection broke a moment ago.
            self._lost(worker_id)
        else:
            link.pipe.send(frame)

    def _connect(self, worker_id: str) -> None:
        if worker_id in self._links:
            raise Broken(f"{worker_id} is connected to twice")
        self._links[worker_id] = link = Link(None)
        self._world.connect_worker(worker_id, link)

    def _disconnect(self, worker_id: str) -> None:
        link = self._links.pop(worker_id, None)
        if link is not None:
            link.is_broken = True
            self._world.hung_up(worker_id, link)

    # The end

    def _finish_draining(self, now: float) -> bool:
        if now < self._stop_at and (not self.core.is_drained or self._unread):
            return False
        if now >= self._stop_at:
            self.core.abandon()
            self._carry_out(now)
            self._world.gateway_stepped()
        self._world.note("gateway", "stops")
        self._end(flushes=not self._unread)
        return True
