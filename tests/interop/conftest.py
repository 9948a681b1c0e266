"""Fixtures which start the foreign ZeroRPC peers: Node scripts, Python scripts, bare sockets.

Peers run in processes of their own: gevent must not enter the pytest process, and a peer
which hangs is killed when its time is over. Nothing here knows how a gateway is started:
that is the fixture `iris_gateway`.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from bare_dealer import BareDealer
from iris_facts import SETOSA
from peers import require_node

HERE = Path(__file__).parent
NODE_RIG = HERE / "node"
PYTHON_SCRIPTS = HERE / "python"

# Below pytest-timeout's 120 s, so that a hanging peer is reported with its own output.
PEER_TIMEOUT_S = 60.0

Peer = Callable[..., dict[str, Any]]


def run_peer(command: list[str], timeout_s: float) -> dict[str, Any]:
    """Runs one peer to its end; returns the JSON object that it printed."""
    try:
        done = subprocess.run(
            command, capture_output=True, check=False, text=True, timeout=timeout_s
        )
    except subprocess.TimeoutExpired as late:
        pytest.fail(f"{command} had no end after {timeout_s} s; stderr: {late.stderr!r}")
    if done.returncode != 0:
        pytest.fail(f"{command} ended with code {done.returncode}; stderr:\n{done.stderr}")
    answer = json.loads(done.stdout)
    assert isinstance(answer, dict)
    return answer


def run_node(script: str, *args: object, timeout_s: float = PEER_TIMEOUT_S) -> dict[str, Any]:
    return run_peer(["node", str(NODE_RIG / script), *map(str, args)], timeout_s)


def run_python(script: str, *args: object, timeout_s: float = PEER_TIMEOUT_S) -> dict[str, Any]:
    return run_peer([sys.executable, str(PYTHON_SCRIPTS / script), *map(str, args)], timeout_s)


@pytest.fixture(scope="session")
def node() -> Peer:
    """Runs `node/SCRIPT ARGS…`: `node(script, *args, timeout_s=60) -> dict`."""
    require_node()
    return run_node


@pytest.fixture(scope="session")
def python_peer() -> Peer:
    """Runs `python/SCRIPT ARGS…`: `python_peer(script, *args, timeout_s=60) -> dict`."""
    return run_python


@pytest.fixture
def bare_dealer(iris_gateway) -> Iterator[Callable[[], BareDealer]]:
    """Makes bare DEALERs, connected to the gateway; all are closed at the end."""
    made: list[BareDealer] = []

    def make() -> BareDealer:
        made.append(BareDealer(iris_gateway.endpoint))
        return made[-1]

    yield make
    for dealer in made:
        dealer.close()


@pytest.fixture
def predict_once(iris_gateway, python_peer) -> Callable[[], dict[str, Any]]:
    """One prediction by an ordinary zerorpc client: the sign that the gateway still lives."""
    return partial(
        python_peer, "call.py", iris_gateway.endpoint, "iris_model_predict", json.dumps(SETOSA)
    )
