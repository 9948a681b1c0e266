"""The child processes of `zeropool serve`: how they are started, asked and ended.

Part of the shell; when and why is decided in `slots`, `rolling` and `headcount`.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import multiprocess
from multiprocess import resource_tracker

from zeropool.cli.children import PARENTS_SIGNALS, gateway_child, worker_child
from zeropool.shared.config import Config
from zeropool.shared.model import ModelInfo


@dataclass(slots=True, eq=False)
class Child:
    """One process, in one place, with the configuration that it was started with."""

    place: str
    config: Config
    process: Any  # multiprocess has no types
    #: The end at which a worker's readiness arrives, until it has.
    ready_pipe: Any = None
    #: When its patience is over, if it was asked to end.
    kill_at: float = math.inf

    @property
    def pid(self) -> int:
        """The process id."""
        return int(self.process.pid)

    @property
    def is_alive(self) -> bool:
        """It has not ended."""
        return bool(self.process.is_alive())

    @property
    def exit_code(self) -> int:
        """How it ended; minus the number of the signal that ended it."""
        return int(self.process.exitcode)

    @property
    def reason(self) -> str:
        """How it ended, in words."""
        if self.exit_code >= 0:
            return f"exit code {self.exit_code}"
        try:
            return signal.Signals(-self.exit_code).name
        except ValueError:
            return f"signal {-self.exit_code}"

    def descriptors(self) -> list[int]:
        """What becomes readable when it has something to say or ends."""
        pipes = [] if self.ready_pipe is None else [self.ready_pipe.fileno()]
        return [self.process.sentinel, *pipes]

    def take_ready(self) -> list[ModelInfo] | None:
        """The models of a worker that has become ready since the last call; else None."""
        if self.ready_pipe is None or not self.ready_pipe.poll():
            return None
        try:
            return msgspec.msgpack.decode(self.ready_pipe.recv_bytes(), type=list[ModelInfo])
        except EOFError:
            return None
        finally:
            self.ready_pipe.close()
            self.ready_pipe = None

    def send(self, number: signal.Signals) -> None:
        """Send a signal; one that has ended gets none."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def forget(self) -> None:
        """Wait for its end, and close what belongs to it."""
        self.process.join()
        if self.ready_pipe is not None:
            self.ready_pipe.close()
            self.ready_pipe = None


class Spawner:
    """Starts children: spawned, as a forked libzmq context hangs both sides."""

    def __init__(self) -> None:
        self._context = multiprocess.get_context("spawn")

    def open(self) -> None:
        """Start multiprocess's own helper process. To be called before handlers are installed.

        It inherits that these signals are ignored, and so outlives the terminal as we do. Were it
        started with the first child, it would unblock the signals that are blocked for that one.
        """
        for number in PARENTS_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        resource_tracker.ensure_running()

    def gateway(self, place: str, config: Config, endpoint: str) -> Child:
        """Start a gateway; workers report to ``endpoint``."""
        args = (os.getpid(), msgspec.msgpack.encode(config), place, endpoint)
        return Child(place, config, self._start(place, gateway_child, args))

    def worker(
        self, place: str, config: Config, index: int, gateways: Sequence[str], runtime_dir: Path
    ) -> Child:
        """Start worker ``index``, which reports to all these gateways."""
        receiver, sender = self._context.Pipe(duplex=False)
        packed = msgspec.msgpack.encode(config)
        args = (os.getpid(), packed, index, list(gateways), str(runtime_dir), sender)
        process = self._start(place, worker_child, args)
        sender.close()
        return Child(place, config, process, receiver)

    def _start(self, name: str, target: Callable[..., None], args: tuple[object, ...]) -> Any:  # noqa: ANN401 - no types
        process = self._context.Process(target=target, args=args, name=name)
        # Should the helper have died, its successor must not be started below.
        resource_tracker.ensure_running()
        # The child inherits the mask: a Ctrl-C must not end it before it has learnt to ignore it.
        signal.pthread_sigmask(signal.SIG_BLOCK, PARENTS_SIGNALS)
        try:
            with _without_main():
                process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, PARENTS_SIGNALS)
        return process


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Spare children the program that started us: they would import it, with all its options."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
