"""The clients' side of the gateway's shell: the ROUTER, and replies for which it has no room yet.

It contains no policy: what arrives goes into the core, what the core commands goes out; a client
that is gone or full is reported to the core and costs nobody else anything.
Source of the socket options: measured with libzmq 4.3.5, see ``docs/architecture.md``.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Container

import zmq

from zeropool.gateway.binding import Port, bind, unlink_ipc
from zeropool.gateway.complaints import Report
from zeropool.gateway.connections import Connections, Offence
from zeropool.gateway.core import Gateway
from zeropool.gateway.unread import Unread
from zeropool.gateway.watch import Watch
from zeropool.shared.config import GatewaySettings
from zeropool.shared.poller import Pollable, Poller
from zeropool.shared.wire.records import Route

#: Messages taken from the clients before the first of them go to workers, which can then begin:
#: with 256, 64 calls in flight moved through gateway and workers as one block. With 64 in flight 8,
#: 16 and 32 give the same; with 256, 32 gives a tenth more than 16, and that a fifth more than 8.
MAX_DRAIN = 32
#: Messages that libzmq holds of one client, and for one client. It counts no bytes, so what it
#: holds must be little: what a client does not read is counted, and bounded, in `Unread`. With 256
#: calls in flight on one connection, 32 cost no more of the gateway's time for a call than 256, and
#: 16 cost 5 % more; replies, which come by the batch, cost 5 % more with 32 than with 64.
RECEIVE_HIGH_WATER = 32
SEND_HIGH_WATER = 64
#: libzmq drops a connection over its frame limit without a word; the configured limit, which
#: gives the caller a named error, must be met first.
FRAME_MARGIN_BYTES = 1024 * 1024
HANDSHAKE_TIMEOUT_MS = 5_000
KEEPALIVE_IDLE_S = 60
#: Frames of one message that are kept: more than lead back through any chain of devices.
MAX_FRAMES = 16
FLUSH_MS = 3_000
#: At the end, requests that libzmq has not handed over yet get so long to come, and all together.
LAST_REQUEST_MS = 100
LAST_REQUESTS_S = 1.0

# Plain integers: an operation on pyzmq's flags costs as much as a call into libzmq.
_NOBLOCK = int(zmq.NOBLOCK)
_NOBLOCK_MORE = int(zmq.NOBLOCK) | int(zmq.SNDMORE)
_SOURCE_FD = int(zmq.SRCFD)


class ClientPort:
    """The socket for clients."""

    def __init__(
        self,
        settings: GatewaySettings,
        core: Gateway,
        connections: Connections,
        report: Report,
        port: Port,
    ) -> None:
        self._settings = settings
        self._port = port
        self._core = core
        self._report = report
        self._unread = Unread(
            max_client_bytes=settings.max_unread_bytes,
            max_total_bytes=settings.max_held_bytes,
            max_wait_s=settings.max_unread_s,
        )
        self._watch = Watch(connections, self._shut_down, self._held_bytes)
        #: Clients that were given up while the present commands are carried out.
        self._gone: set[Route] = set()
        self._has_sent = False

    @property
    def has_unread(self) -> bool:
        """Replies wait for clients."""
        return bool(self._unread)

    @property
    def connections(self) -> int:
        """Number of open connections."""
        return len(self._watch.connections)

    # The socket

    def open(self, context: zmq.Context[zmq.Socket[bytes]], poller: Poller) -> None:
        """Bind.

        Raises:
            ConfigError: the endpoint cannot be bound.
        """
        self.socket = context.socket(zmq.ROUTER)
        self.socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self.socket.setsockopt(zmq.RCVHWM, RECEIVE_HIGH_WATER)
        self.socket.setsockopt(zmq.SNDHWM, SEND_HIGH_WATER)
        self.socket.setsockopt(
            zmq.MAXMSGSIZE, self._settings.max_request_bytes + FRAME_MARGIN_BYTES
        )
        self.socket.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_TIMEOUT_MS)
        self.socket.setsockopt(zmq.IPV6, 1)
        # A client whose host vanished gives its descriptor back.
        self.socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
        self.socket.setsockopt(zmq.TCP_KEEPALIVE_IDLE, KEEPALIVE_IDLE_S)
        self._watch.open(context, self.socket)
        bind(self.socket, self._settings.bind, "gateway.bind", self._port)
        self._watch.bound()
        poller.register(self.socket)
        poller.register(self._watch.monitor)
        self._poller = poller

    def close(self) -> None:
        """Send what is left, and close."""
        self._watch.close()
        self.socket.close(linger=FLUSH_MS)
        unlink_ipc(self._settings.bind)

    def step(self, ready: Container[Pollable], now: float) -> None:
        """Take what the poll has found."""
        if self._watch.monitor in ready:
            self._watch.take_events()
        if self.socket in ready:
            self._drain(now)
            if self._unread:
                self._send_to_hopeful(now)
        else:
            self._watch.took_all()

    def next_deadline(self) -> float:
        """When `tick` has something to do."""
        return min(self._unread.next_deadline(), self._watch.next_deadline())

    def tick(self, now: float) -> None:
        """Do what is due by now."""
        self._watch.tick(now)
        if now >= self._unread.next_deadline():
            self._retry_unread(now)

    # Incoming

    def _drain(self, now: float) -> None:
        receive = self.socket.recv
        take = self._core.client_message
        seen = self._watch.seen.add
        try:
            if self._watch.is_skipping and not self._watch.skip_message():
                return
            # A call that comes alone does not wait until it is known that no other comes with it.
            most = 1 if self._core.is_idle else MAX_DRAIN
            for _ in range(most):
                # Half the cost of recv_multipart. A ROUTER's message has at least two frames.
                frames = [receive(_NOBLOCK)]
                for _ in range(MAX_FRAMES):
                    frame = receive(_NOBLOCK, copy=False)
                    frames.append(frame.bytes)
                    if not frame.more:
                        try:  # noqa: SIM105 - `suppress` costs more than all the rest here
                            # Which connection it came by: 0.1 µs, and the watch needs nothing else.
                            seen(frame.get(_SOURCE_FD))
                        except zmq.ZMQError:
                            # libzmq cannot tell for a peer that speaks ZMTP 1 or 2.
                            pass
                        take(frames, now)
                        break
                else:
                    self._core.dropped["route_too_long"] += 1
                    if not self._watch.skip_message():
                        return
        except zmq.Again:
            self._poller.emptied(self.socket)
            self._watch.took_all()
        else:
            self._watch.took(most)

    def refuse_the_rest(self, carry_out: Callable[[], None], clock: Callable[[], float]) -> None:
        """Have the core answer what has arrived, until nothing more comes.

        The port stays open: to unbind it would end the connections that came in by it.
        """
        until = clock() + LAST_REQUESTS_S
        while (now := clock()) < until and (self.socket.poll(LAST_REQUEST_MS) or self.has_unread):
            self._drain(now)
            self._retry_unread(now)
            carry_out()

    # Outgoing

    def reply(self, route: Route, payload: bytes, now: float) -> None:
        """Send a reply, or keep it until its client reads."""
        if self._gone and route in self._gone:
            # What follows a gap would mislead: a stream's items have no numbers of their own.
            return
        if self._unread and self._unread.holds(route):
            self._keep_unread(route, payload, now)
            return
        try:
            self._send(route, payload)
        except zmq.Again:
            self._keep_unread(route, payload, now)
        except zmq.ZMQError as error:
            self._client_gone(route, error, now)

    def replied(self) -> None:
        """All replies of one turn were given: what is refused from here on is refused anew."""
        self._core.keeps(self._unread.held_bytes)
        if self._gone:
            self._gone.clear()
        if self._has_sent:
            self._has_sent = False
            self._poller.used(self.socket)

    def _send(self, route: Route, payload: bytes) -> None:
        # Half the cost of send_multipart. Only the first frame, the routing id, can fail.
        self._has_sent = True
        send = self.socket.send
        for frame in route:
            send(frame, _NOBLOCK_MORE)
        send(b"", _NOBLOCK_MORE)
        send(payload, _NOBLOCK)

    def _keep_unread(self, route: Route, payload: bytes, now: float) -> None:
        for given_up in self._unread.add(route, payload, now):
            self._give_up(given_up, now)

    def _send_to_hopeful(self, now: float) -> None:
        """Go on with clients that may have read: they need not wait for the next try."""
        for route in self._unread.hopeful():
            self._send_unread(route, now)

    def _retry_unread(self, now: float) -> None:
        for route in self._unread.take_due(now):
            if not self._send_unread(route, now) and not self._unread.full(route, now):
                self._give_up(route, now)

    def _send_unread(self, route: Route, now: float) -> bool:
        """Send what waits for a client; False where it takes no more."""
        try:
            while (payload := self._unread.first(route)) is not None:
                self._send(route, payload)
                self._unread.sent(route, now)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            self._client_gone(route, error, now)
        return True

    def _give_up(self, route: Route, now: float) -> None:
        self._report("client_unread", "client does not read its replies", {})
        self._gone.add(route)
        self._core.client_unreachable(route, now)

    def _client_gone(self, route: Route, error: zmq.ZMQError, now: float) -> None:
        if error.errno != errno.EHOSTUNREACH:
            raise error
        self._unread.forget(route)
        self._core.client_unreachable(route, now)

    # The watch

    def _shut_down(self, offence: Offence, peer: str) -> None:
        self._report(offence.value, "client shut out", {"peer": peer or "local"})

    def _held_bytes(self) -> int:
        return self._core.budget.held_bytes
