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
import psutil
import zmq
from child import Child
from ready import READY
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

    #: For the command line and the file of results.
    key: str
    #: For people.
    name: str
    #: The script that drives it.
    load = "load.py"
    #: What stands before the port in the address that the load and mostly the server are given.
    address = "tcp://127.0.0.1:"
    path = ""
    #: It sleeps while nobody calls. One that does not would disturb the measuring of the others.
    is_quiet_when_idle = True

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.key}>"

    @contextlib.contextmanager
    def running(self) -> Iterator[Running]:
        """Start it, wait until it can take load, and stop it at the end.

        Raises:
            ServerError: it did not become ready.
        """
        port = _free_port()
        address = f"{self.address}{port}{self.path}"
        with Child([sys.executable, *self._command(port)]) as child:
            give_up_at = time.monotonic() + READY_TIMEOUT_S
            while not self._is_ready(child, address):
                if not child.is_running or time.monotonic() > give_up_at:
                    raise ServerError(f"{self.name} did not start:\n{child.last_words()}")
            yield Running(address, self._roles(child.pid, address), child)

    @abc.abstractmethod
    def _command(self, port: int) -> list[str]:
        """The arguments of this Python."""

    @abc.abstractmethod
    def _is_ready(self, child: Child, address: str) -> bool:
        """It takes calls; waits a little where it does not."""

    @abc.abstractmethod
    def _roles(self, pid: int, address: str) -> Roles:
        """Its processes, by what they do."""


class Running:
    """A server that takes calls."""

    def __init__(self, address: str, roles: Roles, child: Child) -> None:
        self.address = address
        #: Its processes. Names begin with "parent", "gateway", "worker", "tracker" or "server".
        self.roles = roles
        self._child = child

    def __repr__(self) -> str:
        return f"<Running {self.address} processes={len(self.roles)}>"

    def last_words(self) -> str:
        """The end of its log."""
        return self._child.last_words()


class Script(Server):
    """A server in a script of this folder, which says when its processes are ready."""

    def __init__(self, key: str, name: str, script: str, *arguments: str, workers: int = 1) -> None:
        self.key = key
        self.name = name
        self._script = script
        self._arguments = arguments
        self._workers = workers

    def _command(self, port: int) -> list[str]:
        return [str(HERE / self._script), f"{self.address}{port}", *self._arguments]

    def _is_ready(self, child: Child, address: str) -> bool:  # noqa: ARG002 - its log says it
        time.sleep(PROBE_TIMEOUT_MS / 1000)
        return child.times_said(READY) >= self._workers

    def _roles(self, pid: int, address: str) -> Roles:  # noqa: ARG002 - as the others
        processes = psutil.Process(pid).children(recursive=True)
        others = {
            f"{self._role(process)}-{number}": process.pid
            for number, process in enumerate(processes)
        }
        return {"server": pid} | others

    def _role(self, process: Any) -> str:  # noqa: ANN401 - psutil has no types
        return "tracker" if _is_tracker(process) else "server"


class Mosec(Script):
    """Its Rust front is the gateway; Python processes are parent and workers."""

    load = "http_load.py"
    address = "http://127.0.0.1:"
    path = "/inference"

    def _command(self, port: int) -> list[str]:
        # A relative path: its sockets lie in the child's own directory.
        options = ["--address", "127.0.0.1", "--port", str(port), "--path", "mosec"]
        return [str(HERE / self._script), *options, *self._arguments]

    def _role(self, process: Any) -> str:  # noqa: ANN401 - psutil has no types
        if _is_tracker(process):
            return "tracker"
        return "gateway" if process.name() == "mosec" else "worker"


class LitServe(Script):
    """Its workers look for requests every millisecond."""

    load = "http_load.py"
    address = "http://127.0.0.1:"
    path = "/predict"
    is_quiet_when_idle = False

    def _command(self, port: int) -> list[str]:
        return [str(HERE / self._script), str(port)]


class Grpc(Script):
    """Processes that share a port."""

    load = "grpc_load.py"
    address = "127.0.0.1:"


class Proxy(Script):
    """libzmq's own proxy; its load expects to be echoed."""

    load = "echo_load.py"

    def _roles(self, pid: int, address: str) -> Roles:
        (echo,) = set(super()._roles(pid, address).values()) - {pid}
        return {"gateway": pid, "worker": echo}


class Zeropool(Server):
    """`zeropool serve`: parent, gateway and workers."""

    def __init__(self, workers: int) -> None:
        self.key = f"zeropool-{workers}"
        self.name = f"Zeropool, {workers} worker{'s' if workers > 1 else ''}"
        self._workers = workers

    def _command(self, port: int) -> list[str]:
        # Beside the interpreter that runs this, and so from the same environment.
        program = Path(sys.executable).with_name("zeropool")
        bind = f"{self.address}{port}"
        return [str(program), "serve", "--bind", bind, "--workers", str(self._workers)]

    def _is_ready(self, child: Child, address: str) -> bool:  # noqa: ARG002 - it is asked
        return len(_ready_workers(address)) == self._workers

    def _roles(self, pid: int, address: str) -> Roles:
        workers = sorted(_ready_workers(address))
        roles = {"parent": pid}
        roles |= {f"worker-{index}": worker for index, worker in enumerate(workers)}
        for process in psutil.Process(pid).children(recursive=True):
            if process.pid in workers:
                continue
            # The other child of a spawning parent is multiprocess' own; it idles.
            roles["tracker" if _is_tracker(process) else "gateway"] = process.pid
        if "gateway" not in roles:
            raise ServerError(f"{self.name}: no gateway among {roles}")
        return roles


#: In the order of the table. `zeropool-2` is measured against the others.
SERVERS: tuple[Server, ...] = (
    Script(
        "zerorpc-original",
        "zerorpc.Server, original model",
        "zerorpc_server.py",
        "--model=original",
    ),
    Script("zerorpc", "zerorpc.Server, today's model", "zerorpc_server.py", "--model=today"),
    Grpc("grpc", "gRPC, 2 processes", "grpc_server.py", workers=2),
    LitServe("litserve", "LitServe, 2 workers", "litserve_server.py", workers=2),
    Mosec("mosec", "Mosec, 2 workers, waits 1 ms", "mosec_server.py", workers=2),
    Mosec(
        "mosec-default",
        "Mosec, 2 workers, waits 10 ms",
        "mosec_server.py",
        "--max-wait-ms=10",
        workers=2,
    ),
    Mosec(
        "mosec-single",
        "Mosec, 2 workers, no batches",
        "mosec_server.py",
        "--max-batch-size=1",
        workers=2,
    ),
    Proxy("proxy", "libzmq's proxy, 1 REP echo", "proxy_server.py", "--worker=rep"),
    Proxy("proxy-dealer", "libzmq's proxy, 1 DEALER echo", "proxy_server.py", "--worker=dealer"),
    Zeropool(workers=1),
    Zeropool(workers=2),
)


def _is_tracker(process: Any) -> bool:  # noqa: ANN401 - psutil has no types
    return any("resource_tracker" in word for word in process.cmdline())


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
