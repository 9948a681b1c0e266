"""A process that this one starts and that ends with it, in whatever way either ends. Linux only.

So do the processes that it starts itself, as long as they stay in its process group.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Self

#: linux/prctl.h
PR_SET_PDEATHSIG = 1
#: A server that drains has nothing left to finish here.
STOP_PATIENCE_S = 10.0
#: A shell that waits for this process to end, by the pipe between them, and then ends the group.
KEEPER = ("sh", "-c", 'read -r _; kill -KILL "-$1"', "keeper")
#: Of a log, what the last words of a dying process take.
TAIL_BYTES = 4000

_libc = ctypes.CDLL(None)
#: Of the environment: what would configure a server beside what this benchmark sets.
_FOREIGN = ("ZEROPOOL_", "APP_SETTINGS", "MOSEC_", "LIT_", "GRPC_")
#: The servers scale by processes; a thread pool in each would only contend for the cores.
_SINGLE_THREADED = {
    f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")
}  # fmt: skip


class Child:
    """A running process in a group of its own, with pipes to its standard input and output.

    ``log`` takes standard error and, for a server, standard output.
    """

    def __init__(self, command: Sequence[str], *, talks: int | None = None) -> None:
        self._command = command
        self._talks = talks

    def __repr__(self) -> str:
        return f"<Child {' '.join(self._command[1:])}>"

    def __enter__(self) -> Self:
        self._log = tempfile.TemporaryFile()
        # An empty directory: no configuration file is found in it.
        self._directory = tempfile.TemporaryDirectory(prefix="zeropool-bench-")
        parent_pid = os.getpid()
        self.process = subprocess.Popen(
            self._command,
            stdin=self._talks or subprocess.DEVNULL,
            stdout=self._talks or self._log,
            stderr=self._log,
            text=True,
            cwd=self._directory.name,
            env=_environment(),
            # Ctrl-C is for the benchmark, which then stops its children.
            start_new_session=True,
            # No thread of this process runs Python, so none can hold a lock across the fork.
            preexec_fn=lambda: _die_with(parent_pid),  # noqa: PLW1509
        )
        self._keeper = subprocess.Popen(
            (*KEEPER, str(self.process.pid)), stdin=subprocess.PIPE, start_new_session=True
        )
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.process.terminate()
            self.process.wait(STOP_PATIENCE_S)
        except subprocess.TimeoutExpired:
            sys.stderr.write(f"killed, {STOP_PATIENCE_S:g} s after TERM: {self!r}\n")
        finally:
            # Also what a parent that died left behind in its group.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            # Before the group's number can be somebody else's.
            self._keeper.kill()
            self._keeper.wait()
            self.process.wait()
            for pipe in (self.process.stdin, self.process.stdout, self._keeper.stdin):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()
            self._log.close()
            self._directory.cleanup()

    @property
    def directory(self) -> Path:
        """The one it runs in, which goes with it."""
        return Path(self._directory.name)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def is_running(self) -> bool:
        """It has not ended."""
        return self.process.poll() is None

    def times_said(self, words: bytes) -> int:
        """How often these words are in its log."""
        size_bytes = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size_bytes, 0).count(words)

    def last_words(self) -> str:
        """The end of its log."""
        size_bytes = os.fstat(self._log.fileno()).st_size
        start = max(0, size_bytes - TAIL_BYTES)
        return os.pread(self._log.fileno(), TAIL_BYTES, start).decode(errors="replace").strip()


def _die_with(parent_pid: int) -> None:
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(1)


def _environment() -> dict[str, str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(_FOREIGN)}
    return inherited | _SINGLE_THREADED
