"""A `zeropool serve` of its own for one measurement, and what its processes cost. Linux only."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Self

import msgspec
import psutil  # type: ignore[import-untyped,unused-ignore]
import zmq
from child import Child

HERE = Path(__file__).resolve().parent
#: 64 workers that import their models at the same time on two cores.
READY_TIMEOUT_S = 120.0
#: The last line of what `serve` prints when it serves.
SERVES = "stop it"
LOOK_AGAIN_S = 0.02
NANOSECONDS = 1e-9
KIB_PER_MIB = 1024

IRIS = ("iris_model.iris_predict", "IrisModel")
SLEEPER = ("timed_models", "Sleeper")
ECHO = ("timed_models", "Echo")


class PoolError(Exception):
    """The pool did not start; the message has the end of its log."""


class Pool:
    """Gateways and workers with one model, ready for calls while the context lasts."""

    def __init__(self, model: tuple[str, str], workers: int, gateways: int = 1) -> None:
        self._model = model
        self._workers = workers
        self._gateways = gateways
        self.endpoint = f"tcp://127.0.0.1:{_free_port()}"

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="scaling-")))
            config = folder / "zeropool.toml"
            config.write_text(self._toml())
            os.environ["PYTHONPATH"] = str(HERE)
            program = Path(sys.executable).with_name("zeropool")
            child = stack.enter_context(Child([str(program), "serve", "--config", str(config)]))
            self._wait_for(child)
            status = self.ask("get_status")
            self.worker_pids = [worker["pid"] for worker in status["workers"]]
            self.gateway_pids = [
                process.pid
                for process in psutil.Process(child.pid).children()
                if process.pid not in self.worker_pids and _is_spawned(process)
            ]
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def ask(self, method: str, *arguments: object, timeout_s: float = 60.0) -> Any:  # noqa: ANN401 - any answer
        """The answer to one call."""
        with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
            dealer.setsockopt(zmq.LINGER, 0)
            dealer.setsockopt(zmq.RCVTIMEO, int(timeout_s * 1000))
            dealer.connect(self.endpoint)
            header = {"message_id": secrets.token_hex(16).encode(), "v": 3}
            dealer.send_multipart([b"", msgspec.msgpack.encode([header, method, arguments])])
            _, name, args = msgspec.msgpack.decode(dealer.recv_multipart()[-1])
            if name != "OK":
                raise PoolError(f"{method}: {args}")
            return args[0]

    def _toml(self) -> str:
        module, name = self._model
        return (
            f'gateway.bind = "{self.endpoint}"\n'
            f'log.level = "WARNING"\n'
            f"serve.gateways = {self._gateways}\n"
            f"worker.count = {self._workers}\n"
            f'[[models]]\nmodule_name = "{module}"\nclass_name = "{name}"\n'
        )

    def _wait_for(self, child: Child) -> None:
        give_up_at = time.monotonic() + READY_TIMEOUT_S
        while SERVES not in child.last_words():
            if not child.is_running or time.monotonic() > give_up_at:
                raise PoolError(f"did not start:\n{child.last_words()}")
            time.sleep(LOOK_AGAIN_S)


def cpu_s(pids: list[int]) -> float:
    """CPU time of all threads of processes, to the nanosecond: proc(5), schedstat."""
    used_ns = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            # A worker connects in a thread, which may just have ended.
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                used_ns += int((task / "schedstat").read_text().split()[0])
    return used_ns * NANOSECONDS


def rss_mib(pid: int) -> float:
    """What a process has resident."""
    return float(psutil.Process(pid).memory_info().rss) / KIB_PER_MIB**2


def _is_spawned(process: psutil.Process) -> bool:
    return any("spawn_main" in word for word in process.cmdline())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
