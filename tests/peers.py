"""Foreign ZeroRPC peers as processes: unmodified zerorpc-node and zerorpc-python clients.

Their scripts are in tests/interop. gevent must not enter the pytest process, and a peer which
hangs is killed when its time is over.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

INTEROP = Path(__file__).parent / "interop"
NODE_RIG = INTEROP / "node"
PYTHON_SCRIPTS = INTEROP / "python"
#: npm writes this file last.
NPM_STAMP = NODE_RIG / "node_modules" / ".package-lock.json"


class Peer:
    """A peer at work: it prints one JSON object and ends."""

    def __init__(self, command: Sequence[object], extra_env: dict[str, str] | None = None) -> None:
        self._command = [str(part) for part in command]
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | (extra_env or {}),
        )

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def answer(self, timeout_s: float) -> dict[str, Any]:
        """What it printed, as soon as it has ended."""
        try:
            out, complaints = self._process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            self.end()
            pytest.fail(f"{self._command} had no end after {timeout_s} s")
        if self._process.returncode != 0:
            pytest.fail(
                f"{self._command} ended with code {self._process.returncode}:\n{complaints}"
            )
        answer = json.loads(out)
        assert isinstance(answer, dict)
        return answer

    def end(self) -> None:
        """Kill it if it still runs, and close its pipes."""
        self._process.kill()
        self._process.communicate()


def python_peer(script: str, *arguments: object) -> Peer:
    """Start a script of tests/interop/python."""
    return Peer([sys.executable, PYTHON_SCRIPTS / script, *arguments])


def has_node() -> bool:
    """The Node client is installed; tests/interop does that where npm is there."""
    return shutil.which("node") is not None and NPM_STAMP.exists()


def node_peer(script: str, *arguments: object, call_timeout_s: int) -> Peer:
    """Start a script of tests/interop/node."""
    environment = {"ZEROPOOL_TEST_NODE_TIMEOUT_S": str(call_timeout_s)}
    return Peer(["node", NODE_RIG / script, *arguments], environment)
