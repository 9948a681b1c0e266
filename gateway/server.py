"""The gateway's shell: sockets, clock, signals and the log. It contains no policy.

One thread, one poll. What arrives goes into the core, what the core commands goes out; a full or
vanished peer is reported to the core and costs nobody else anything.
Source of the socket options: measured with libzmq 4.3.5, see ``docs/architecture.md``.
"""

from __future__ import annotations

import errno
import logging
import math
import secrets
import select
import signal
import time
from collections.abc import Callable
from importlib import metadata

import zmq

from zeropool.gateway.binding import bind, unlink_ipc
from zeropool.gateway.commands import Command, Connect, Disconnect, Log, Note, Reply, Tell
from zeropool.gateway.core import Gateway
from zeropool.gateway.limits import Limits
from zeropool.gateway.link import WorkerLink
from zeropool.gateway.unread import RETRY_INTERVAL_S, Unread
from zeropool.shared.config import Config
from zeropool.shared.logs import fields
from zeropool.shared.polling import poll_timeout_ms
from zeropool.shared.signals import Signals
from zeropool.shared.wire.channel import Route

log = logging.getLogger("zeropool.gateway")

#: Messages taken from the clients before the first of them go to workers, which can then begin:
#: with 256, 64 calls in flight moved through gateway and workers as one block.
MAX_CLIENT_DRAIN = 16
#: Messages taken from the workers before others get their turn; each holds a batch of results.
MAX_RESULT_DRAIN = 16
#: Messages that libzmq holds of one client, and for one client. It counts no bytes, so what it
#: holds must be little: what a client does not read is counted, and bounded, in `Unread`.
RECEIVE_HIGH_WATER = 256
SEND_HIGH_WATER = 64
#: libzmq drops a connection over its frame limit without a word; the configured limit, which
#: gives the caller a named error, must be met first.
FRAME_MARGIN_BYTES = 1024 * 1024
HANDSHAKE_TIMEOUT_MS = 5_000
KEEPALIVE_IDLE_S = 60
#: A socket per worker and its monitor; libzmq's default is 1,023.
MAX_SOCKETS = 16_384
FLUSH_MS = 3_000

# Plain integers: an operation on pyzmq's flags costs as much as a call into libzmq.
_NOBLOCK = int(zmq.NOBLOCK)
_NOBLOCK_MORE = int(zmq.NOBLOCK) | int(zmq.SNDMORE)


class Server:
    """One gateway process."""

    def __init__(
        self,
        config: Config,
        workers_endpoint: str,
        *,
        ignored: tuple[signal.Signals, ...] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        settings = config.gateway
        self._settings = settings
        self._workers_endpoint = workers_endpoint
        self._clock = clock
        self._signals = Signals((signal.SIGTERM, signal.SIGINT, signal.SIGQUIT), ignored=ignored)
        self._core = Gateway(
            settings.name,
            metadata.version("zeropool"),
            secrets.token_hex(8),
            Limits(
                max_request_bytes=settings.max_request_bytes,
                max_reply_bytes=settings.max_reply_bytes,
                max_held_bytes=settings.max_held_bytes,
                max_unread_bytes=settings.max_unread_bytes,
                max_attempts=settings.max_attempts,
                startup_grace_s=settings.startup_grace_s,
                stream_idle_s=settings.stream_idle_s,
            ),
            now=clock(),
        )
        self._unread = Unread(settings.max_unread_bytes)
        self._retry_at = math.inf
        self._stop_at = math.inf
        #: Clients that were given up while the present commands are carried out.
        self._gone: set[Route] = set()
        self._links: dict[str, WorkerLink] = {}
        self._links_by_fd: dict[int, WorkerLink] = {}

    def run(self) -> None:
        """Serve until a signal ends it.

        Raises:
            ConfigError: an endpoint cannot be bound.
        """
        self._open()
        try:
            while not self._is_finished():
                self._step()
        finally:
            self._close()

    # Sockets

    def _open(self) -> None:
        self._signals.open()
        self._context = zmq.Context()
        self._context.set(zmq.MAX_SOCKETS, MAX_SOCKETS)
        self._clients = self._context.socket(zmq.ROUTER)
        self._clients.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._clients.setsockopt(zmq.RCVHWM, RECEIVE_HIGH_WATER)
        self._clients.setsockopt(zmq.SNDHWM, SEND_HIGH_WATER)
        self._clients.setsockopt(
            zmq.MAXMSGSIZE, self._settings.max_request_bytes + FRAME_MARGIN_BYTES
        )
        self._clients.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_TIMEOUT_MS)
        self._clients.setsockopt(zmq.IPV6, 1)
        # A client whose host vanished gives its descriptor back.
        self._clients.setsockopt(zmq.TCP_KEEPALIVE, 1)
        self._clients.setsockopt(zmq.TCP_KEEPALIVE_IDLE, KEEPALIVE_IDLE_S)
        self._results = self._context.socket(zmq.PULL)
        # A worker's unread results are bounded by its credit.
        self._results.setsockopt(zmq.RCVHWM, 0)
        self._results.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_TIMEOUT_MS)
        self._results.setsockopt(zmq.IPV6, 1)
        # First the clients' port: where it is taken, the other gateway keeps its workers too.
        bind(self._clients, self._settings.bind, "gateway.bind")
        bind(self._results, self._workers_endpoint, "gateway.workers_bind")
        self._link_events = select.epoll()
        self._poller = zmq.Poller()
        self._poller.register(self._clients, zmq.POLLIN)
        self._poller.register(self._results, zmq.POLLIN)
        self._poller.register(self._link_events.fileno(), zmq.POLLIN)
        self._poller.register(self._signals.fileno(), zmq.POLLIN)
        log.info(
            "listening",
            extra=fields(clients=self._settings.bind, workers=self._workers_endpoint),
        )

    def _close(self) -> None:
        for worker_id in list(self._links):
            self._disconnect(worker_id)
        self._clients.close(linger=FLUSH_MS)
        self._results.close(linger=0)
        self._context.term()
        self._link_events.close()
        for endpoint in (self._settings.bind, self._workers_endpoint):
            unlink_ipc(endpoint)
        self._signals.close()
        log.info("stopped", extra=fields(unanswered=self._core.dispatcher.open_calls))

    # The loop

    def _step(self) -> None:
        ready = dict(self._poller.poll(self._timeout_ms()))
        now = self._clock()
        if self._signals.fileno() in ready:
            self._take_signals(now)
        if self._results in ready:
            self._drain_results(now)
        if self._link_events.fileno() in ready:
            self._take_link_events(now)
        if self._clients in ready:
            self._drain_clients(now)
        self._core.tick(now)
        if now >= self._retry_at:
            self._retry_unread(now)
        self._carry_out(now)

    def _timeout_ms(self) -> int:
        deadline = min(self._core.next_deadline(), self._retry_at, self._stop_at)
        return poll_timeout_ms(deadline, self._clock())

    def _drain_clients(self, now: float) -> None:
        receive = self._clients.recv
        take = self._core.client_message
        try:
            for _ in range(MAX_CLIENT_DRAIN):
                # Half the cost of recv_multipart. A ROUTER's message has at least two frames.
                frames, has_more = [receive(_NOBLOCK)], True
                while has_more:
                    frame = receive(_NOBLOCK, copy=False)
                    frames.append(frame.bytes)
                    has_more = frame.more
                take(frames, now)
        except zmq.Again:
            pass

    def _drain_results(self, now: float) -> None:
        try:
            for _ in range(MAX_RESULT_DRAIN):
                frames = self._results.recv_multipart(zmq.NOBLOCK)
                for frame in frames:
                    self._core.worker_message(frame, now)
        except zmq.Again:
            pass

    def _take_link_events(self, now: float) -> None:
        for fd, _ in self._link_events.poll(0):
            link = self._links_by_fd.get(fd)
            if link is not None:
                self._tell_core(link, now)

    def _tell_core(self, link: WorkerLink, now: float) -> None:
        for event in link.events():
            if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self._core.worker_connected(link.worker_id, now)
            else:
                self._core.worker_disconnected(link.worker_id)

    # Commands

    def _carry_out(self, now: float) -> None:
        while commands := self._core.take_commands(now):
            for command in commands:
                if type(command) is Reply:
                    self._reply(command.route, command.payload, now)
                else:
                    self._do(command)
            self._gone.clear()

    def _do(self, command: Command) -> None:
        match command:
            case Tell():
                self._tell(command.worker_id, command.frame)
            case Connect():
                self._connect(command.worker_id, command.endpoint)
            case Disconnect():
                self._disconnect(command.worker_id)
            case Log():
                _log_note(command)

    def _reply(self, route: Route, payload: bytes, now: float) -> None:
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

    def _send(self, route: Route, payload: bytes) -> None:
        # Half the cost of send_multipart. Only the first frame, the routing id, can fail.
        send = self._clients.send
        for frame in route:
            send(frame, _NOBLOCK_MORE)
        send(b"", _NOBLOCK_MORE)
        send(payload, _NOBLOCK)

    def _keep_unread(self, route: Route, payload: bytes, now: float) -> None:
        if self._unread.add(route, payload):
            self._retry_at = min(self._retry_at, now + RETRY_INTERVAL_S)
            return
        log.warning(
            "client does not read its replies",
            extra=fields(max_unread_bytes=self._settings.max_unread_bytes),
        )
        self._gone.add(route)
        self._core.client_unreachable(route, now)

    def _retry_unread(self, now: float) -> None:
        for route in self._unread.routes():
            try:
                while (payload := self._unread.first(route)) is not None:
                    self._send(route, payload)
                    self._unread.sent(route)
            except zmq.Again:
                continue
            except zmq.ZMQError as error:
                self._client_gone(route, error, now)
        self._retry_at = now + RETRY_INTERVAL_S if self._unread else math.inf

    def _client_gone(self, route: Route, error: zmq.ZMQError, now: float) -> None:
        if error.errno != errno.EHOSTUNREACH:
            raise error
        self._unread.forget(route)
        self._core.client_unreachable(route, now)

    def _tell(self, worker_id: str, frame: bytes) -> None:
        link = self._links.get(worker_id)
        if link is None:
            return
        try:
            link.send(frame)
        except zmq.Again:
            # The connection broke a moment ago; the ledger gives what it had to another.
            self._core.worker_disconnected(worker_id)

    def _connect(self, worker_id: str, endpoint: str) -> None:
        try:
            link = WorkerLink(self._context, worker_id)
            self._links[worker_id] = link
            self._links_by_fd[link.fileno()] = link
            self._link_events.register(link.fileno(), select.EPOLLIN)
            link.connect(endpoint)
        except zmq.ZMQError as error:
            log.warning(
                "worker cannot be reached",
                extra=fields(worker=worker_id, endpoint=endpoint, error=error.strerror),
            )
            self._core.worker_disconnected(worker_id)

    def _disconnect(self, worker_id: str) -> None:
        link = self._links.pop(worker_id, None)
        if link is None:
            return
        self._link_events.unregister(link.fileno())
        del self._links_by_fd[link.fileno()]
        link.close()

    # The end

    def _take_signals(self, now: float) -> None:
        for arrived in self._signals.take():
            if arrived is signal.SIGTERM and self._stop_at == math.inf:
                log.info(
                    "draining",
                    extra=fields(
                        open_calls=self._core.dispatcher.open_calls, drain_s=self._settings.drain_s
                    ),
                )
                self._core.drain()
                self._stop_at = now + self._settings.drain_s
            else:
                self._core.drain()
                self._stop_at = now

    def _is_finished(self) -> bool:
        if self._stop_at == math.inf:
            return False
        now = self._clock()
        if now >= self._stop_at:
            self._core.abandon()
            self._carry_out(now)
            return True
        return self._core.is_drained and not self._unread


def _log_note(command: Log) -> None:
    level = logging.WARNING if command.note in _BAD_NEWS else logging.INFO
    log.log(level, command.note.value, extra=fields(**command.fields))


_BAD_NEWS = frozenset((Note.WORKER_LOST, Note.WORKER_REFUSED))
