"""One connection to one server: the calls that are in flight on it, and bytes both ways.

Knows how calls, credit and heartbeats become ZeroRPC events, and what the events that come back
mean for a call. Refuses to know which call goes where, when a heartbeat is due, and who moves the
bytes: see `core`. Times are monotonic seconds.
Source: ZeroRPC v3 as spoken by zerorpc-python 0.6.3.
"""

from __future__ import annotations

import enum
import math
from collections import deque
from typing import Final

import msgspec

from zeropool.client.answered import ARGS_AT, Answered, usual_id, usual_value
from zeropool.client.call import Call
from zeropool.client.outcomes import Ended, Expired, Failed, Lost
from zeropool.client.requests import UNTOLD_S, Requests
from zeropool.shared.errors import DeadlineExceeded, ProtocolError
from zeropool.shared.wire import event as wire
from zeropool.shared.wire.dialer import Dialer
from zeropool.shared.wire.event import DECODE_ERRORS, MessageIds
from zeropool.shared.wire.flow import ReadWindow
from zeropool.shared.wire.kinds import Kind
from zeropool.shared.wire.records import AnswerHeader
from zeropool.shared.wire.zmtp import frame_message

#: What zerorpc can decode is at most 100 MiB; more than twice that is no answer of anybody.
MAX_MESSAGE_BYTES: Final = 256 * 1024 * 1024
#: Waits between tries to connect: libzmq's first one is 100 ms, and does not grow.
FIRST_RECONNECT_S: Final = 0.02
LONGEST_RECONNECT_S: Final = 1.0
_MOST_DOUBLINGS: Final = 10


class State(enum.Enum):
    """How far a connection is."""

    #: There is none; `connect_at` says when to try.
    DOWN = "down"
    #: The shell was told to connect.
    CONNECTING = "connecting"
    #: Bytes can flow; the server has not said that it is ready.
    OPEN = "open"
    READY = "ready"


_EVENT: Final = msgspec.msgpack.Decoder(tuple[AnswerHeader, str, msgspec.Raw])
_OVER_CREDIT: Final = Lost("the server sent more items than it was allowed to")


class Link:
    """The connection to one endpoint, or its absence."""

    __slots__ = (
        "_ids",
        "_out",
        "_requests",
        "_zmtp",
        "avoid_until",
        "calls",
        "connect_at",
        "dropped",
        "endpoint",
        "failure",
        "failures",
        "give_up_at",
        "heard_at",
        "is_used_at",
        "requests",
        "state",
        "unsent",
        "unsent_bytes",
    )

    def __init__(self, endpoint: str, ids: MessageIds) -> None:
        self.endpoint = endpoint
        self.state = State.DOWN
        #: Calls without an outcome whose request is on this connection.
        self.calls: dict[bytes, Call] = {}
        #: When to connect again, while it is down.
        self.connect_at = 0.0
        #: Until when a server that is not ready has time to be.
        self.give_up_at = math.inf
        #: Until when other servers are preferred.
        self.avoid_until = 0.0
        #: When the last bytes came or went.
        self.heard_at = 0.0
        self.is_used_at = 0.0
        #: Why there is no connection; empty where none was lost or refused.
        self.failure = ""
        #: Tries in a row that made no connection.
        self.failures = 0
        #: Requests so far: of two servers with as many calls, the less used has the next.
        self.requests = 0
        #: Events that belonged to no call, or were none.
        self.dropped = 0
        #: Calls whose request the shell has not taken; they never left.
        self.unsent: list[Call] = []
        self.unsent_bytes = 0
        self._ids = ids
        self._requests = Requests()
        self._out: list[bytes] = []
        self._zmtp = Dialer(Kind.DEALER, MAX_MESSAGE_BYTES)

    def __repr__(self) -> str:
        return f"<Link {self.endpoint} {self.state.value} calls={len(self.calls)}>"

    @property
    def has_outgoing(self) -> bool:
        """There are bytes for the shell to take."""
        return bool(self._out)

    def open(self, now: float) -> None:
        """The shell has connected."""
        self.state = State.OPEN
        self.heard_at = self.is_used_at = now
        self._zmtp = Dialer(Kind.DEALER, MAX_MESSAGE_BYTES)
        self._reply()

    def take_outgoing(self) -> bytes:
        """What is to be sent now. Whatever is in it counts as sent."""
        outgoing = b"".join(self._out)
        self._out.clear()
        self.unsent.clear()
        self.unsent_bytes = 0
        return outgoing

    # Outgoing

    def send(self, call: Call, now: float) -> None:
        """Put a request on the connection."""
        # Called by its name, as what is compiled then needs no lookup.
        channel_id = self._ids.__call__()
        timeout_s = UNTOLD_S
        if call.sends_deadline:
            timeout_s = call.deadline - now if call.deadline > now else 0.0
        message = self._requests.message(channel_id, call.method, call.args, timeout_s)
        call.link = self
        call.channel_id = channel_id
        call.heard_at = None
        self.calls[channel_id] = call
        self.requests += 1
        self.is_used_at = now
        self._out.append(message)
        self.unsent.append(call)
        self.unsent_bytes += len(message)

    def beat(self, call: Call) -> None:
        """Tell the server that somebody still waits for this call."""
        self._out.append(frame_message(wire.encode_beat(self._ids(), call.channel_id)))

    def grant(self, call: Call) -> None:
        """Allow as many more items as there is room for."""
        if call.window is None:
            return
        slots = call.window.refill(len(call.items) if call.items else 0)
        if slots:
            more = wire.encode_more(self._ids(), call.channel_id, slots)
            self._out.append(frame_message(more))

    # Incoming

    def receive(self, data: bytes, now: float) -> list[Call]:
        """Take bytes; return the calls that have news, once for each item or outcome.

        Raises:
            ProtocolError: the connection is of no more use.
        """
        self.heard_at = self.is_used_at = now
        payloads = self._zmtp.receive(data)
        if self._zmtp.replies:
            self._reply()
        if self.state is State.OPEN and self._zmtp.is_ready:
            self.state = State.READY
        news = []
        for payload in payloads:
            call = self._take_usual(payload) or self._take(payload, now)
            if call is not None:
                news.append(call)
        return news

    def fail(self, reason: str, now: float) -> None:
        """The connection has ended, or could not be made: say when to try again."""
        self.failures += self.state is not State.READY
        self.failure = reason
        wait_s = FIRST_RECONNECT_S * 2.0 ** min(self.failures - 1, _MOST_DOUBLINGS)
        # One that had been made is made again at once: as a rule somebody has restarted the server.
        self.connect_at = now + (min(wait_s, LONGEST_RECONNECT_S) if self.failures else 0.0)

    def drop(self) -> list[Call]:
        """There is no connection any more: return the calls that were on it, oldest first."""
        self.state = State.DOWN
        self.give_up_at = math.inf
        calls = list(self.calls.values())
        self.calls.clear()
        self._out.clear()
        self.unsent_bytes = 0
        return calls

    def _reply(self) -> None:
        self._out += self._zmtp.replies
        self._zmtp.replies.clear()

    def _take_usual(self, payload: bytes) -> Call | None:
        """Take an answer in the usual form; None: it is something else, or not whole."""
        call = self.calls.get(usual_id(payload))
        if call is None:
            return None
        try:
            value = usual_value(payload)
        except DECODE_ERRORS:
            return None
        del self.calls[call.channel_id]
        call.outcome = Answered(payload, ARGS_AT, value)
        return call

    def _take(self, payload: bytes, now: float) -> Call | None:
        try:
            header, name, raw = _EVENT.decode(payload)
            channel_id, args = bytes(header.response_to), bytes(raw)
        except DECODE_ERRORS:
            try:
                event = wire.decode_event(payload)
            except ProtocolError:
                self.dropped += 1
                return None
            channel_id, name, args = event.response_to, event.name, event.args
        call = self.calls.get(channel_id)
        if call is None:
            # As a rule it comes for a call that was given up.
            self.dropped += 1
            return None
        if name == wire.OK:
            del self.calls[channel_id]
            call.outcome = Answered(args)
            return call
        return self._take_other(call, name, args, now)

    def _take_other(self, call: Call, name: str, args: bytes, now: float) -> Call | None:
        if name == wire.HEARTBEAT:
            call.heard_at = now
            return None
        if name == wire.STREAM:
            return self._item(call, args)
        if name == wire.STREAM_DONE:
            call.outcome = Ended()
            call.is_stream = True
        elif name == wire.ERR:
            failure = wire.decode_failure(args)
            # The server repeats what it was told; the caller knows it by its own name.
            is_ours = failure.name == DeadlineExceeded.wire_name and now >= call.deadline
            call.outcome = Expired() if is_ours else Failed(failure)
        else:
            self.dropped += name != wire.MORE
            return None
        del self.calls[call.channel_id]
        return call

    def _item(self, call: Call, value: bytes) -> Call:
        if call.window is None or call.items is None:
            call.window = ReadWindow(call.slots)
            call.items = deque()
            call.is_stream = True
            # From here on the time is the reader's own affair.
            call.deadline = math.inf
        call.window.arrived()
        if call.window.reserved < 0:
            del self.calls[call.channel_id]
            call.outcome = _OVER_CREDIT
        else:
            call.items.append(value)
        return call
