"""A gateway and workers, each a process of its own, that an experiment hurts and replaces at once.

Half of the workers take their jobs over ipc, half over tcp. What they print goes to files in the
pool's folder; `complaints` finds tracebacks there.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Self

from harness import LOOK_AGAIN_S, START_TIMEOUT_S, ZEROPOOL, environment, free_endpoint

from chaos.status import Desk

STOP_TIMEOUT_S = 45.0
#: What no process prints that is only killed, frozen or fed with garbage.
ALARMING = ("Traceback", "RuntimeError", "Segmentation", "Assertion")


@dataclass(eq=False)
class Member:
    """One worker process."""

    number: int
    transport: str
    process: subprocess.Popen[bytes]
    #: CLOCK_MONOTONIC seconds; 0 while it is not frozen.
    frozen_at: float = 0.0

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def is_frozen(self) -> bool:
        return self.frozen_at > 0.0


class Pool:
    """The processes, from the start to the end of the ``with`` block."""

    def __init__(
        self,
        folder: Path,
        toml: str,
        *,
        workers: int,
        transports: tuple[str, ...] = ("ipc", "tcp"),
        extra_env: Mapping[str, str] = {},
    ) -> None:
        self.endpoint = free_endpoint()
        self.worker_port = f"ipc://{folder}/gateway.ipc"
        self.members: list[Member] = []
        #: How often a worker was started, the first ones included.
        self.started = 0
        self._folder = folder
        self._workers = workers
        self._transports = transports
        self._numbers = count()
        self._environment = environment(
            {
                "ZEROPOOL_GATEWAY_BIND": self.endpoint,
                "ZEROPOOL_GATEWAY_WORKERS_BIND": self.worker_port,
                "XDG_RUNTIME_DIR": str(folder),
                **extra_env,
            }
        )
        (folder / "zeropool.toml").write_text(toml)

    def __enter__(self) -> Self:
        self.gateway = self._start("gateway", ["gateway"], {})
        try:
            for _ in range(self._workers):
                self._add()
            self.desk = Desk(self.endpoint)
            self.wait_whole(START_TIMEOUT_S)
        except BaseException:
            self._kill_all()
            print(self.last_words(), file=sys.stderr)  # noqa: T201 - why it did not start
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """TERM, gateway first; whoever does not end is killed, and that is a failure."""
        self.desk.close()
        try:
            self._stop_all()
        finally:
            self._kill_all()

    # Processes

    def tend(self) -> list[int]:
        """Replace the workers that have died; return the exit codes of those."""
        dead = [member for member in self.members if member.process.poll() is not None]
        for member in dead:
            self.members.remove(member)
            self._add(member.transport)
        return [member.process.returncode for member in dead]

    def term_gateway(self) -> float:
        """TERM to the gateway, and start the next when it is gone; return how long that took."""
        started_at = time.monotonic()
        self.gateway.terminate()
        self.gateway.wait(STOP_TIMEOUT_S)
        after_s = time.monotonic() - started_at
        self.gateway = self._start("gateway", ["gateway"], {})
        return after_s

    def kill(self, member: Member) -> float:
        """kill -9; return when it was done."""
        os.kill(member.pid, signal.SIGKILL)
        return time.monotonic()

    def freeze(self, member: Member) -> float:
        """SIGSTOP; return when it was done."""
        os.kill(member.pid, signal.SIGSTOP)
        member.frozen_at = time.monotonic()
        return member.frozen_at

    def thaw(self, member: Member) -> None:
        """SIGCONT."""
        os.kill(member.pid, signal.SIGCONT)
        member.frozen_at = 0.0

    def by_pid(self, pid: int) -> Member:
        return next(member for member in self.members if member.pid == pid)

    def wait_whole(self, timeout_s: float) -> float:
        """Wait until every worker is ready; return how long it took, in seconds."""
        started_at = time.monotonic()
        while {member.pid for member in self.members} - self.desk.ready_pids():
            if time.monotonic() > started_at + timeout_s:
                raise AssertionError(f"pool is not whole after {timeout_s} s\n{self.last_words()}")
            self.tend()
            time.sleep(LOOK_AGAIN_S)
        return time.monotonic() - started_at

    def complaints(self) -> list[str]:
        """Lines that no process should print, by file."""
        return [
            f"{path.name}: {line}"
            for path in sorted(self._folder.glob("*.log"))
            for line in path.read_text(errors="replace").splitlines()
            if any(word in line for word in ALARMING)
        ]

    def last_words(self) -> str:
        """The end of what each process printed."""
        return "\n".join(
            f"--- {path.name}\n{path.read_text(errors='replace')[-2000:]}"
            for path in sorted(self._folder.glob("*.log"))[-8:]
        )

    def _add(self, transport: str = "") -> None:
        number = next(self._numbers)
        transport = transport or self._transports[number % len(self._transports)]
        bind = {
            "ipc": f"ipc://{self._folder}/worker-{number}.ipc",
            "tcp": "tcp://127.0.0.1:*",
        }[transport]
        process = self._start(f"worker-{number}", ["worker"], {"ZEROPOOL_WORKER_BIND": bind})
        self.members.append(Member(number, transport, process))
        self.started += 1

    def _start(
        self, name: str, arguments: list[str], extra_env: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        with (self._folder / f"{name}.log").open("ab") as output:
            return subprocess.Popen(
                [*ZEROPOOL, *arguments],
                cwd=self._folder,
                env=self._environment | extra_env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _stop_all(self) -> None:
        for member in self.members:
            if member.is_frozen:
                self.thaw(member)
        for process in (self.gateway, *(member.process for member in self.members)):
            process.terminate()
            process.wait(STOP_TIMEOUT_S)

    def _kill_all(self) -> None:
        processes = [self.gateway, *(member.process for member in self.members)]
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()
