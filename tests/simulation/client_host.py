"""A client process in the simulated world: the real session in its client role.

It asks what it is told to ask, reads streams at its own pace, beats or does not, and may lose its
connection or vanish. Every new connection has a new routing id, as with libzmq.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import msgspec
from chronicle import Event
from clock import Alarm
from gateway_host import MONITOR_S
from network import Pipe
from request import Request
from scenario import Kind

from zeropool.shared.wire import event as wire
from zeropool.shared.wire.channel import Channel
from zeropool.shared.wire.event import MessageIds
from zeropool.shared.wire.flow import ReadWindow
from zeropool.shared.wire.records import Route
from zeropool.shared.wire.session import Role, Session
from zeropool.shared.wire.signals import Answered, Ended, Failed, Item, Lost, Signal

if TYPE_CHECKING:
    from world import World

RECONNECT_S = 0.1
#: A session knows its server by one route, whatever the connection.
SERVER: Route = (b"",)
#: Slots that a reader reserves; libraries take 100.
WINDOWS = (1, 2, 10, 100)
SLOW_READ_S = (0.02, 0.1, 0.8)


class Wire:
    """One connection between a client and the gateway."""

    def __init__(self, client: ClientHost, route: Route) -> None:
        world = client.world
        self.route = route
        self._world = world
        self._client = client
        self.requests: deque[Request | None] = deque()
        self._carried: set[Request] = set()
        self.to_gateway = Pipe(world.clock, world.client_latency, self._reaches_gateway)
        self._to_client = Pipe(world.clock, world.client_latency, self._reaches_client)
        self._is_up = True

    @property
    def is_full(self) -> bool:
        """The gateway can send nothing more for now."""
        waiting = self._to_client.in_flight + self._client.unread
        return waiting >= self._world.scenario.client_high_water

    def send(self, payload: bytes, request: Request | None) -> None:
        """The client says something."""
        self.requests.append(request)
        if request is not None:
            self._carried.add(request)
        self.to_gateway.send(payload)

    def carried(self, request: Request) -> bool:
        """The request was made by this connection, and by no other."""
        return request in self._carried

    def to_client(self, payload: bytes) -> None:
        """The gateway says something."""
        self._to_client.send(payload)

    def _reaches_gateway(self, payload: bytes) -> None:
        # In the order of sending, as the pipe keeps it.
        self._world.gateway.client_says(self.route, payload, self.requests.popleft())

    def _reaches_client(self, payload: bytes) -> None:
        self._client.receives(payload)
        self.has_room()

    def has_room(self) -> None:
        """The client has read: the gateway is told, if it waits for that."""
        if not self.is_full:
            self._world.gateway.client_reads(self)

    def reaches_nobody(self) -> None:
        """The client is dead."""
        self._to_client.lose_all()

    def breaks(self, *, flushes: bool) -> None:
        """The connection is no more; the gateway may have flushed what it had to say."""
        if not self._is_up:
            return
        self._is_up = False
        rng = self._world.rng
        self.to_gateway.cut(rng)
        if not flushes:
            self._to_client.cut(rng)
        self._world.clock.after(
            rng.uniform(*MONITOR_S), self._world.gateway.client_disconnected, self
        )
        self._client.disconnected(self, flushes=flushes)


class ClientHost:
    """A place for a client: one process after the other."""

    def __init__(self, world: World, name: str, *, is_silent: bool, first_id: int) -> None:
        self.world = world
        self.name = name
        self._clock = world.clock
        self._is_silent = is_silent
        self._first_id = first_id
        self._births = 0
        self._routes = 0
        self._alarm = Alarm(world.clock, self._step)
        self.is_alive = False

    # Its life

    def start(self) -> None:
        """A process starts."""
        self._births += 1
        self.is_alive = True
        self.is_reading = True
        self.session = Session(Role.CLIENT, MessageIds(self._first_id))
        self._wire: Wire | None = None
        #: All of this process's connections; on those that are no more, something may still come.
        self._wires: list[Wire] = []
        self._asked: dict[bytes, tuple[Request, Channel]] = {}
        self._inbox: deque[bytes] = deque()
        self._unsent: deque[tuple[bytes, Request | None]] = deque()
        self._unread_items: dict[bytes, int] = {}
        if self.world.gateway.is_up:
            self._connects(self._births)

    def vanish(self) -> None:
        """The process is gone, from one moment to the next."""
        if not self.is_alive:
            return
        self.world.note(self.name, "vanishes")
        self._dies()
        self._clock.after(self.world.scenario.restart_s, self.start)

    def leave(self) -> None:
        """The play is over."""
        if self.is_alive:
            self._dies()

    def _dies(self) -> None:
        self.is_alive = False
        for request, _ in self._asked.values():
            request.is_abandoned = True
        self._asked.clear()
        self._inbox.clear()
        for wire_to in self._wires:
            wire_to.reaches_nobody()
        self._wires.clear()
        if self._wire is not None:
            self._wire.breaks(flushes=False)

    def gateway_is_up(self) -> None:
        """A gateway listens."""
        if self.is_alive:
            self._clock.after(RECONNECT_S * self.world.rng.random(), self._connects, self._births)

    def cut(self) -> None:
        """The connection breaks."""
        if self.is_alive and self._wire is not None:
            self.world.note(self.name, "is cut off")
            self._wire.breaks(flushes=False)

    def disconnected(self, gone: Wire, *, flushes: bool) -> None:
        """The connection is no more: the client connects again."""
        if self._wire is not gone:
            return
        self._wire = None
        for request, _ in self._asked.values():
            if not (flushes and request.terminal):
                request.excuses.add("Lost")
        if self.is_alive:
            self._clock.after(RECONNECT_S * self.world.rng.random(), self._connects, self._births)

    def _connects(self, birth: int) -> None:
        if birth != self._births or not self.is_alive or self._wire is not None:
            return
        if not self.world.gateway.is_up:
            return
        self._routes += 1
        self._wire = Wire(self, (f"{self.name}.{self._routes}".encode(),))
        self._wires.append(self._wire)
        self.world.note(self.name, "connects as", self._wire.route)
        self.world.gateway.client_connected(self._wire)
        while self._unsent:
            self._wire.send(*self._unsent.popleft())

    # Asking

    def ask(self, request: Request) -> None:
        """Make a request."""
        args = (
            []
            if request.kind is Kind.OWN
            else [request.rows[0] if request.kind is Kind.CALL else request.rows]
        )
        packed = msgspec.msgpack.encode(args)
        channel = self.session.call(
            SERVER, request.method, packed, self._clock.now, request.timeout_s
        )
        if request.kind is Kind.STREAM:
            channel.window = ReadWindow(self.world.rng.choice(WINDOWS))
        self._asked[channel.channel_id] = request, channel
        self.world.note(self.name, "asks", str(request))
        self.world.oracle.asks(request)
        self._flush(request)

    def ask_with_same_id(self, request: Request) -> bool:
        """Make a request, for which nobody waits, with the id of an open one."""
        if not self.is_alive or self._wire is None or not self._asked:
            return False
        channel_id = self.world.rng.choice(list(self._asked))
        first, _ = self._asked[channel_id]
        if "Lost" in first.excuses or not self._wire.carried(first):
            # After the gateway gave it up, or on another connection, it would be a request: also
            # where the answer to the first is still on its way by the connection that is no more.
            return False
        request.is_abandoned = True
        self.world.oracle.asks(request)
        payload = wire.encode_request(channel_id, request.method, [request.rows[0]])
        self.world.note(self.name, "repeats an id with", str(request))
        self._send(payload, request)
        return True

    def say(self, payload: bytes) -> None:
        """Send anything."""
        if self.is_alive and self._wire is not None:
            self.world.note(self.name, "says", payload)
            self._send(payload, None)

    def give_up(self, request: Request) -> None:
        """The caller has waited long enough."""
        for asked, channel in self._asked.values():
            if asked is request:
                self.world.note(self.name, "gives up", str(request))
                request.is_abandoned = True
                del self._asked[channel.channel_id]
                self.session.close(channel)
                return

    @property
    def open_ids(self) -> list[bytes]:
        """Channels that wait for an answer."""
        return list(self._asked)

    def _flush(self, request: Request | None = None) -> None:
        for _, payload in self.session.take_outgoing():
            if self._is_silent and wire.decode_event(payload).name == wire.HEARTBEAT:
                continue
            self._send(payload, request)
        deadline = self.session.next_deadline()
        if deadline is not None:
            self._alarm.set(deadline)

    def _send(self, payload: bytes, request: Request | None) -> None:
        if self._wire is None:
            self._unsent.append((payload, request))
        else:
            self._wire.send(payload, request)

    # Hearing

    @property
    def unread(self) -> int:
        """Messages that lie in the socket."""
        return len(self._inbox)

    def receives(self, payload: bytes) -> None:
        """A message arrives."""
        if not self.is_alive:
            return
        if self.is_reading:
            self._take(payload)
            self._flush()
        else:
            self._inbox.append(payload)

    def stop_reading(self, span_s: float) -> None:
        """Read nothing for a while."""
        if self.is_alive and self.is_reading:
            self.world.note(self.name, "stops reading for", span_s)
            self.is_reading = False
            self._clock.after(span_s, self.read_on, self._births)

    def read_on(self, birth: int) -> None:
        """Read what lies there."""
        if birth != self._births or not self.is_alive:
            return
        self.is_reading = True
        while self._inbox:
            self._take(self._inbox.popleft())
        self._flush()
        if self._wire is not None:
            self._wire.has_room()

    def _step(self) -> None:
        if not self.is_alive or not self.is_reading:
            return
        for lost in self.session.tick(self._clock.now):
            self._hear(lost)
        self._flush()

    def _take(self, payload: bytes) -> None:
        self.world.note(self.name, "hears", Event(payload))
        signal = self.session.receive(SERVER, payload, self._clock.now)
        if signal is not None:
            self._hear(signal)

    def _hear(self, signal: Signal) -> None:
        channel = signal.channel
        asked = self._asked.get(channel.channel_id)
        if asked is None:
            return
        request = asked[0]
        oracle = self.world.oracle
        now = self._clock.now
        if isinstance(signal, Item):
            oracle.told_item(request, signal.value, now)
            self._will_read(channel)
            return
        del self._asked[channel.channel_id]
        if isinstance(signal, Answered):
            (value,) = msgspec.msgpack.decode(signal.args)
            oracle.told_end(request, wire.OK, value, now)
        elif isinstance(signal, Failed):
            oracle.told_end(request, wire.ERR, None, now)
        elif isinstance(signal, Ended):
            oracle.told_end(request, wire.STREAM_DONE, None, now)
        elif isinstance(signal, Lost):
            self.world.note(self.name, "loses its gateway for", str(request))
            oracle.told_end(request, "Lost", None, now)

    # Reading streams

    def _will_read(self, channel: Channel) -> None:
        channel_id = channel.channel_id
        self._unread_items[channel_id] = self._unread_items.get(channel_id, 0) + 1
        if self.world.is_calm or not self.world.chance(self.world.scenario.slow_reader_rate):
            self._reads(self._births, channel)
        else:
            span_s = self.world.rng.choice(SLOW_READ_S)
            self._clock.after(span_s, self._reads, self._births, channel)

    def _reads(self, birth: int, channel: Channel) -> None:
        if birth != self._births or not self.is_alive:
            return
        channel_id = channel.channel_id
        unread = self._unread_items[channel_id] = max(self._unread_items[channel_id] - 1, 0)
        self.session.read(channel, unread)
        self._flush()
