"""A worker's shell: sockets, clock, signals, the hard limit and the log. It contains no policy.

One thread: it takes what has arrived, lets the batcher choose, runs the batch, sends the results.
While a model computes, libzmq's thread keeps the connections alive.
"""

from __future__ import annotations

import faulthandler
import logging
import math
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import zmq
from zmq.utils.monitor import recv_monitor_message

from zeropool.shared import endpoints, jobs
from zeropool.shared.config import WorkerSettings
from zeropool.shared.errors import ConfigError, ProtocolError
from zeropool.shared.logs import fields
from zeropool.shared.model import ModelInfo
from zeropool.shared.polling import poll_timeout_ms
from zeropool.shared.signals import Signals
from zeropool.workers.batcher import Batch, Batcher, BatchLimits
from zeropool.workers.models import LoadedModel
from zeropool.workers.registration import Registration
from zeropool.workers.runner import Runner

log = logging.getLogger("zeropool.worker")

#: Messages taken before the next batch starts.
MAX_DRAIN = 256
#: Batches that a worker wants to hold: one to run, one to run next.
CREDIT_BATCHES = 2
#: Results that are still on their way when a worker ends get this long.
FLUSH_MS = 3_000
RECONNECT_MS = 50
#: About five seconds of registering without an answer are worth a line in the log.
UNHEARD_AFTER_TRIES = 7
MAX_RECONNECT_MS = 1_000


class GatewayLink:
    """The connection to one gateway: a PUSH socket for everything that the worker says."""

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str, *, now: float
    ) -> None:
        self.endpoint = endpoint
        self.registration = Registration(now=now)
        self._push = context.socket(zmq.PUSH)
        # Only to a gateway that is there: what a dead one did not get, no other can use.
        self._push.setsockopt(zmq.IMMEDIATE, 1)
        self._push.setsockopt(zmq.SNDHWM, 0)
        self._push.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
        self._push.setsockopt(zmq.RECONNECT_IVL_MAX, MAX_RECONNECT_MS)
        self.monitor = self._push.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
        self._push.connect(endpoint)

    def take_connected(self) -> bool:
        """Tell whether the connection has come up since the last call."""
        came_up = False
        while int(self.monitor.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            recv_monitor_message(self.monitor, zmq.NOBLOCK)
            came_up = True
        return came_up

    def send(self, message: jobs.FromWorker) -> None:
        """Send a message; without a gateway it is dropped, as nobody could use it."""
        try:
            self._push.send(jobs.encode(message), zmq.NOBLOCK)
        except zmq.Again:
            log.debug("no gateway", extra=fields(endpoint=self.endpoint))

    def close(self, linger_ms: int) -> None:
        """Close after what was sent has left, or ``linger_ms``."""
        self._push.disable_monitor()
        self.monitor.close()
        self._push.close(linger=linger_ms)


class Callers:
    """Who is connected to the socket for jobs: the gateways, as a rule."""

    def __init__(self, jobs_socket: zmq.Socket[bytes]) -> None:
        self._socket = jobs_socket
        self._descriptors: set[int] = set()
        self.monitor = jobs_socket.get_monitor_socket(zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED)

    def take_events(self) -> None:
        """Take note of who came and went since the last call."""
        while int(self.monitor.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            event = recv_monitor_message(self.monitor, zmq.NOBLOCK)
            if event["event"] == zmq.EVENT_ACCEPTED:
                self._descriptors.add(event["value"])
            else:
                self._descriptors.discard(event["value"])

    def wait_until_gone(self, until: float, clock: Callable[[], float]) -> None:
        """Wait until nobody is connected, at most until then."""
        self.take_events()
        while self._descriptors and self.monitor.poll(poll_timeout_ms(until, clock())):
            self.take_events()

    def close(self) -> None:
        """Watch no longer."""
        self._socket.disable_monitor()
        self.monitor.close()


class Worker:
    """One worker process with its loaded models."""

    def __init__(  # noqa: PLR0913 - the whole of what a worker is given
        self,
        models: Sequence[LoadedModel],
        settings: WorkerSettings,
        gateways: Sequence[str],
        runtime_dir: Path,
        *,
        on_welcome: Callable[[list[ModelInfo]], None] = lambda _: None,
        ignored: tuple[signal.Signals, ...] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.worker_id = secrets.token_hex(8)
        self._infos = [model.info for model in models]
        self._runner = Runner(models, arm=_arm)
        self._batcher = Batcher(
            {
                # Without predict_batch, company would only hold up the first one's result.
                info.qualified_name: BatchLimits(info.max_batch_size, info.max_wait_s)
                if info.batches
                else BatchLimits(1, 0.0)
                for info in self._infos
            }
        )
        self._settings = settings
        self._gateways = gateways
        self._runtime_dir = runtime_dir
        self._on_welcome = on_welcome
        self._clock = clock
        self._signals = Signals((signal.SIGTERM, signal.SIGINT, signal.SIGQUIT), ignored=ignored)
        self._links: list[GatewayLink] = []
        self._is_ending = False
        self._beat_at = -math.inf
        self._flush_until = math.inf

    def run(self) -> None:
        """Work until a signal or a gateway ends it.

        Raises:
            ConfigError: the endpoint for jobs cannot be bound.
        """
        self._open()
        try:
            while not self._is_ending:
                self._step()
            # Not after an exception: to a gateway that hears a goodbye, nothing had been started,
            # and what ended this worker would end one after the other without any limit.
            self._say_goodbye()
        finally:
            self._close()

    # Sockets

    def _open(self) -> None:
        self._signals.open()
        # The kernel ends a process whose predict passes its hard limit, even one that holds the
        # interpreter; before that, the stack of every thread goes to the log.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        faulthandler.register(signal.SIGALRM, file=sys.stderr, all_threads=True, chain=True)
        self._context = zmq.Context()
        self._jobs = self._context.socket(zmq.PULL)
        # The gateways bound what they send by our credit.
        self._jobs.setsockopt(zmq.RCVHWM, 0)
        self._jobs.setsockopt(zmq.IPV6, 1)
        wanted = self._settings.bind or self._default_endpoint()
        try:
            self._jobs.bind(wanted)
        except zmq.ZMQError as error:
            raise ConfigError(f"worker.bind = {wanted!r}: cannot bind: {error.strerror}") from error
        self._endpoint = self._jobs.getsockopt_string(zmq.LAST_ENDPOINT)
        self._callers = Callers(self._jobs)
        self._poller = zmq.Poller()
        self._poller.register(self._jobs, zmq.POLLIN)
        self._poller.register(self._callers.monitor, zmq.POLLIN)
        self._poller.register(self._signals.fileno(), zmq.POLLIN)
        now = self._clock()
        for endpoint in self._gateways:
            link = GatewayLink(self._context, endpoint, now=now)
            self._links.append(link)
            self._poller.register(link.monitor, zmq.POLLIN)

    def _default_endpoint(self) -> str:
        if all(isinstance(endpoints.parse(g), endpoints.Ipc) for g in self._gateways):
            return f"ipc://{self._runtime_dir}/worker-{self.worker_id}.ipc"
        return "tcp://127.0.0.1:*"

    def _say_goodbye(self) -> None:
        for gateway, returned in self._batcher.empty().items():
            self._send_results(
                gateway, jobs.Results(self.worker_id, gateway, self._return(returned))
            )
        self._flush_until = self._clock() + FLUSH_MS / 1000
        for link in self._links:
            link.send(jobs.Bye(self.worker_id))
        # A gateway takes the end of this socket for our death. So it has to read our goodbye, and
        # the results before it, and to hang up first.
        self._callers.wait_until_gone(self._flush_until, self._clock)

    def _close(self) -> None:
        _arm(0.0)
        until = min(self._flush_until, self._clock() + FLUSH_MS / 1000)
        for link in self._links:
            link.close(poll_timeout_ms(until, self._clock()))
        self._callers.close()
        self._jobs.close(linger=0)
        self._context.term()
        endpoint = endpoints.parse(self._endpoint)
        if isinstance(endpoint, endpoints.Ipc):
            Path(endpoint.path).unlink(missing_ok=True)
        self._signals.close()
        log.info("stopped", extra=fields(worker=self.worker_id))

    # The loop

    def _step(self) -> None:
        ready = dict(self._poller.poll(self._timeout_ms()))
        now = self._clock()
        if self._signals.fileno() in ready and self._signals.take():
            self._drain()
            return
        if self._jobs in ready:
            self._take_messages(now)
        if self._callers.monitor in ready:
            self._callers.take_events()
        for link in self._links:
            if link.monitor in ready and link.take_connected():
                link.registration.connected(now)
        self._register_where_due(now)
        batch = self._batcher.next_batch(now)
        if batch is not None:
            self._run(batch)
        elif now >= self._beat_at:
            self._beat(now)

    def _timeout_ms(self) -> int:
        deadline = min(link.registration.next_deadline() for link in self._links)
        due_at = self._batcher.next_deadline()
        if due_at is not None:
            deadline = min(deadline, due_at)
        deadline = min(deadline, self._beat_at)
        return poll_timeout_ms(deadline, self._clock())

    def _take_messages(self, now: float) -> None:
        try:
            for _ in range(MAX_DRAIN):
                self._take_message(self._jobs.recv(zmq.NOBLOCK), now)
        except zmq.Again:
            pass

    def _take_message(self, frame: bytes, now: float) -> None:
        try:
            message = jobs.decode_from_gateway(frame)
        except ProtocolError as error:
            log.warning("dropped a message", extra=fields(reason=error))
            return
        link = self._link_to(message)
        if link is None:
            return
        link.registration.heard(message.gateway, now)
        match message:
            case jobs.Jobs():
                self._take_jobs(message, now)
            case jobs.Cancel():
                cancelled = self._batcher.cancel(message.gateway, set(message.job_ids))
                self._send_returned(message.gateway, cancelled)
            case jobs.Welcome():
                self._welcomed(link, message, now)
            case jobs.Drain():
                self._drain()

    def _link_to(self, message: jobs.FromGateway) -> GatewayLink | None:
        if isinstance(message, jobs.Welcome):
            return self._links[message.link] if 0 <= message.link < len(self._links) else None
        for link in self._links:
            if link.registration.is_welcomed and link.registration.gateway == message.gateway:
                return link
        return None

    def _welcomed(self, link: GatewayLink, message: jobs.Welcome, now: float) -> None:
        is_first = not any(other.registration.is_welcomed for other in self._links)
        replaced = link.registration.welcomed(message.gateway, now)
        if replaced:
            # That incarnation is gone, and its jobs mean nothing to the new one.
            self._batcher.forget_gateway(replaced)
        if is_first:
            log.info(
                "ready",
                extra=fields(
                    worker=self.worker_id,
                    gateway=link.endpoint,
                    models=[info.qualified_name for info in self._infos],
                ),
            )
            self._on_welcome(self._infos)

    def _take_jobs(self, message: jobs.Jobs, now: float) -> None:
        foreign = [job for job in message.jobs if not self._batcher.holds(job.model)]
        for job in message.jobs:
            if self._batcher.holds(job.model):
                self._batcher.add(message.gateway, job, now)
        self._send_returned(message.gateway, foreign)

    def _register_where_due(self, now: float) -> None:
        for index, link in enumerate(self._links):
            if link.registration.must_register(now):
                link.send(self._registration_message(index))
                if link.registration.tries == UNHEARD_AFTER_TRIES:
                    log.warning("no gateway answers", extra=fields(endpoint=link.endpoint))

    def _registration_message(self, link: int) -> jobs.Register:
        rows = max(info.max_batch_size for info in self._infos)
        return jobs.Register(
            self.worker_id,
            jobs.PROTOCOL_VERSION,
            link,
            self._endpoint,
            CREDIT_BATCHES * rows,
            os.getpid(),
            socket.gethostname(),
            self._infos,
        )

    def _run(self, batch: Batch) -> None:
        started_at = self._clock()
        results = self._runner.run(batch)
        _arm(0.0)
        ended_at = self._clock()
        self._send_results(
            batch.gateway,
            jobs.Results(
                self.worker_id,
                batch.gateway,
                results,
                batch.model,
                sum(job.rows for job in batch.jobs),
                ended_at - started_at,
            ),
        )
        self._beat_at = ended_at + jobs.BEAT_INTERVAL_S

    def _send_results(self, gateway: str, message: jobs.Results) -> None:
        for link in self._links:
            if link.registration.gateway == gateway:
                link.send(message)
                return

    def _send_returned(self, gateway: str, returned: list[jobs.Job]) -> None:
        if returned:
            self._send_results(
                gateway, jobs.Results(self.worker_id, gateway, self._return(returned))
            )

    def _return(self, returned: list[jobs.Job]) -> list[jobs.Result]:
        return self._runner.returned(returned)

    def _beat(self, now: float) -> None:
        self._beat_at = now + jobs.BEAT_INTERVAL_S
        for link in self._links:
            if link.registration.is_welcomed:
                link.send(jobs.WorkerBeat(self.worker_id))

    def _drain(self) -> None:
        log.info("draining", extra=fields(worker=self.worker_id, not_started=len(self._batcher)))
        for link in self._links:
            link.send(jobs.Draining(self.worker_id))
        self._is_ending = True


def _arm(limit_s: float) -> None:
    """Have the kernel end this process in ``limit_s`` seconds; 0 calls it off."""
    signal.setitimer(signal.ITIMER_REAL, limit_s)
