"""The servers that are compared: how each is started, known to be ready, and what it consists of.

All listen on a free port of the loopback interface, and end with their `with` block.
"""

from __future__ import annotations

import abc
import contextlib
import secrets
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil  # type: ignore[import-untyped,unused-ignore]
import zmq
from child import Child
from usage import Roles

HERE = Path(__file__).resolve().parent
#: Numpy, ONNX and the model are imported in this time even on a busy machine.
READY_TIMEOUT_S = 60.0
#: A server that is not there yet is asked again after so long.
PROBE_TIMEOUT_MS = 250


class ServerError(Exception):
    """A server did not start, or is not what it should be."""


class Server(abc.ABC):
    """One of the servers, running or not."""

    name: str

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    @contextlib.contextmanager
    def running(self) -> Iterator[Running]:
        """Start it, wait until it can take load, and stop it at the end.

        Raises:
            ServerError: it did not become ready.
        """
        endpoint = f"tcp://127.0.0.1:{_free_port()}"
        with Child(self._command(endpoint)) as child:
            give_up_at = time.monotonic() + READY_TIMEOUT_S
            while not self._is_ready(endpoint):
                if not child.is_running or time.monotonic() > give_up_at:
                    raise ServerError(f"{self.name} did not start:\n{child.last_words()}")
            yield Running(endpoint, self._roles(child.pid, endpoint), child)

    @abc.abstractmethod
    def _command(self, endpoint: str) -> list[str]: ...

    @abc.abstractmethod
    def _is_ready(self, endpoint: str) -> bool: ...

    @abc.abstractmethod
    def _roles(self, pid: int, endpoint: str) -> Roles: ...


class Running:
    """A server that takes calls."""

    def __init__(self, endpoint: str, roles: Roles, child: Child) -> None:
        self.endpoint = endpoint
        #: Its processes. Names begin with "parent", "gateway", "worker" or "server".
        self.roles = roles
        self._child = child

    def __repr__(self) -> str:
        return f"<Running {self.endpoint} processes={len(self.roles)}>"

    def last_words(self) -> str:
        """The end of its log."""
        return self._child.last_words()


class Baseline(Server):
    """A `zerorpc.Server`: one process."""

    name = "zerorpc.Server"

    def _command(self, endpoint: str) -> list[str]:
        return [sys.executable, str(HERE / "zerorpc_server.py"), endpoint]

    def _is_ready(self, endpoint: str) -> bool:
        return _ask(endpoint, "_zerorpc_ping") is not None

    def _roles(self, pid: int, endpoint: str) -> Roles:  # noqa: ARG002 - as the other one
        return {"server": pid}


class Zeropool(Server):
    """`zeropool serve`: parent, gateway and workers."""

    def __init__(self, workers: int) -> None:
        self.name = f"Zeropool, {workers} worker{'s' if workers > 1 else ''}"
        self._workers = workers

    def _command(self, endpoint: str) -> list[str]:
        # Beside the interpreter that runs this, and so from the same environment.
        program = Path(sys.executable).with_name("zeropool")
        return [str(program), "serve", "--bind", endpoint, "--workers", str(self._workers)]

    def _is_ready(self, endpoint: str) -> bool:
        return len(_ready_workers(endpoint)) == self._workers

    def _roles(self, pid: int, endpoint: str) -> Roles:
        workers = sorted(_ready_workers(endpoint))
        roles = {"parent": pid}
        roles |= {f"worker-{index}": worker for index, worker in enumerate(workers)}
        for process in psutil.Process(pid).children(recursive=True):
            if process.pid in workers:
                continue
            # The other child of a spawning parent is multiprocess' own; it idles.
            is_tracker = any("resource_tracker" in word for word in process.cmdline())
            roles["tracker" if is_tracker else "gateway"] = process.pid
        if "gateway" not in roles:
            raise ServerError(f"{self.name}: no gateway among {roles}")
        return roles


def _ready_workers(endpoint: str) -> list[int]:
    status = _ask(endpoint, "get_status") or {"workers": []}
    return [worker["pid"] for worker in status["workers"] if worker["state"] == "ready"]


def _ask(endpoint: str, method: str) -> Any:  # noqa: ANN401 - what a method returns
    """The result of one call without arguments; None where there is no answer, or an error."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.setsockopt(zmq.LINGER, 0)
        dealer.setsockopt(zmq.RCVTIMEO, PROBE_TIMEOUT_MS)
        dealer.connect(endpoint)
        header = {"message_id": secrets.token_hex(16).encode(), "v": 3}
        dealer.send_multipart([b"", msgspec.msgpack.encode([header, method, []])])
        try:
            _, name, args = msgspec.msgpack.decode(dealer.recv_multipart()[-1])
        except zmq.Again:
            return None
        return args[0] if name == "OK" else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
