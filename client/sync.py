"""A blocking ZeroRPC client for one thread: socket and clock around the wire's state machine.

Its errors are zerorpc's own classes, so that `except zerorpc.RemoteError` works as before. They
are loaded when the first one is raised, because importing zerorpc loads gevent.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import msgspec
import zmq
from zmq.utils.monitor import recv_monitor_message

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


class Client:
    """Calls methods of one server. For one thread, and not to be used across a fork.

    Args:
        endpoint: ZeroMQ endpoint of the server, e.g. ``tcp://127.0.0.1:4242``.
        timeout_s: seconds to wait for the first answer of a call; None waits for ever, as long
            as the server's heartbeats come.
        heartbeat_s: seconds between heartbeats; after three without any the server is lost.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        timeout_s: float | None = DEFAULT_TIMEOUT_S,
        heartbeat_s: float = BEAT_INTERVAL_S,
    ) -> None:
        self._endpoint = endpoint
        self._timeout_s = timeout_s
        self._heartbeat_s = heartbeat_s
        self._session = Session(Role.CLIENT, beat_interval_s=heartbeat_s)
        self._signals: dict[bytes, deque[Signal]] = {}
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
        self._monitor = self._socket.get_monitor_socket(_CONNECTION_EVENTS)
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
        for lost in self._session.route_lost(_ROUTE, time.monotonic()):
            self._deliver(lost)
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
        with contextlib.suppress(zmq.Again):
            while True:
                event = recv_monitor_message(self._monitor, zmq.NOBLOCK)["event"]
                self._is_connected = event == zmq.EVENT_HANDSHAKE_SUCCEEDED

    def call(self, method: str, *args: object) -> Any:  # noqa: ANN401 - what the server answers
        """Call a method; a stream comes back as an iterator over its items.

        Heartbeats leave only from inside this client: a consumer that is busy with one item for
        longer than the server's patience (10 s for zerorpc, 20 s for Zeropool) loses its stream.

        Raises:
            zerorpc.RemoteError: the server answered with an error.
            zerorpc.TimeoutExpired: there was no answer in time.
            zerorpc.LostRemote: the server fell silent.
            TypeError, OverflowError, UnicodeEncodeError: an argument has no MessagePack form.
        """
        self.open()
        now = time.monotonic()
        packed = msgspec.msgpack.encode(list(args))
        channel = self._session.call(_ROUTE, method, packed, now)
        inbox = self._signals[channel.key.channel_id] = deque()
        deadline = None if self._timeout_s is None else now + self._timeout_s
        try:
            first = self._next(inbox, method, deadline)
            if isinstance(first, Item | Ended):
                inbox.appendleft(first)
                items = self._items(channel, inbox, method)
                # A generator cleans up after itself only once it has begun.
                next(items)
                return items
            return self._value(first)
        finally:
            if not channel.is_stream:
                self._forget(channel)

    def _items(self, channel: Channel, inbox: deque[Signal], method: str) -> Iterator[Any]:
        """Give nothing once, then the items."""
        try:
            yield None
            while True:
                if not inbox:
                    self._session.read(channel, unread=0)
                signal = self._next(inbox, method, None)
                if isinstance(signal, Ended):
                    return
                if isinstance(signal, Item):
                    yield msgspec.msgpack.decode(signal.value)
                else:
                    self._value(signal)
                    return
        finally:
            self._forget(channel)

    def _value(self, signal: Signal) -> Any:  # noqa: ANN401 - what the server answers
        if isinstance(signal, Answered):
            values = msgspec.msgpack.decode(signal.args)
            return values[0] if values else None
        if isinstance(signal, Failed):
            raise _remote_error(signal.failure)
        if self._context is None:
            raise _lost_remote("the client was closed")
        silent_for_s = SERVER_LOST_AFTER_BEATS * self._heartbeat_s
        raise _lost_remote(f"Lost remote after {silent_for_s:g}s heartbeat")

    def _forget(self, channel: Channel) -> None:
        self._session.close(channel)
        self._signals.pop(channel.key.channel_id, None)

    def _next(self, inbox: deque[Signal], method: str, deadline: float | None) -> Signal:
        now = time.monotonic()
        # Also where items lie there: a consumer that takes its time is still alive.
        self._tick(now)
        while not inbox:
            if deadline is not None and now >= deadline:
                raise _timeout_expired(self._timeout_s, method)
            self._wait(now, deadline)
            now = time.monotonic()
            self._receive(now)
            self._tick(now)
        return inbox.popleft()

    def _tick(self, now: float) -> None:
        due_at = self._session.next_deadline()
        if due_at is not None and due_at <= now:
            # First what lies there: the server was not silent while our consumer was busy.
            self._receive(now)
            for lost in self._session.tick(now):
                self._deliver(lost)
        self._flush()

    def _wait(self, now: float, deadline: float | None) -> None:
        wake_at = self._session.next_deadline()
        if deadline is not None:
            wake_at = deadline if wake_at is None else min(wake_at, deadline)
        timeout_ms = None if wake_at is None else poll_timeout_ms(wake_at, now)
        self._socket.poll(timeout_ms, zmq.POLLIN | zmq.POLLOUT if self._unsent else zmq.POLLIN)

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
        inbox = self._signals.get(signal.channel.key.channel_id)
        if inbox is not None and isinstance(signal, Answered | Failed | Item | Ended | Lost):
            inbox.append(signal)

    def _flush(self) -> None:
        self._unsent.extend(payload for _, payload in self._session.take_outgoing())
        try:
            while self._unsent:
                self._socket.send_multipart([b"", self._unsent[0]], zmq.NOBLOCK)
                self._unsent.popleft()
        except zmq.Again:
            # A server that has been away for a thousand messages; _wait() waits for room, too.
            pass


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
