"""A worker's shell: sockets, clock, signals, the hard limit and the log. It contains no policy.

One thread: it takes what has arrived, lets the core choose, runs the batch, sends the results.
"""

from __future__ import annotations

import logging
import math
import os
import secrets
import select
import signal
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from zeropool.shared import endpoints
from zeropool.shared.complaints import Complaints
from zeropool.shared.config import WorkerSettings
from zeropool.shared.jobs import Job
from zeropool.shared.logs import fields
from zeropool.shared.model import ModelInfo
from zeropool.shared.polling import poll_timeout_ms
from zeropool.shared.signals import Signals
from zeropool.shared.trail import log_to_gateway, log_to_worker
from zeropool.workers.alarm import Alarm
from zeropool.workers.batcher import Batch
from zeropool.workers.commands import Log, Note, Ready, Send
from zeropool.workers.core import Identity, WorkerCore
from zeropool.workers.job_port import JobPort
from zeropool.workers.link import GatewayLinks
from zeropool.workers.loaded_model import LoadedModel
from zeropool.workers.mishaps import Mishaps
from zeropool.workers.runner import Runner
from zeropool.workers.wear import Wear

log = logging.getLogger("zeropool.worker")

#: News may lie in the sockets for so long while there is work: two looks cost 60 µs of each call.
MAX_UNSEEN_S: Final = 0.010
#: A message that has come in part is waited for before the next batch: else it would come by a part
#: a batch.
MAX_FINISH_S: Final = 0.1
MIN_FINISH_S: Final = 0.001
#: Results that are still on their way when a worker ends get this long.
FLUSH_S: Final = 3.0
#: The same for one that was told twice.
QUICK_FLUSH_S: Final = 0.25
#: Between two looks at the own memory, each of which costs some 20 µs.
WEIGH_INTERVAL_S: Final = 1.0
#: The part of `max_requests` that is drawn by lot on top, so that not all are due at once.
MAX_REQUESTS_JITTER: Final = 0.1
MIB: Final = 1024 * 1024


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
        self._alarm = Alarm(clock)
        self._mishaps = Mishaps()
        self._has_mishaps = False
        self._runner = Runner(models, arm=self._alarm.arm, on_failure=self._add_mishap)
        self._is_traced = log.isEnabledFor(logging.DEBUG)
        self._settings = settings
        self._gateways = gateways
        self._runtime_dir = runtime_dir
        self._on_welcome = on_welcome
        self._clock = clock
        self._signals = Signals(
            (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT), ignored=ignored, at_once=self._told
        )
        self._is_told = False
        self._links = GatewayLinks(gateways, self.worker_id)
        self._jobs = JobPort(
            settings.bind or self._default_endpoint(), self._take_message, self._report
        )
        self._complaints = Complaints()
        #: What the last batch took.
        self._batch_s = 0.0
        self._flush_until = math.inf
        self._weigh_at = -math.inf if settings.max_rss_mb else math.inf

    def run(self) -> None:
        """Work until a signal or a gateway ends it.

        Raises:
            ConfigError: the endpoint for jobs cannot be bound.
        """
        self._open()
        try:
            # An exception ends it without a goodbye: to a gateway that hears one, nothing had been
            # started, and what ended this worker would end one after the other without any limit.
            while not self._is_finished():
                self._step()
        finally:
            self._close()

    # Sockets

    def _open(self) -> None:
        self._alarm.open()
        self._signals.open()
        self._epoll = select.epoll()
        self._signals_fd = self._signals.fileno()
        self._epoll.register(self._signals_fd, select.EPOLLIN)
        self._jobs.open(self._epoll)
        endpoint = self._jobs.endpoint
        identity = Identity(self.worker_id, endpoint, os.getpid(), socket.gethostname())
        self._core = WorkerCore(
            identity,
            self._infos,
            self._gateways,
            now=self._clock(),
            wear=Wear(
                _with_jitter(self._settings.max_requests),
                self._settings.max_rss_mb * MIB,
                first_rss_bytes=_rss_bytes(),
            ),
        )
        self._links.open(self._epoll)
        log.info("listening", extra=fields(worker=self.worker_id, jobs=endpoint))

    def _default_endpoint(self) -> str:
        if all(isinstance(endpoints.parse(g), endpoints.Ipc) for g in self._gateways):
            return f"ipc://{self._runtime_dir}/worker-{self.worker_id}.ipc"
        return "tcp://127.0.0.1:*"

    def _is_finished(self) -> bool:
        """It has said goodbye, and every gateway has hung up.

        A gateway takes the end of its connection to us for our death. So it has to read our
        goodbye, and the results before it, and to hang up first.
        """
        if not self._core.is_ending:
            return False
        if self._flush_until == math.inf:
            self._flush_until = self._clock() + FLUSH_S
        return not self._jobs.has_callers or self._clock() >= self._flush_until

    def _close(self) -> None:
        self._alarm.disarm()
        self._links.close(min(self._flush_until, self._clock() + FLUSH_S), self._clock)
        self._jobs.close()
        self._epoll.close()
        self._signals.close()
        log.info("stopped", extra=fields(worker=self.worker_id))

    # The loop

    def _step(self) -> None:
        # Two by two: of more at once, each would become an object first.
        due_at = min(self._core.next_deadline(), self._links.next_deadline())
        due_at = min(due_at, self._jobs.next_deadline())
        due_at = min(due_at, min(self._flush_until, self._weigh_at))  # noqa: PLW3301 - as above
        timeout_s = poll_timeout_ms(due_at, self._clock()) / 1000
        ready = {fd for fd, _ in self._epoll.poll(timeout_s)}
        now = self._clock()
        if self._signals_fd in ready and self._signals.take():
            self._end(now)
        self._jobs.step(ready, now)
        self._jobs.flush(now)
        if self._links.fileno() in ready:
            came_up = self._links.step(now)
            self._tell_ends()
            for number in came_up:
                self._core.connected(number, now)
        if now >= self._weigh_at:
            self._weigh_at = now + WEIGH_INTERVAL_S
            self._core.wear.weighs(_rss_bytes())
        if now >= due_at:
            self._links.tick(now)
            self._jobs.tick(now)
            self._core.tick(now)
        self._carry_out()
        self._tell_ends()
        if self._jobs.is_amid_message and len(self._core.batcher):
            # As long as the last batch at most: so whoever never ends cannot do more harm.
            longest_s = min(MAX_FINISH_S, max(self._batch_s, MIN_FINISH_S))
            self._jobs.finish_message(now + longest_s, self._clock)
        batch = self._core.next_batch(now)
        if batch is not None:
            self._run(batch)
            self._run_full_batches(now + MAX_UNSEEN_S)

    def _tell_ends(self) -> None:
        for number in self._links.take_ends():
            self._core.disconnected(number)

    def _run_full_batches(self, until: float) -> None:
        """Go on with batches that nothing could join any more: to look for it can wait a bit."""
        while self._core.has_full_batch and not self._is_told and (now := self._clock()) < until:
            batch = self._core.next_batch(now)
            if batch is None:
                return
            self._run(batch)

    def _told(self) -> None:
        # Called while a batch may run: it has as long as a drain may take, or no time any more.
        self._alarm.cut(0.0 if self._is_told else self._settings.drain_s)
        self._is_told = True

    def _end(self, now: float) -> None:
        if self._core.is_ending:
            self._flush_until = min(self._flush_until, now + QUICK_FLUSH_S)
        self._core.drain()

    def _take_message(self, frame: bytes, now: float) -> None:
        if self._is_traced:
            log_to_worker(log, "job taken", frame, self.worker_id)
        self._core.message(frame, now)

    def _run(self, batch: Batch) -> None:
        started_at = self._clock()
        results = self._runner.run(batch)
        ended_at = self._clock()
        self._core.finished(batch, results, started_at=started_at, ended_at=ended_at)
        self._carry_out()
        # Only now, as somebody waits for what was sent.
        self._alarm.disarm()
        if self._has_mishaps:
            self._tell_mishaps(started_at)
        self._batch_s = ended_at - started_at
        self._jobs.was_away(self._batch_s)
        if self._links.is_blocked:
            self._links.wait(self._clock)

    def _add_mishap(self, job: Job, error: Exception, method: str) -> None:
        self._has_mishaps = True
        self._mishaps.add(job, error, method)

    def _tell_mishaps(self, now: float) -> None:
        self._has_mishaps = False
        for mishap in self._mishaps.take(now):
            told = msgspec.structs.asdict(mishap)
            log.warning("%s failed", told.pop("method"), extra=fields(**told))

    def _carry_out(self) -> None:
        for command in self._core.take_commands():
            match command:
                case Send():
                    self._send(command)
                case Log():
                    self._note(command)
                case Ready():
                    self._on_welcome(self._infos)

    def _send(self, command: Send) -> None:
        if self._is_traced:
            log_to_gateway(log, "result sent", command.frame)
        if not self._links.send(command.link, command.frame, self._clock()):
            # Without a gateway, nobody could use it.
            log.debug("no gateway", extra=fields(endpoint=self._gateways[command.link]))

    def _report(self, reason: str, text: str, about: dict[str, object]) -> None:
        """Something was wrong with a connection."""
        self._write(logging.WARNING, text, about | {"reason": reason})

    def _note(self, command: Log) -> None:
        level = logging.WARNING if command.note in _BAD_NEWS else logging.INFO
        about = command.fields
        if command.note is Note.NO_GATEWAY:
            error = self._links.failure(str(about["endpoint"]))
            about = about | ({"error": error} if error else {})
        self._write(level, command.note.value, about)

    def _write(self, level: int, text: str, about: dict[str, object]) -> None:
        told = self._complaints.told(text, about, self._clock())
        if told is not None:
            log.log(level, text, extra=fields(**told))


_BAD_NEWS: Final = frozenset((Note.NO_GATEWAY, Note.MALFORMED, Note.RESULTS_LOST, Note.BORN_LARGE))


def _with_jitter(max_requests: int) -> int:
    return max_requests + secrets.randbelow(int(max_requests * MAX_REQUESTS_JITTER) + 1)


def _rss_bytes() -> int:
    """What this process takes up in memory."""
    pages = int(Path("/proc/self/statm").read_bytes().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
