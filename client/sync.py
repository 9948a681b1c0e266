"""A blocking ZeroRPC client for one thread: socket and clock around the wire's state machine.

Its errors are zerorpc's own classes, so that `except zerorpc.RemoteError` works as before. They
are loaded when the first one is raised, because importing zerorpc loads gevent.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import msgspec
import zmq
from zmq.utils.monitor import recv_monitor_message

from zeropool.client.retry import RetryPolicy, Tries
from zeropool.shared.errors import DeadlineExceeded
from zeropool.shared.methods import STREAM_SUFFIX
from zeropool.shared.polling import poll_timeout_ms
from zeropool.shared.wire.channel import Channel
from zeropool.shared.wire.event import RemoteFailure
from zeropool.shared.wire.heartbeat import BEAT_INTERVAL_S
from zeropool.shared.wire.session import (
    SERVER_LOST_AFTER_BEATS,
    Answered,
    Ended,
    Failed,
    Item,
    Lost,
    Role,
    Session,
    Signal,
)

#: zerorpc.Client's default.
DEFAULT_TIMEOUT_S = 30.0
#: A DEALER has one peer, so all channels share this route.
_ROUTE = (b"",)
#: Requests that were just sent get this long to leave when the client closes.
LINGER_MS = 200
_CONNECTION_EVENTS = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED


@dataclass(slots=True)
class _Try:
    """One request that was made, and what came back and has not been looked at."""

    channel: Channel
    request: bytes
    method: str
    #: When its caller gives it up: monotonic seconds.
    deadline: float
    inbox: deque[Signal] = field(default_factory=deque)


class Client:
    """Calls methods of one server. For one thread, and not to be used across a fork.

    Args:
        endpoint: ZeroMQ endpoint of the server, e.g. ``tcp://127.0.0.1:4242``.
        timeout_s: seconds to wait for the first answer of a call; None waits for ever, as long
            as the server's heartbeats come. It travels with the call, and a Zeropool then does not
            begin what nobody awaits any more.
        heartbeat_s: seconds between heartbeats; after three without any the server is lost.
        retry: which calls to repeat; none unless it is given.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        timeout_s: float | None = DEFAULT_TIMEOUT_S,
        heartbeat_s: float = BEAT_INTERVAL_S,
        retry: RetryPolicy | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._timeout_s = timeout_s
        self._heartbeat_s = heartbeat_s
        self._retry = retry
        self._session = Session(Role.CLIENT, beat_interval_s=heartbeat_s)
        self._tries: dict[bytes, _Try] = {}
        self._unsent: deque[bytes] = deque()
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._is_connected = False

    def __repr__(self) -> str:
        return f"<Client {self._endpoint} open={self._session.open_channels}>"

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def open(self) -> None:
        """Begin to connect; a server that starts later will do.

        Raises:
            zmq.ZMQError: the endpoint is none.
        """
        if self._context is not None:
            return
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.IPV6, 1)
        # What waits for a connection waits here: only so is it known what went down with one.
        self._socket.setsockopt(zmq.IMMEDIATE, 1)
        self._monitor = self._socket.get_monitor_socket(_CONNECTION_EVENTS)
        self._poller = zmq.Poller()
        self._poller.register(self._monitor, zmq.POLLIN)
        self._polled_for = 0
        self._is_connected = False
        try:
            self._socket.connect(self._endpoint)
        except zmq.ZMQError:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection; a stream that is still read ends with `zerorpc.LostRemote`."""
        if self._context is None:
            return
        self._unsent.clear()
        self._lose_what_was_sent()
        self._session.take_outgoing()
        self._socket.disable_monitor()
        self._monitor.close()
        self._socket.close(linger=LINGER_MS)
        self._context.term()
        self._context = None

    def wait_connected(self, timeout_s: float) -> bool:
        """Wait until a server is there; False when nobody is after ``timeout_s`` seconds."""
        self.open()
        deadline = time.monotonic() + timeout_s
        self._take_connection_events()
        while not self._is_connected:
            if not self._monitor.poll(poll_timeout_ms(deadline, time.monotonic())):
                return False
            self._take_connection_events()
        return True

    def _take_connection_events(self) -> None:
        while int(self._monitor.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            event = recv_monitor_message(self._monitor, zmq.NOBLOCK)["event"]
            self._is_connected = event == zmq.EVENT_HANDSHAKE_SUCCEEDED
            if not self._is_connected:
                # A server knows its clients by their connections: what it has said counts, what
                # it had not answered when this one broke, it never will.
                self._receive(time.monotonic())
                self._lose_what_was_sent()

    def _lose_what_was_sent(self) -> None:
        for sent in self._tries.values():
            if sent.channel.is_open and sent.request not in self._unsent:
                self._session.close(sent.channel)
                sent.inbox.append(Lost(sent.channel, 0.0))

    def call(self, method: str, *args: object) -> Any:  # noqa: ANN401 - what the server answers
        """Call a method; a stream comes back as an iterator over its items.

        Heartbeats leave only from inside this client: a consumer that is busy with one item for
        longer than the server's patience (10 s for zerorpc, 20 s for Zeropool) loses its stream.

        Raises:
            zerorpc.RemoteError: the server answered with an error.
            zerorpc.TimeoutExpired: there was no answer in time.
            zerorpc.LostRemote: the server fell silent, or the connection to it broke.
            TypeError, OverflowError, UnicodeEncodeError: an argument has no MessagePack form.
        """
        self.open()
        # Of connections that came and went before this call.
        self._take_connection_events()
        packed = msgspec.msgpack.encode(list(args))
        deadline = math.inf if self._timeout_s is None else time.monotonic() + self._timeout_s
        is_repeated = self._retry is not None and self._retry.covers(method)
        tries = Tries(self._retry, deadline) if self._retry is not None and is_repeated else None
        while True:
            made = self._ask(method, packed, deadline)
            try:
                first = self._next(made, deadline)
                again_at = None if tries is None else _again_at(tries, first)
                if again_at is None:
                    return self._answer(made, first)
            finally:
                if not made.channel.is_stream:
                    self._forget(made)
            self._idle_until(again_at)

    def _ask(self, method: str, packed: bytes, deadline: float) -> _Try:
        now = time.monotonic()
        # The time of a stream is its reader's own affair: only the first item has a limit.
        has_limit = deadline < math.inf and not method.endswith(STREAM_SUFFIX)
        timeout_s = max(0.0, deadline - now) if has_limit else None
        self._collect()
        channel = self._session.call(_ROUTE, method, packed, now, timeout_s)
        self._collect()
        made = _Try(channel, self._unsent[-1], method, deadline)
        self._tries[channel.key.channel_id] = made
        return made

    def _answer(self, made: _Try, first: Signal) -> Any:  # noqa: ANN401 - what the server answers
        if not isinstance(first, Item | Ended):
            return self._value(made, first)
        made.inbox.appendleft(first)
        items = self._items(made)
        # A generator cleans up after itself only once it has begun.
        next(items)
        return items

    def _items(self, made: _Try) -> Iterator[Any]:
        """Give nothing once, then the items."""
        try:
            yield None
            while True:
                if not made.inbox:
                    self._session.read(made.channel, unread=0)
                signal = self._next(made, math.inf)
                if isinstance(signal, Ended):
                    return
                if isinstance(signal, Item):
                    yield msgspec.msgpack.decode(signal.value)
                else:
                    self._value(made, signal)
                    return
        finally:
            self._forget(made)

    def _value(self, made: _Try, signal: Signal) -> Any:  # noqa: ANN401 - what the server answers
        if isinstance(signal, Answered):
            values = msgspec.msgpack.decode(signal.args)
            return values[0] if values else None
        if isinstance(signal, Failed):
            is_late = time.monotonic() >= made.deadline
            if is_late and signal.failure.name == DeadlineExceeded.wire_name:
                # The server only repeats what we told it; the caller knows it by its own name.
                raise _timeout_expired(self._timeout_s, made.method)
            raise _remote_error(signal.failure)
        if self._context is None:
            raise _lost_remote("the client was closed")
        if isinstance(signal, Lost) and signal.silent_for_s == 0.0:
            raise _lost_remote("Lost remote: the connection broke")
        silent_for_s = SERVER_LOST_AFTER_BEATS * self._heartbeat_s
        raise _lost_remote(f"Lost remote after {silent_for_s:g}s heartbeat")

    def _forget(self, made: _Try) -> None:
        self._session.close(made.channel)
        self._tries.pop(made.channel.key.channel_id, None)
        # A server that comes later is not to do what nobody awaits any more.
        if made.request in self._unsent:
            self._unsent.remove(made.request)
        if not self._tries:
            self._unsent.clear()

    def _next(self, made: _Try, deadline: float) -> Signal:
        now = time.monotonic()
        # Also where items lie there: a consumer that takes its time is still alive.
        self._tick(now)
        while not made.inbox:
            if now >= deadline:
                raise _timeout_expired(self._timeout_s, made.method)
            now = self._live_until(deadline, now)
        return made.inbox.popleft()

    def _idle_until(self, again_at: float) -> None:
        """Wait, while the open streams live on."""
        now = time.monotonic()
        while now < again_at:
            now = self._live_until(again_at, now)

    def _live_until(self, deadline: float, now: float) -> float:
        """Wait for one event or until then, and take it; return the time."""
        self._wait(now, deadline)
        now = time.monotonic()
        self._receive(now)
        self._tick(now)
        return now

    def _tick(self, now: float) -> None:
        due_at = self._session.next_deadline()
        if due_at is not None and due_at <= now:
            # First what lies there: the server was not silent while our consumer was busy.
            self._receive(now)
            for lost in self._session.tick(now):
                self._deliver(lost)
        self._flush()

    def _wait(self, now: float, deadline: float) -> None:
        beat_at = self._session.next_deadline()
        wake_at = deadline if beat_at is None else min(deadline, beat_at)
        timeout_ms = None if wake_at == math.inf else poll_timeout_ms(wake_at, now)
        wanted = zmq.POLLIN | zmq.POLLOUT if self._unsent else zmq.POLLIN
        if wanted != self._polled_for:
            self._poller.register(self._socket, wanted)
            self._polled_for = wanted
        self._poller.poll(timeout_ms)
        self._take_connection_events()

    def _receive(self, now: float) -> None:
        try:
            while True:
                payload = self._socket.recv_multipart(zmq.NOBLOCK)[-1]
                self._deliver(self._session.receive(_ROUTE, payload, now))
        except zmq.Again:
            pass

    def _deliver(self, signal: Signal | None) -> None:
        if signal is None:
            return
        made = self._tries.get(signal.channel.key.channel_id)
        if made is not None and isinstance(signal, Answered | Failed | Item | Ended | Lost):
            made.inbox.append(signal)

    def _collect(self) -> None:
        self._unsent.extend(payload for _, payload in self._session.take_outgoing())

    def _flush(self) -> None:
        self._collect()
        if not self._unsent:
            return
        # What is sent now must not be taken for lost by the news of an earlier connection's end.
        self._take_connection_events()
        if not self._is_connected:
            return
        try:
            while self._unsent:
                self._socket.send_multipart([b"", self._unsent[0]], zmq.NOBLOCK)
                self._unsent.popleft()
        except zmq.Again:
            # There is no server now, or no room in its queue; _wait() waits for both, too.
            pass


def _again_at(tries: Tries, first: Signal) -> float | None:
    """When to call again after this first answer; None where it is the last word."""
    match first:
        case Lost():
            return tries.after_loss(time.monotonic())
        case Failed(failure=failure):
            return tries.after_failure(failure, time.monotonic())
    return None


def _remote_error(failure: RemoteFailure) -> Exception:
    from zerorpc.exceptions import RemoteError  # noqa: PLC0415 - see the module's docstring

    error: Exception = RemoteError(failure.name, failure.message, failure.traceback or None)
    return error


def _timeout_expired(timeout_s: float | None, method: str) -> Exception:
    from zerorpc.exceptions import TimeoutExpired  # noqa: PLC0415 - see the module's docstring

    error: Exception = TimeoutExpired(timeout_s, f"calling remote method {method}")
    return error


def _lost_remote(reason: str) -> Exception:
    from zerorpc.exceptions import LostRemote  # noqa: PLC0415 - see the module's docstring

    error: Exception = LostRemote(reason)
    return error
