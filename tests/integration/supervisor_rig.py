"""The real supervisord with the real supervisord.conf, in a folder of its own that looks like a
clone: a copy of the file, `.venv`, `log` and `run`.

The folder is not pytest's `tmp_path`, whose length would exceed what a path of a socket may have.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import psutil
from harness import START_TIMEOUT_S, environment, free_endpoint, model_tables, wait_until

from zeropool.client import Client

CONF = Path(__file__).parents[2] / "supervisord.conf"
LOAD = Path(__file__).with_name("steady_load.py")
SHIPPED_HTTP = "127.0.0.1:9100"
PROGRAMS = Path(sys.executable).parent
MODELS = model_tables("iris_model.iris_predict.IrisModel", "fixture_models.slow.SleepyEchoModel")
#: A slot's `startsecs` and more, on a busy machine; the longest wait is the drain of a gateway.
CTL_TIMEOUT_S = 60.0
CALL_TIMEOUT_S = 20.0


class Pool:
    """A supervisord with a gateway and its workers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.endpoint = free_endpoint()
        self.http = free_endpoint().removeprefix("tcp://")
        self._supervisord: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        conf = CONF.read_text()
        assert SHIPPED_HTTP in conf
        # As its comment says: a second service on one machine needs another port.
        (self.folder / CONF.name).write_text(conf.replace(SHIPPED_HTTP, self.http))
        (self.folder / ".venv").symlink_to(PROGRAMS.parent)
        for name in ("log", "run"):
            (self.folder / name).mkdir(mode=0o700)
        (self.folder / "zeropool.toml").write_text(MODELS)
        with (self.folder / "output").open("wb") as output:
            self._supervisord = subprocess.Popen(
                [PROGRAMS / "supervisord", "--nodaemon", "-c", self.folder / CONF.name],
                # As in a login that has ended: nothing may depend on its runtime directory.
                env=self._environment() | {"XDG_RUNTIME_DIR": str(self.folder / "gone")},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._supervisord is not None
        left = self.processes()
        for process in left:
            # supervisord first, or it would start the others again.
            process.kill()
        psutil.wait_procs(left, CTL_TIMEOUT_S)
        self._supervisord.wait(CTL_TIMEOUT_S)
        for path in (self.folder / "output", *sorted((self.folder / "log").iterdir())):
            # pytest shows this where a test failed.
            sys.stdout.write(f"--- {path.name}\n{path.read_text(errors='replace')}\n")

    def _environment(self) -> dict[str, str]:
        return environment({"ZEROPOOL_GATEWAY_BIND": self.endpoint})

    # What an operator does

    def ctl(self, *arguments: str) -> str:
        """Run `supervisorctl`; return what it prints."""
        done = subprocess.run(
            [PROGRAMS / "supervisorctl", "-c", self.folder / CONF.name, *arguments],
            env=self._environment(),
            capture_output=True,
            check=False,
            text=True,
            timeout=CTL_TIMEOUT_S,
        )
        assert "ERROR" not in done.stdout, done.stdout
        assert not done.stderr, done.stderr
        return done.stdout

    def states(self) -> dict[str, str]:
        """The state of every slot, by name."""
        if not (self.folder / "run" / "supervisor.sock").exists():
            return {}
        rows = [line.split() for line in self.ctl("status").splitlines()]
        return {row[0]: row[1] for row in rows}

    def wait_running(self, *names: str) -> None:
        """Wait until just these slots are in use, and each has been up for its `startsecs`."""
        expected = dict.fromkeys(names, "RUNNING")

        def are_running() -> bool:
            return {n: s for n, s in self.states().items() if s != "STOPPED"} == expected

        wait_until(are_running, f"running: {names}", START_TIMEOUT_S)

    # What clients see

    def call(self, method: str, *arguments: object) -> Any:
        with Client(self.endpoint, timeout_s=CALL_TIMEOUT_S) as client:
            return client.call(method, *arguments)

    def workers(self) -> dict[int, str]:
        """The ids of the workers that are ready, by pid."""
        workers = self.call("get_status")["workers"]
        return {worker["pid"]: worker["worker"] for worker in workers if worker["state"] == "ready"}

    def wait_workers(self, count: int, *, without: int = 0) -> dict[int, str]:
        """Wait until so many workers are ready, and one process is not among them."""

        def are_ready() -> bool:
            found = self.workers()
            return len(found) == count and without not in found

        wait_until(are_ready, f"{count} workers without pid {without}")
        return self.workers()

    # Processes

    def processes(self) -> list[psutil.Process]:
        """Everything that runs from this folder, whoever is its parent; supervisord first."""
        mine = str(self.folder)
        found = [
            process
            for process in psutil.process_iter(["cmdline"])
            if any(mine in argument for argument in process.info["cmdline"] or [])
        ]
        return sorted(found, key=lambda process: process.ppid() != os.getpid())

    def wait_exit(self) -> int:
        """Wait for supervisord's end; return its exit code."""
        assert self._supervisord is not None
        return self._supervisord.wait(CTL_TIMEOUT_S)


@contextmanager
def running_pool() -> Iterator[Pool]:
    """A pool of two workers, in a folder with a short name."""
    with tempfile.TemporaryDirectory(prefix="zp-") as folder, Pool(Path(folder)) as pool:
        pool.wait_running("gateway", "workers:worker_00", "workers:worker_01")
        pool.wait_workers(2)
        yield pool


@contextmanager
def steady_load(endpoint: str) -> Iterator[dict[str, Any]]:
    """Call without a pause while the block runs; then the result is in the dictionary."""
    load = subprocess.Popen(
        [sys.executable, LOAD, endpoint],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    result: dict[str, Any] = {}
    with load:
        try:
            assert load.stdout is not None
            assert load.stdout.readline() == "started\n"
            yield result
            said, _ = load.communicate(timeout=CTL_TIMEOUT_S)
            result.update(json.loads(said))
        finally:
            load.kill()
