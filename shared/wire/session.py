"""All channels of one socket, in either role: bytes and `now` in, signals and bytes out.

Knows the whole of ZeroRPC v3 that both ends share: which channel an event belongs to, when
heartbeats are due, that nothing is sent without credit or after a terminal event. Refuses to know
sockets, clocks, methods and what arguments mean. After every call the owner sends
`take_outgoing()`; `next_deadline()` says when `tick` has something to do.
Source: ZeroRPC v3 as spoken by zerorpc-python 0.6.3 and zerorpc-node 0.9.8.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable
from typing import Final

from zeropool.shared.errors import ProtocolError
from zeropool.shared.wire import event as wire
from zeropool.shared.wire.beat_order import BeatOrder
from zeropool.shared.wire.channel import Channel, State
from zeropool.shared.wire.event import MessageIds
from zeropool.shared.wire.event_scan import Event
from zeropool.shared.wire.flow import DEFAULT_SLOTS, ReadWindow
from zeropool.shared.wire.heartbeat import BEAT_INTERVAL_S, Pulse
from zeropool.shared.wire.parked import Parked
from zeropool.shared.wire.records import NIL, Client, RemoteFailure, Route
from zeropool.shared.wire.requested import Requested
from zeropool.shared.wire.signals import (
    Answered,
    Ended,
    Failed,
    Granted,
    Item,
    Lost,
    Signal,
)

#: heartbeat.py counts two intervals from its first tick, which is one after the call.
SERVER_LOST_AFTER_BEATS: Final = 3
#: Own heartbeats, five minutes of them, for which the end of a stream waits for credit.
ABANDONED_AFTER_BEATS: Final = 60
#: Most bytes of terminal events that wait for credit, of one peer and of all, unless the owner says
#: otherwise.
DEFAULT_MAX_PARKED_BYTES: Final = 64 * 1024 * 1024

# Bound once: looking a member up on its enum costs 0.15 µs on Python 3.11, as much as a call.
_FINISHING: Final = State.FINISHING
_CLOSED: Final = State.CLOSED


class Role(enum.Enum):
    """Which end of the wire a session is."""

    SERVER = "server"
    CLIENT = "client"


class Drop(enum.Enum):
    """Why an incoming event was dropped."""

    MALFORMED = "malformed"
    DUPLICATE_ID = "duplicate_id"
    UNKNOWN_CHANNEL = "unknown_channel"
    UNEXPECTED = "unexpected"
    #: Not an incoming event: the reply to a peer that grants no credit for its many replies.
    UNCLAIMED = "reply_unclaimed"


class Session:
    """The ZeroRPC state of one socket."""

    def __init__(
        self,
        role: Role,
        ids: MessageIds | None = None,
        beat_interval_s: float = BEAT_INTERVAL_S,
        max_parked_bytes: int = DEFAULT_MAX_PARKED_BYTES,
        max_parked_bytes_in_all: int = DEFAULT_MAX_PARKED_BYTES,
    ) -> None:
        self.role = role
        self._is_client = role is Role.CLIENT
        self.ids = ids or MessageIds()
        self.dropped: Counter[Drop] = Counter()
        self._beat_interval_s = beat_interval_s
        self._parked = Parked(max_parked_bytes, max_parked_bytes_in_all)
        #: Closed as too much waited; their owner has not heard of it.
        self._given_up: list[Lost] = []
        #: Open channels by route and id; losses are told in the order of the calls.
        self._channels: dict[Route, dict[bytes, Channel]] = {}
        #: The same ones: every channel's next beat is one interval after its last.
        self._beats = BeatOrder()
        self._outgoing: list[tuple[Route, bytes]] = []

    def __repr__(self) -> str:
        return (
            f"<Session {self.role.value} channels={len(self._beats)} "
            f"peers={len(self._channels)} outgoing={len(self._outgoing)} "
            f"dropped={self.dropped.total()}>"
        )

    @property
    def parked_bytes(self) -> int:
        """What terminal events that wait for credit hold, for all peers."""
        return self._parked.held_bytes

    @property
    def open_channels(self) -> int:
        """Channels that are not closed."""
        return len(self._beats)

    @property
    def peers(self) -> int:
        """Peers with an open channel."""
        return len(self._channels)

    # Incoming

    def receive(self, route: Route, payload: bytes, now: float) -> Signal | None:
        """Take one payload from ``route``; None where it changes nothing for the owner."""
        try:
            event = wire.decode_event(payload)
        except ProtocolError:
            self.dropped[Drop.MALFORMED] += 1
            return None
        if not event.response_to:
            return self._request(route, event, now)
        channels = self._channels.get(route)
        channel = None if channels is None else channels.get(event.response_to)
        if channel is None:
            self.dropped[Drop.UNKNOWN_CHANNEL] += 1
            return None
        return self._continue(channel, event, now)

    def _request(self, route: Route, event: Event, now: float) -> Signal | None:
        if self._is_client or event.name.startswith(wire.CONTROL_PREFIX):
            self.dropped[Drop.UNEXPECTED] += 1
            return None
        channels = self._channels.get(route)
        if channels is not None and event.message_id in channels:
            # An answer to the second would end the caller's channel of the first.
            self.dropped[Drop.DUPLICATE_ID] += 1
            return None
        return Requested(self._add(route, event.message_id, event.version, now), event)

    def _continue(self, channel: Channel, event: Event, now: float) -> Signal | None:
        if event.name == wire.HEARTBEAT:
            return self._heartbeat(channel, event, now)
        if event.name == wire.MORE:
            return self._grant(channel, event)
        if self._is_client:
            return self._answer(channel, event)
        self.dropped[Drop.UNEXPECTED] += 1
        return None

    def _heartbeat(self, channel: Channel, event: Event, now: float) -> Signal | None:
        channel.pulse.heard(now)
        if self._is_client:
            # Two ends that both echo would never stop.
            return None
        self._send_beat(channel)
        if channel.credit_rides_on_beats:
            return self._grant(channel, event)
        return None

    def _grant(self, channel: Channel, event: Event) -> Signal | None:
        slots = wire.decode_credit(event.args)
        if slots == 0:
            return None
        self._send(channel, channel.granted(slots))
        return Granted(channel)

    def _answer(self, channel: Channel, event: Event) -> Signal | None:
        if event.name == wire.STREAM:
            if channel.window is not None:
                channel.window.arrived()
            channel.is_stream = True
            return Item(channel, event.args)
        if event.name not in wire.TERMINAL:
            self.dropped[Drop.UNEXPECTED] += 1
            return None
        self.close(channel)
        if event.name == wire.OK:
            return Answered(channel, event.args)
        if event.name == wire.ERR:
            return Failed(channel, wire.decode_failure(event.args))
        return Ended(channel)

    # Outgoing

    def call(
        self, route: Route, name: str, args: bytes, now: float, timeout_s: float | None = None
    ) -> Channel:
        """Client role: open a channel with a request; ``args`` is the packed argument array."""
        channel_id = self.ids()
        request = wire.encode_request(channel_id, name, args, timeout_s)
        channel = self._add(route, channel_id, wire.PROTOCOL_VERSION, now)
        channel.window = ReadWindow(DEFAULT_SLOTS)
        channel.credit.take()
        self._outgoing.append((route, request))
        return channel

    def read(self, channel: Channel, unread: int) -> None:
        """Client role: the consumer asks for more; ``unread`` items still wait for it."""
        if channel.window is None or not channel.is_open:
            return
        slots = channel.window.refill(unread)
        if slots:
            more = wire.encode_more(self.ids(), channel.channel_id, slots)
            self._outgoing.append((channel.route, more))

    def send_item(self, channel: Channel, value: bytes) -> None:
        """Server role: send one stream item (msgpack bytes), or keep it until there is credit."""
        payload = wire.encode_reply(self.ids(), channel.channel_id, wire.STREAM, value)
        self._send(channel, channel.offer(payload))

    def end_stream(self, channel: Channel) -> None:
        """Server role: the stream is complete."""
        payload = wire.encode_reply(self.ids(), channel.channel_id, wire.STREAM_DONE, NIL)
        self.finish(channel, payload)

    def answer(self, channel: Channel, value: bytes) -> None:
        """Server role: end a call with its result, as msgpack bytes."""
        self.finish(channel, wire.encode_ok(self.ids(), channel.channel_id, value))

    def answer_in_parts(self, channel: Channel, parts: Iterable[bytes]) -> None:
        """Server role: the same where the result is in parts."""
        self.finish(channel, wire.encode_ok_of_parts(self.ids(), channel.channel_id, parts))

    def fail(self, channel: Channel, failure: RemoteFailure) -> None:
        """Server role: end a call or a stream with an error."""
        args = wire.encode_failure(channel.version, failure)
        payload = wire.encode_reply(self.ids(), channel.channel_id, wire.ERR, args)
        self.finish(channel, payload)

    def finish(self, channel: Channel, payload: bytes) -> None:
        """Server role: end a channel with a terminal event that is already encoded."""
        if channel.ends_at_once():
            # By far the usual case.
            self._outgoing.append((channel.route, payload))
            self._remove(channel)
            return
        self._send(channel, channel.finish(payload))
        if channel.state is _FINISHING:
            self._park(channel)

    def discard_waiting(self, channel: Channel) -> None:
        """Server role: forget the items that wait for credit; credit is not spent on them."""
        if channel.is_open:
            channel.waiting = None

    def close(self, channel: Channel) -> None:
        """Forget a channel; nothing more is sent on it."""
        channel.close()
        self._remove(channel)

    def take_given_up(self) -> list[Lost]:
        """Channels of which the end waited for credit, and is forgotten as too much did."""
        given_up, self._given_up = self._given_up, []
        return given_up

    def take_outgoing(self) -> list[tuple[Route, bytes]]:
        """What is to be sent now, in order: routes and payloads."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def _send(self, channel: Channel, payloads: list[bytes]) -> None:
        route = channel.route
        for payload in payloads:
            self._outgoing.append((route, payload))
        if channel.state is _CLOSED:
            self._remove(channel)

    def _park(self, channel: Channel) -> None:
        """A terminal event waits for credit; where too much waits, some peer does not get it."""
        if channel.parked_bytes:
            return
        self._parked.add(channel)
        for given_up in self._parked.excess(channel.client):
            self.dropped[Drop.UNCLAIMED] += 1
            self.close(given_up)
            self._given_up.append(Lost(given_up, 0.0))

    def _send_beat(self, channel: Channel) -> None:
        beat = wire.encode_beat(self.ids(), channel.channel_id)
        self._outgoing.append((channel.route, beat))

    # Time and loss

    def next_deadline(self) -> float | None:
        """When the next own heartbeat is due."""
        first = self._beats.first
        return None if first is None else first.beat_at

    def tick(self, now: float) -> list[Lost]:
        """Send the heartbeats that are due; return the channels whose peers fell silent."""
        lost: list[Lost] = []
        while (channel := self._beats.first) is not None and channel.beat_at <= now:
            if self._is_lost(channel, now):
                lost.append(self._lose(channel, now))
                continue
            if channel.state is _FINISHING:
                channel.finishing_beats += 1
            self._send_beat(channel)
            self._beats.remove(channel)
            channel.beat_at = now + self._beat_interval_s
            self._beats.add(channel)
        return lost

    def routes_of(self, client: Client) -> list[Route]:
        """By which routes a client's open channels came."""
        return [route for route in self._channels if route[0] == client]

    def route_lost(self, route: Route, now: float) -> list[Lost]:
        """The peer cannot be reached any more: close all its channels."""
        return [self._lose(channel, now) for channel in [*self._channels.get(route, {}).values()]]

    def _is_lost(self, channel: Channel, now: float) -> bool:
        if not self._is_client:
            # Who has no credit for the end of a stream may have dropped it and never beats.
            is_abandoned = channel.finishing_beats >= ABANDONED_AFTER_BEATS
            return is_abandoned or channel.pulse.is_lost(now)
        return channel.pulse.silent_for_s(now) >= SERVER_LOST_AFTER_BEATS * self._beat_interval_s

    def _lose(self, channel: Channel, now: float) -> Lost:
        self.close(channel)
        return Lost(channel, channel.pulse.silent_for_s(now))

    # The one place where channels come and go

    def _add(self, route: Route, channel_id: bytes, version: int, now: float) -> Channel:
        channel = Channel(route, channel_id, version, Pulse(now), now + self._beat_interval_s)
        self._channels.setdefault(route, {})[channel_id] = channel
        self._beats.add(channel)
        return channel

    def _remove(self, channel: Channel) -> None:
        channels = self._channels.get(channel.route)
        # A peer may use an id again; the channel that has it now is another one.
        if channels is None or channels.get(channel.channel_id) is not channel:
            return
        if channel.parked_bytes:
            self._parked.remove(channel)
        del channels[channel.channel_id]
        if not channels:
            del self._channels[channel.route]
        self._beats.remove(channel)

    def check_invariants(self) -> None:
        """The channels are those of the heartbeats, under their own names; the sums are theirs."""
        self._beats.check_invariants()
        named: list[Channel] = []
        for route, channels in self._channels.items():
            if not channels:
                raise RuntimeError(f"{self!r}: {route} has no channel")
            for channel_id, channel in channels.items():
                if (channel.route, channel.channel_id) != (route, channel_id):
                    raise RuntimeError(f"{self!r}: {channel!r} is called {channel_id!r}")
                if channel.state is _CLOSED:
                    raise RuntimeError(f"{self!r}: {channel!r} is closed")
                named.append(channel)
        if len(named) != len(self._beats):
            raise RuntimeError(f"{self!r}: {len(named)} channels have names")
        self._parked.check_invariants(named)
