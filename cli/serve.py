"""`zeropool serve`: a gateway and its workers as children of one process.

The shell around `slots`: it spawns, watches, restarts and stops, and prints what the user needs
to know. It handles no calls itself, so nothing that happens to a call can take it down.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, TextIO

import msgspec
import multiprocess
from multiprocess import resource_tracker

from zeropool.cli.children import gateway_child, worker_child
from zeropool.cli.exits import EXIT_CONFIG
from zeropool.cli.slots import Slots
from zeropool.shared import endpoints
from zeropool.shared.config import DEFAULT_BIND, Config, client_endpoint
from zeropool.shared.errors import ConfigError
from zeropool.shared.examples import example_row
from zeropool.shared.logs import fields
from zeropool.shared.model import ModelInfo
from zeropool.shared.polling import poll_timeout_ms
from zeropool.shared.signals import Signals

log = logging.getLogger("zeropool.serve")

GATEWAY = "gateway"
#: Workers name their sockets by their ids.
WORKER_ID_CHARS = 16
#: What a stopping child needs beside its drain time: to flush, to close models.
STOP_MARGIN_S = 5.0
#: Ctrl-C is in a hurry.
QUICK_STOP_S = 2.0


class Serve:
    """The parent of one embedded fleet."""

    def __init__(
        self,
        config: Config,
        workers: int,
        out: TextIO,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._workers = [f"worker-{index}" for index in range(workers)]
        self._out = out
        self._clock = clock
        self._spawn_context = multiprocess.get_context("spawn")
        self._signals = Signals((signal.SIGTERM, signal.SIGINT, signal.SIGQUIT))
        self._processes: dict[str, Any] = {}  # multiprocess has no types
        self._ready_pipes: dict[str, Any] = {}
        self._awaited = set(self._workers)
        self._models: dict[str, ModelInfo] = {}
        self._exit_code: int | None = None
        self._is_hurried = False

    def run(self) -> int:
        """Serve until a signal ends it; return the exit code."""
        self._signals.open()
        self._slots = Slots([GATEWAY, *self._workers], now=self._clock())
        self._runtime_dir = Path(tempfile.mkdtemp(prefix="zeropool-"))
        try:
            self._check_paths()
            while self._exit_code is None:
                self._step()
        finally:
            self._stop_all()
            shutil.rmtree(self._runtime_dir, ignore_errors=True)
            self._signals.close()
        return self._exit_code

    @property
    def _endpoint(self) -> str:
        return self._config.gateway.workers_bind or f"ipc://{self._runtime_dir}/gateway.ipc"

    def _check_paths(self) -> None:
        longest = f"ipc://{self._runtime_dir}/worker-{'0' * WORKER_ID_CHARS}.ipc"
        try:
            endpoints.check(longest, endpoints.Use.BIND)
        except ValueError as error:
            raise ConfigError(
                f"temporary directory {self._runtime_dir}: too long for sockets in it ({error}); "
                "set TMPDIR to a shorter one"
            ) from error

    # The loop

    def _step(self) -> None:
        now = self._clock()
        for slot in self._slots.due(now):
            self._spawn(slot.name)
            slot.started(now)
        self._wait()
        for name in self._readable_pipes():
            self._take_ready(name)
        for arrived in self._signals.take():
            self._stop(arrived)
        for name, process in list(self._processes.items()):
            if not process.is_alive() and self._exit_code is None:
                self._take_death(name, process)

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self._signals.fileno(), select.POLLIN)
        for process in self._processes.values():
            poll.register(process.sentinel, select.POLLIN)
        for pipe in self._ready_pipes.values():
            poll.register(pipe.fileno(), select.POLLIN)
        deadline = self._slots.next_deadline()
        poll.poll(None if deadline is None else poll_timeout_ms(deadline, self._clock()))

    def _spawn(self, name: str) -> None:
        packed = msgspec.msgpack.encode(self._config)
        if name == GATEWAY:
            target: Callable[..., None] = gateway_child
            args: tuple[object, ...] = (os.getpid(), packed, self._endpoint)
        else:
            receiver, sender = self._spawn_context.Pipe(duplex=False)
            self._ready_pipes[name] = receiver
            target = worker_child
            index = self._workers.index(name)
            args = (os.getpid(), packed, index, self._endpoint, str(self._runtime_dir), sender)
        process = self._spawn_context.Process(target=target, args=args, name=name)
        # The child inherits the mask: a Ctrl-C must not end it before it has learnt to ignore it.
        # Starting the first child would start the tracker, which unblocks the signal.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        if name != GATEWAY:
            sender.close()
        self._processes[name] = process
        log.debug("started", extra=fields(child=name, pid=process.pid))

    def _readable_pipes(self) -> list[str]:
        return [name for name, pipe in self._ready_pipes.items() if pipe.poll()]

    def _take_ready(self, name: str) -> None:
        pipe = self._ready_pipes.pop(name)
        try:
            infos = msgspec.msgpack.decode(pipe.recv_bytes(), type=list[ModelInfo])
        except EOFError:
            return
        finally:
            pipe.close()
        self._slots[name].ready()
        self._models |= {info.qualified_name: info for info in infos}
        if name in self._awaited:
            self._awaited.discard(name)
            if not self._awaited:
                self._say_ready()

    def _take_death(self, name: str, process: Any) -> None:  # noqa: ANN401 - no types
        process.join()
        del self._processes[name]
        if process.exitcode == EXIT_CONFIG and self._awaited:
            # It has said why, and nothing has worked yet: the next one would say the same.
            self._exit_code = EXIT_CONFIG
            return
        wait_s = self._slots[name].died(self._clock())
        log.warning(
            "died",
            extra=fields(
                child=name,
                pid=process.pid,
                reason=_reason(process.exitcode),
                restart_after_s=round(wait_s, 2),
            ),
        )

    # What the user sees

    def _say_ready(self) -> None:
        config = self._config
        lines = [
            f"Zeropool {metadata.version('zeropool')} serves {config.gateway.bind}",
            *(
                f"  model    {info.qualified_name} {info.major_version}.{info.minor_version}"
                f" ({info.display_name})"
                for info in self._models.values()
            ),
            f"  workers  {len(self._workers)}, threads per worker {config.worker.threads}",
        ]
        info = next(iter(self._models.values()))
        example = shlex.quote(json.dumps(example_row(info.input_schema)))
        endpoint = client_endpoint(config)
        connect = "" if endpoint == DEFAULT_BIND else f"--connect {shlex.quote(endpoint)} "
        lines += [
            f"  try it   {_command()} call {connect}{info.qualified_name}_predict {example}",
            "  stop it  Ctrl-C",
        ]
        self._say("\n".join(lines))

    # The end

    def _stop(self, arrived: signal.Signals) -> None:
        self._exit_code = 0
        if arrived is not signal.SIGTERM:
            self._say("stopping")
            self._stop_children([GATEWAY, *self._workers], QUICK_STOP_S, signal.SIGQUIT)
            return
        self._say("draining, then stopping")
        # The gateway first: what it has accepted needs the workers.
        config = self._config
        self._stop_children([GATEWAY], config.gateway.drain_s + STOP_MARGIN_S, signal.SIGTERM)
        self._stop_children(self._workers, config.worker.drain_s + STOP_MARGIN_S, signal.SIGTERM)

    def _stop_children(self, names: list[str], patience_s: float, how: signal.Signals) -> None:
        stopping = [self._processes.pop(name) for name in names if name in self._processes]
        _send(how, stopping)
        end_at = self._clock() + (QUICK_STOP_S if self._is_hurried else patience_s)
        while (alive := [process for process in stopping if process.is_alive()]) and (
            (now := self._clock()) < end_at
        ):
            poll = select.poll()
            poll.register(self._signals.fileno(), select.POLLIN)
            for process in alive:
                poll.register(process.sentinel, select.POLLIN)
            poll.poll(poll_timeout_ms(end_at, now))
            if self._signals.take():
                # Who asks a second time does not want to wait for the drain.
                self._is_hurried = True
                end_at = min(end_at, self._clock() + QUICK_STOP_S)
                _send(signal.SIGQUIT, [*alive, *self._processes.values()])
        for process in stopping:
            if process.is_alive():
                log.warning("killed", extra=fields(child=process.name))
                process.kill()
            process.join()

    def _say(self, line: str) -> None:
        self._out.write(line + "\n")
        self._out.flush()

    def _stop_all(self) -> None:
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.join()
        for pipe in self._ready_pipes.values():
            pipe.close()


def _send(number: signal.Signals, processes: list[Any]) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)


def _command() -> str:
    """How the user of this process calls the command: by name, or by the path that was typed."""
    return "zeropool" if shutil.which("zeropool") else shlex.quote(sys.argv[0])


def _reason(exit_code: int) -> str:
    if exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        return signal.Signals(-exit_code).name
    except ValueError:
        return f"signal {-exit_code}"


def serve(config: Config) -> int:
    """Run the embedded fleet that a configuration describes; return the exit code."""
    cores = len(os.sched_getaffinity(0))
    return Serve(config, worker_count(config, cores), sys.stdout).run()


def worker_count(config: Config, cores: int) -> int:
    """The number of workers on ``cores`` cores; unless it is set, none that had no model."""
    count = config.worker.effective_count(cores)
    limits = [model.workers for model in config.models]
    if config.worker.count or not all(limits):
        return count
    return min(count, max(limits))
