"""The gateway's shell: one loop over signals, clients and workers. It contains no policy.

One thread, one poll. What arrives goes into the core, what the core commands goes out; the sockets
are in `clients` and `worker_port`.
"""

from __future__ import annotations

import contextlib
import logging
import math
import secrets
import select
import signal
import time
from collections.abc import Callable
from importlib import metadata
from typing import TYPE_CHECKING, Final

from zeropool.gateway.budget import UNREAD_PART
from zeropool.gateway.clients import ClientPort
from zeropool.gateway.commands import Command, Connect, Disconnect, Log, Note, Tell
from zeropool.gateway.core import Gateway
from zeropool.gateway.limits import Limits, most_connections
from zeropool.gateway.metrics import Snapshot, snapshot
from zeropool.gateway.reply import Reply
from zeropool.gateway.worker_port import WorkerPort
from zeropool.shared.complaints import Complaints
from zeropool.shared.config import Config
from zeropool.shared.descriptors import raise_limit
from zeropool.shared.logs import fields
from zeropool.shared.polling import poll_timeout_ms
from zeropool.shared.ports.connections import Connections
from zeropool.shared.ports.listening import Port
from zeropool.shared.signals import Signals

if TYPE_CHECKING:
    from zeropool.gateway.httpd import Httpd

log = logging.getLogger("zeropool.gateway")

#: To the worker port: one for what it says, and its pulse.
CONNECTIONS_OF_A_WORKER: Final = 2
#: Connections to the worker port beyond the workers themselves: those about to register or leave.
SPARE_WORKER_CONNECTIONS: Final = 64


class Server:
    """One gateway process."""

    def __init__(  # noqa: PLR0913 - the whole of what a gateway is given
        self,
        config: Config,
        workers_endpoint: str,
        *,
        least_models: int = 1,
        port: Port = Port.OWN,
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
                max_workers=settings.max_workers,
                startup_grace_s=settings.startup_grace_s,
                stream_idle_s=settings.stream_idle_s,
            ),
            now=clock(),
        )
        self._complaints = Complaints()
        self._least_models = least_models
        self._port = port
        self._http_bind = config.http.bind
        self._httpd: Httpd | None = None
        self._stop_at = math.inf
        #: When the next `_tick` has something to do.
        self._due_at = -math.inf

    def run(self) -> None:
        """Serve until a signal ends it.

        Raises:
            ConfigError: an endpoint cannot be bound.
        """
        self._open()
        try:
            while not self._is_finished():
                self._step()
            self._clients.refuse_the_rest(self._clock)
        finally:
            self._close()

    def _open(self) -> None:
        self._warn_of_large_replies()
        descriptors = raise_limit()
        self._make_ports(descriptors)
        self._signals.open()
        self._epoll = select.epoll()
        self._epoll.register(self._signals.fileno(), select.EPOLLIN)
        # What was opened before something cannot be is not left behind.
        with contextlib.ExitStack() as opened:
            # First the clients' port: where it is taken, the other gateway keeps its workers too.
            self._clients.open(self._epoll)
            opened.callback(self._clients.close, self._clock)
            self._workers.open(self._epoll)
            opened.callback(self._workers.close)
            if self._http_bind:
                self._open_http()
            opened.pop_all()
        log.info(
            "listening",
            extra=fields(
                clients=self._settings.bind,
                workers=self._workers_endpoint,
                max_connections=self._max_connections,
                gateway=self._core.incarnation,
            ),
        )

    def _open_http(self) -> None:
        # Whoever does not want it saves 5 MB.
        from zeropool.gateway.httpd import Httpd  # noqa: PLC0415

        self._httpd = Httpd(self._http_bind)
        self._httpd.open()
        self._epoll.register(self._httpd.fileno(), select.EPOLLIN)

    def _warn_of_large_replies(self) -> None:
        settings = self._settings
        if settings.max_reply_bytes > settings.max_held_bytes // UNREAD_PART:
            log.warning(
                "one client that does not read a reply can keep the others from being served",
                extra=fields(
                    max_reply_bytes=settings.max_reply_bytes,
                    max_held_bytes=settings.max_held_bytes,
                ),
            )

    def _make_ports(self, descriptors: int) -> None:
        settings = self._settings
        self._max_connections = most_connections(
            settings.max_connections, descriptors, settings.max_workers
        )
        if self._max_connections < settings.max_connections:
            log.warning(
                "too few file descriptors for max_connections",
                extra=fields(
                    max_connections=settings.max_connections,
                    descriptors=descriptors,
                    now=self._max_connections,
                ),
            )
        self._clients = ClientPort(
            settings,
            self._core,
            Connections(
                max_connections=self._max_connections,
                max_per_address=settings.max_connections_per_address,
            ),
            self._report,
            self._port,
            self._carry_out,
        )
        self._workers = WorkerPort(
            self._workers_endpoint,
            self._core,
            Connections(
                max_connections=CONNECTIONS_OF_A_WORKER * settings.max_workers
                + SPARE_WORKER_CONNECTIONS,
                max_per_address=0,
            ),
            self._report,
            max_reply_bytes=settings.max_reply_bytes,
            max_held_bytes=settings.max_held_bytes,
        )

    def _close(self) -> None:
        if self._httpd is not None:
            self._httpd.close()
        self._workers.close()
        self._clients.close(self._clock)
        self._epoll.close()
        self._signals.close()
        log.info("stopped", extra=fields(unanswered=self._core.dispatcher.open_calls))

    # The loop

    def _step(self) -> None:
        wake_at = min(self._due_at, self._stop_at)
        timeout_s = poll_timeout_ms(wake_at, self._clock()) / 1000
        ready = {fd for fd, _ in self._epoll.poll(timeout_s)}
        now = self._clock()
        if self._signals.fileno() in ready:
            self._take_signals(now)
        self._workers.step(ready, now)
        self._clients.step(ready, now)
        if now >= self._due_at:
            self._tick(now)
        self._carry_out()
        # Only now, as somebody waits for what was carried out.
        self._due_at = self._next_deadline()
        if now >= self._due_at:
            self._tick(now)
            self._carry_out()
            self._due_at = self._next_deadline()
        if self._httpd is not None and self._httpd.fileno() in ready:
            self._httpd.answer(self._snapshot)

    def _snapshot(self) -> Snapshot:
        connections = self._clients.connections
        return snapshot(self._core, connections=connections, least_models=self._least_models)

    def _tick(self, now: float) -> None:
        self._core.tick(now)
        self._workers.tick(now)
        self._clients.tick(now)

    def _next_deadline(self) -> float:
        of_ports = min(self._clients.next_deadline(), self._workers.next_deadline())
        return min(self._core.next_deadline(), of_ports)

    # Commands

    def _carry_out(self) -> None:
        now = self._clock()
        reply = self._clients.reply
        core = self._core
        while True:
            for command in core.take_commands(now):
                if type(command) is Reply:
                    reply(command.route, command.payload)
                elif type(command) is Tell:
                    self._workers.tell(command.worker_id, command.frame)
                else:
                    self._do(command, now)
            # First the jobs: others begin with them meanwhile.
            self._workers.flush(now)
            self._clients.flush(now)
            # Also where there was nothing to say.
            core.keeps(self._clients.unread_bytes, self._workers.unsent_bytes)
            if not core.has_news:
                return

    def _do(self, command: Command, now: float) -> None:
        match command:
            case Connect():
                self._workers.connect(command.worker_id, command.endpoint)
            case Disconnect():
                self._workers.disconnect(command.worker_id)
            case Log():
                level = logging.WARNING if command.note in _BAD_NEWS else logging.INFO
                self._write(level, command.note.value, command.fields, now)

    def _report(self, reason: str, text: str, about: dict[str, object]) -> None:
        """Something was dropped or somebody shut out: count it, and say so now and then."""
        self._core.dropped[reason] += 1
        self._write(logging.WARNING, text, about | {"reason": reason}, self._clock())

    def _write(self, level: int, text: str, about: dict[str, object], now: float) -> None:
        told = self._complaints.told(text, about, now)
        if told is not None:
            log.log(level, text, extra=fields(**told))

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
        if self._clock() >= self._stop_at:
            self._core.abandon()
            self._carry_out()
            return True
        return self._core.is_drained and not self._clients.has_unread


_BAD_NEWS: Final = frozenset((Note.WORKER_LOST, Note.WORKER_REFUSED))
