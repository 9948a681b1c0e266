"""Real Zeropool processes for tests: started on free ports, stopped, and seen to be gone."""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from zeropool.client import Client

MODELS = Path(__file__).parent / "models"
ZEROPOOL = [sys.executable, "-m", "zeropool.cli.main"]
#: Runs what follows the number with so many file descriptors, which it cannot raise.
LIMITED = ["sh", "-c", 'ulimit -n "$0" && exec "$@"']
#: Processes that run tests side by side, and which of them this one is; pytest-xdist says so.
SIDES = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
SIDE = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % SIDES
#: Below those that Linux gives to connections of its own choice (net.ipv4.ip_local_port_range).
#: Each side has its part: a port that one has found free is not yet taken when another looks.
ALL_PORTS = range(12_000, 32_000)
OWN_PORTS = ALL_PORTS[SIDE * len(ALL_PORTS) // SIDES : (SIDE + 1) * len(ALL_PORTS) // SIDES]
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
#: Between two looks at something that sends no event, such as another process's death.
LOOK_AGAIN_S = 0.02
#: A worker logs it at `DEBUG` for each job.
JOB_TAKEN = "job taken"


def free_endpoint(ports: int = 1) -> str:
    """A loopback endpoint on which nothing listens now, nor on the ``ports`` - 1 after it.

    Not one that the system would choose: it gives those to any connection that is made meanwhile.
    """
    while True:
        first = secrets.choice(OWN_PORTS[: len(OWN_PORTS) - ports + 1])
        several = range(first, first + ports)
        with contextlib.ExitStack() as stack:
            try:
                for port in several:
                    probe = stack.enter_context(socket.socket())
                    probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return f"tcp://127.0.0.1:{first}"


def wait_until(is_true: Callable[[], object], what: str, timeout_s: float = 20.0) -> None:
    """Wait for a fact about other processes, and fail with its name if it does not come."""
    end_at = time.monotonic() + timeout_s
    while not is_true():
        if time.monotonic() > end_at:
            raise AssertionError(f"after {timeout_s} s still not: {what}")
        time.sleep(LOOK_AGAIN_S)


def environment(extra: Mapping[str, str] = {}) -> dict[str, str]:
    """What child processes get: fixture models on the path, no settings of this machine."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("ZEROPOOL_") and name != "APP_SETTINGS"
    }
    ours = {
        # As in an active virtual environment: `zeropool` is found by its name.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONPATH": str(MODELS),
        "PYTHONUNBUFFERED": "1",
    }
    return kept | ours | dict(extra)


def is_alive(process: psutil.Process) -> bool:
    """It runs; a process that ended and that nobody has waited for does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def run_zeropool(
    *arguments: str,
    cwd: Path | None = None,
    extra_env: Mapping[str, str] = {},
    timeout_s: float = 30.0,
) -> subprocess.CompletedProcess[str]:
    """Run one short `zeropool` command to its end."""
    return subprocess.run(
        [*ZEROPOOL, *arguments],
        cwd=cwd,
        env=environment(extra_env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        text=True,
        timeout=timeout_s,
    )


class Command:
    """One `zeropool` process, with everything that it prints."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        cwd: Path | None = None,
        extra_env: Mapping[str, str] = {},
        new_group: bool = True,
        max_descriptors: int | None = None,
    ) -> None:
        limit = [] if max_descriptors is None else [*LIMITED, str(max_descriptors)]
        self._output: list[str] = []
        self._changed = threading.Condition()
        self.process = subprocess.Popen(
            [*limit, *ZEROPOOL, *arguments],
            cwd=cwd,
            env=environment(extra_env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=new_group,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._family: list[psutil.Process] = []

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self._output.append(line)
                self._changed.notify_all()
        with self._changed:
            self._output.append("")
            self._changed.notify_all()

    @property
    def output(self) -> str:
        with self._changed:
            return "".join(self._output)

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_for_output(
        self, text: str, timeout_s: float = START_TIMEOUT_S, times: int = 1
    ) -> None:
        """Wait until it has printed ``text`` so many times."""

        def is_there() -> bool:
            ended = bool(self._output) and self._output[-1] == ""
            return "".join(self._output).count(text) >= times or ended

        with self._changed:
            self._changed.wait_for(is_there, timeout_s)
        found = self.output
        assert found.count(text) >= times, f"{text!r} did not come; it printed:\n{found}"

    def wait_for_job(self, times: int = 1) -> None:
        """Wait until it, a worker that logs at `DEBUG`, has taken so many jobs.

        It starts the last one before it looks for signals. A gateway that has given a job away
        tells less: the job may be on its way, and goes to another when the worker is told to stop.
        """
        self.wait_for_output(JOB_TAKEN, times=times)

    @property
    def jobs_taken(self) -> int:
        return self.output.count(JOB_TAKEN)

    def family(self) -> list[psutil.Process]:
        """The process and all its descendants, as far as they were seen alive."""
        try:
            own = psutil.Process(self.pid)
            alive = [own, *own.children(recursive=True)]
        except psutil.NoSuchProcess:
            alive = []
        known = {process.pid for process in self._family}
        self._family += [process for process in alive if process.pid not in known]
        return self._family

    def send(self, number: signal.Signals) -> None:
        self.family()
        self.process.send_signal(number)

    def wait(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Wait for its end; return the exit code."""
        code = self.process.wait(timeout_s)
        self._reader.join(timeout_s)
        return code

    def stop(self) -> int:
        """End it with TERM, and make sure that nothing of it is left."""
        self.family()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.wait()
        except subprocess.TimeoutExpired:
            self.kill_family()
            raise AssertionError(f"did not stop; it printed:\n{self.output}") from None
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.assert_all_gone()
        return code

    def kill_family(self) -> None:
        for process in self.family():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def assert_all_gone(self, timeout_s: float = 5.0) -> None:
        """No process of the family is left."""
        end_at = time.monotonic() + timeout_s
        while (left := [process for process in self._family if is_alive(process)]) and (
            time.monotonic() < end_at
        ):
            time.sleep(LOOK_AGAIN_S)
        for process in left:
            process.kill()
        assert not left, f"left behind after {timeout_s} s: {left}"


def call(endpoint: str, method: str, *arguments: object, timeout_s: float = 30.0) -> Any:
    """One call by our own client, on a connection of its own."""
    with Client(endpoint, timeout_s=timeout_s) as client:
        return client.call(method, *arguments)


class Service(Command):
    """`zeropool serve` with a configuration of its own, on a free port."""

    def __init__(
        self,
        folder: Path,
        toml: str = "",
        *,
        workers: int | None = 2,
        arguments: Sequence[str] = (),
        extra_env: Mapping[str, str] = {},
        max_descriptors: int | None = None,
    ) -> None:
        self.endpoint = free_endpoint()
        self.config = folder / "zeropool.toml"
        self.config.write_text(toml)
        count = () if workers is None else ("--workers", str(workers))
        super().__init__(
            [
                *("serve", "--config", str(self.config), "--bind", self.endpoint),
                *(*count, *arguments),
            ],
            cwd=folder,
            extra_env=extra_env,
            max_descriptors=max_descriptors,
        )

    def ready(self) -> "Service":
        """Wait until all workers are there."""
        self.wait_for_output("stop it")
        self.family()
        return self

    def call(self, method: str, *arguments: object) -> Any:
        """One call on a connection of its own."""
        return call(self.endpoint, method, *arguments)

    def worker_pids(self) -> list[int]:
        """The processes of the workers that the gateway knows."""
        return [worker["pid"] for worker in self.call("get_status")["workers"]]

    def gateway_process(self) -> psutil.Process:
        """The child that is neither a worker nor one of multiprocess's own."""
        workers = self.worker_pids()
        for process in psutil.Process(self.pid).children():
            if process.pid not in workers and "spawn_main" in " ".join(process.cmdline()):
                return process
        raise AssertionError("the gateway is gone")


def model_tables(*paths: str, **limits: object) -> str:
    """`[[models]]` tables for ``module.Class`` paths, each with the same limits."""
    tables = []
    for path in paths:
        module, _, name = path.rpartition(".")
        lines = [f'module_name = "{module}"', f'class_name = "{name}"']
        lines += [f"{key} = {value}" for key, value in limits.items()]
        tables.append("[[models]]\n" + "\n".join(lines) + "\n")
    return "\n".join(tables)
