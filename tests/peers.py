"""Foreign ZeroRPC peers as processes: unmodified zerorpc-node and zerorpc-python clients.

Their scripts are in tests/interop. gevent must not enter the pytest process, and a peer which
hangs is killed when its time is over.
"""

import fcntl
import functools
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
NPM_TIMEOUT_S = 100.0
#: npm writes this file last: it is missing or old after an installation that was cut short.
NPM_STAMP = NODE_RIG / "node_modules" / ".package-lock.json"
NPM_SOURCES = (
    NODE_RIG / ".npmrc",
    NODE_RIG / "package.json",
    NODE_RIG / "package-lock.json",
    NODE_RIG / "zeromq-v5-shim" / "index.js",
    NODE_RIG / "zeromq-v5-shim" / "package.json",
)


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


@functools.cache
def missing_node() -> str:
    """Why there is no zerorpc-node here; empty where there is. It is installed where it is due."""
    for command in ("node", "npm"):
        if shutil.which(command) is None:
            return f"zerorpc-node cannot run: no `{command}` on PATH"
    # Tests that run side by side want one installation.
    with NPM_SOURCES[0].open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        return _install() if _npm_is_due() else ""


def _install() -> str:
    """Why it failed; empty where it did not."""
    try:
        npm = subprocess.run(
            ["npm", "ci"],
            cwd=NODE_RIG,
            capture_output=True,
            check=False,
            text=True,
            timeout=NPM_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        return f"`npm ci` had no end after {NPM_TIMEOUT_S} s"
    return f"`npm ci` ended with code {npm.returncode}:\n{npm.stderr}" if npm.returncode else ""


def _npm_is_due() -> bool:
    if not NPM_STAMP.exists():
        return True
    return any(path.stat().st_mtime > NPM_STAMP.stat().st_mtime for path in NPM_SOURCES)


def require_node() -> None:
    """Skip the test where there is no zerorpc-node, or fail it where there has to be one."""
    reason = missing_node()
    if not reason:
        return
    if os.environ.get("ZEROPOOL_REQUIRE_NODE") == "1":
        pytest.fail(reason)
    pytest.skip(f"{reason} (ZEROPOOL_REQUIRE_NODE=1 makes this a failure)")


def node_peer(script: str, *arguments: object, call_timeout_s: int) -> Peer:
    """Start a script of tests/interop/node."""
    environment = {"ZEROPOOL_TEST_NODE_TIMEOUT_S": str(call_timeout_s)}
    return Peer(["node", NODE_RIG / script, *arguments], environment)
