"""The calls that are open on a server's connections, as bytes. No I/O, no clock. Seconds.

A leaner client than `zeropool.shared.wire.session`: all calls are of one method, what they ask is
packed beforehand, and an answer in the usual form is told by comparing bytes. Whatever looks
different is decoded: heartbeats, streams, errors, other orders of the header's entries.
Source of the behaviour: zerorpc-python 0.6.3, events.py and heartbeat.py.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import msgspec

from zeropool.shared.errors import ProtocolError
from zeropool.shared.wire import event as wire
from zeropool.shared.wire.event_scan import Event
from zeropool.shared.wire.flow import ReadWindow
from zeropool.shared.wire.session import SERVER_LOST_AFTER_BEATS

#: Names of the errors that only a client can tell; the first two as zerorpc calls them.
TIMEOUT = "TimeoutExpired"
LOST = "LostRemote"
WRONG = "WrongAnswer"

#: Ids are 32 hexadecimal characters, as zerorpc-python's: 24 of the run, then a counter.
RUN_DIGITS = 24
#: 4 thousand million calls: a day at the pace of the fastest gateway.
_COUNTER_DIGITS = 8
_ID_HEAD = b"\xc4\x20"
_OK = b"\xa2OK"

_decode = msgspec.msgpack.decode
_encode = msgspec.msgpack.encode


class Ended(msgspec.Struct, gc=False):
    """A call that is over: where it went, when it was due, and how it failed if it did."""

    peer: bytes
    due_at: float
    #: Name of the error; empty where the answer was right.
    error: str = ""
    message: str = ""


class _Stream(msgspec.Struct, gc=False):
    """A stream that is read: its credit, and its items where they are to be compared."""

    window: ReadWindow
    items: list[Any]


class Calls:
    """Requests out, answers in.

    Args:
        run: `RUN_DIGITS` hexadecimal characters that no other client uses.
        requests: packed argument arrays, taken in turns.
        expected: what every answer must be, packed; for a stream, the list of its items.
    """

    def __init__(  # noqa: PLR0913 - all of a call
        self,
        method: str,
        requests: Sequence[bytes],
        *,
        run: bytes,
        timeout_s: float,
        beat_interval_s: float,
        expected: bytes | None = None,
    ) -> None:
        name = _encode(method)
        limit = b"\xa9timeout_s" + _encode(timeout_s)
        self._head = b"\x93\x83\xaamessage_id" + _ID_HEAD + run
        self._tails = [b"\xa1v\x03" + limit + name + args for args in requests]
        self._run = run
        # In answers of Python servers and of Zeropool the id stands last in the header.
        self._mark = b"\xabresponse_to" + _ID_HEAD + run
        self._mark_bytes = len(self._mark)
        self._good = _OK if expected is None else _OK + b"\x91" + expected
        self._expected = expected
        self._timeout_s = timeout_s
        self._beat_interval_s = beat_interval_s
        self._ids = wire.MessageIds()
        self._next = 0
        # In the order in which they were asked, which is that of their times.
        self._open: dict[int, tuple[float, bytes]] = {}
        self._streams: dict[int, _Stream] = {}
        # Long calls only: when the server was last heard, and whose heartbeat is due when.
        self._heard: dict[int, float] = {}
        self._beats: deque[tuple[float, int]] = deque()
        self._young = 0
        self._outgoing: list[tuple[bytes, bytes]] = []

    def __repr__(self) -> str:
        return f"<Calls open={len(self._open)} asked={self._next} streams={len(self._streams)}>"

    def __len__(self) -> int:
        """Number of open calls."""
        return len(self._open)

    @property
    def asked(self) -> int:
        """Number of calls so far."""
        return self._next

    def ask(self, peer: bytes, due_at: float) -> bytes:
        """Open a call that counts from ``due_at``; return the request to send."""
        number = self._next
        self._next = number + 1
        self._open[number] = (due_at, peer)
        return b"%b%08x%b" % (self._head, number, self._tails[number % len(self._tails)])

    def take(self, payload: bytes, now: float) -> Ended | None:
        """Take an event of the server; tell of the call that it ended, if it ended one."""
        mark_at = payload.find(self._mark)
        if mark_at >= 0:
            number_at = mark_at + self._mark_bytes
            name_at = number_at + _COUNTER_DIGITS
            if payload.startswith(self._good, name_at):
                try:
                    return self._end(int(payload[number_at:name_at], 16))
                except ValueError:
                    return None
        return self._take_slowly(payload, now)

    def _end(self, number: int, error: str = "", message: str = "") -> Ended | None:
        call = self._open.pop(number, None)
        # What comes after its timeout ends nothing any more.
        if call is None:
            return None
        if self._heard:
            self._heard.pop(number, None)
        if self._streams:
            self._streams.pop(number, None)
        return Ended(call[1], call[0], error, message)

    def _take_slowly(self, payload: bytes, now: float) -> Ended | None:
        try:
            event = wire.decode_event(payload)
            number = self._number(event.response_to)
        except (ProtocolError, ValueError):
            return None
        if number not in self._open:
            return None
        if event.name == wire.HEARTBEAT:
            self._heard[number] = now
        elif event.name == wire.STREAM:
            self._read(number, event)
        elif event.name == wire.ERR:
            failure = wire.decode_failure(event.args)
            return self._end(number, failure.name or wire.UNNAMED_FAILURE, failure.message)
        elif event.name in wire.TERMINAL:
            return self._end_checked(number, event)
        return None

    def _number(self, channel_id: bytes) -> int:
        # Node may send an id back as a string: what is the same is its end.
        if channel_id[-RUN_DIGITS - _COUNTER_DIGITS : -_COUNTER_DIGITS] != self._run:
            raise ValueError(f"not an id of this run: {channel_id!r}")
        return int(channel_id[-_COUNTER_DIGITS:], 16)

    def _end_checked(self, number: int, event: Event) -> Ended | None:
        if self._expected is None:
            return self._end(number)
        if event.name == wire.OK:
            values = _value(event.args)
            answer = values[0] if isinstance(values, list) and values else None
        else:
            answer = self._streams[number].items if number in self._streams else []
        expected = _decode(self._expected)
        if answer == expected:
            return self._end(number)
        return self._end(number, WRONG, f"expected {expected!r}, got {answer!r}")

    def _read(self, number: int, event: Event) -> None:
        stream = self._streams.get(number)
        if stream is None:
            stream = self._streams[number] = _Stream(ReadWindow(), [])
        if self._expected is not None:
            stream.items.append(_value(event.args))
        stream.window.arrived()
        slots = stream.window.refill(unread=0)
        if slots:
            more = wire.encode_more(self._ids(), event.response_to, slots)
            self._outgoing.append((self._open[number][1], more))

    # Time

    def tick(self, now: float) -> list[Ended]:
        """Give up what took too long, and beat for what takes long; call it often."""
        given_up = []
        for number, (due_at, _) in self._open.items():
            if due_at + self._timeout_s > now:
                break
            given_up.append(number)
        message = f"no answer in {self._timeout_s:g} s"
        over = [self._end(number, TIMEOUT, message) for number in given_up]
        over += self._beat(now)
        self._begin_beats(now)
        return [ended for ended in over if ended is not None]

    def _begin_beats(self, now: float) -> None:
        """A call's first heartbeat is due an interval after it was asked."""
        while self._young < self._next:
            call = self._open.get(self._young)
            if call is not None:
                if call[0] + self._beat_interval_s > now:
                    return
                self._heard.setdefault(self._young, call[0])
                self._send_beat(self._young, now)
            self._young += 1

    def _beat(self, now: float) -> list[Ended | None]:
        lost: list[Ended | None] = []
        patience_s = SERVER_LOST_AFTER_BEATS * self._beat_interval_s
        while self._beats and self._beats[0][0] <= now:
            _, number = self._beats.popleft()
            if number not in self._open:
                continue
            if now - self._heard[number] >= patience_s:
                lost.append(self._end(number, LOST, f"no heartbeat in {patience_s:g} s"))
            else:
                self._send_beat(number, now)
        return lost

    def _send_beat(self, number: int, now: float) -> None:
        beat = wire.encode_beat(self._ids(), self._channel_id(number))
        self._outgoing.append((self._open[number][1], beat))
        # Each next beat is one interval after its last: the queue stays in order.
        self._beats.append((now + self._beat_interval_s, number))

    def _channel_id(self, number: int) -> bytes:
        return b"%b%b%08x" % (_ID_HEAD, self._run, number)

    def take_outgoing(self) -> list[tuple[bytes, bytes]]:
        """What is to be sent beside requests: peers and payloads."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def forget(self) -> int:
        """Give all open calls up without a word; return how many there were."""
        count = len(self._open)
        self._open.clear()
        self._streams.clear()
        self._heard.clear()
        self._beats.clear()
        self._young = self._next
        return count


def _value(packed: bytes) -> object:
    try:
        return _decode(packed)
    except wire.DECODE_ERRORS as error:
        return error
