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

from zeropool.cli.children import EXIT_CONFIG, gateway_child, worker_child
from zeropool.cli.slots import Slots
from zeropool.shared.config import Config
from zeropool.shared.examples import example_row
from zeropool.shared.logs import fields
from zeropool.shared.model import ModelInfo
from zeropool.shared.polling import poll_timeout_ms
from zeropool.shared.signals import Signals

log = logging.getLogger("zeropool.serve")

GATEWAY = "gateway"
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
        self._slots = Slots([GATEWAY, *self._workers], now=clock())
        self._spawn_context = multiprocess.get_context("spawn")
        self._signals = Signals((signal.SIGTERM, signal.SIGINT, signal.SIGQUIT))
        self._processes: dict[str, Any] = {}  # multiprocess has no types
        self._ready_pipes: dict[str, Any] = {}
        self._awaited = set(self._workers)
        self._models: dict[str, ModelInfo] = {}
        self._exit_code: int | None = None

    def run(self) -> int:
        """Serve until a signal ends it; return the exit code."""
        self._signals.open()
        self._runtime_dir = Path(tempfile.mkdtemp(prefix="zeropool-"))
        try:
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
        poll.poll(
            None if deadline is None else poll_timeout_ms(deadline, self._clock())
        )

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
        process.start()
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
        self._models |= {info.qualified_name: info for info in infos}
        if name in self._awaited:
            self._awaited.discard(name)
            if not self._awaited:
                self._say_ready()

    def _take_death(self, name: str, process: Any) -> None:  # noqa: ANN401 - no types
        process.join()
        del self._processes[name]
        if process.exitcode == EXIT_CONFIG:
            # It has said why; the next one would say the same.
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
            f"  workers  {len(self._workers)}, {config.worker.threads} thread each",
        ]
        info = next(iter(self._models.values()))
        example = json.dumps(example_row(info.input_schema))
        connect = "" if config.gateway.bind == "tcp://127.0.0.1:4242" else (
            f"--connect {config.gateway.bind} "
        )
        lines += [
            f"  try it   zeropool call {connect}{info.qualified_name}_predict '{example}'",
            "  stop it  Ctrl-C",
        ]
        self._out.write("\n".join(lines) + "\n")
        self._out.flush()

    # The end

    def _stop(self, arrived: signal.Signals) -> None:
        is_quick = arrived is not signal.SIGTERM
        self._exit_code = 0
        self._out.write("stopping\n" if is_quick else "draining, then stopping\n")
        self._out.flush()
        config = self._config
        # The gateway first: what it has accepted needs the workers.
        self._stop_children(
            [GATEWAY], QUICK_STOP_S if is_quick else config.gateway.drain_s + STOP_MARGIN_S,
            signal.SIGQUIT if is_quick else signal.SIGTERM,
        )
        self._stop_children(
            self._workers, QUICK_STOP_S if is_quick else config.worker.drain_s + STOP_MARGIN_S,
            signal.SIGTERM,
        )

    def _stop_children(self, names: list[str], patience_s: float, how: signal.Signals) -> None:
        stopping = [self._processes.pop(name) for name in names if name in self._processes]
        for process in stopping:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, how)
        end_at = self._clock() + patience_s
        for process in stopping:
            process.join(max(0.0, end_at - self._clock()))
            if process.is_alive():
                log.warning("killed", extra=fields(child=process.name, after_s=patience_s))
                process.kill()
                process.join()

    def _stop_all(self) -> None:
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.join()
        for pipe in self._ready_pipes.values():
            pipe.close()


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
    return Serve(config, config.worker.effective_count(cores), sys.stdout).run()
