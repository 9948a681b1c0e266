"""supervisord.conf as an operator uses it: start, scale, roll, lose a process, stop."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest
from harness import environment, wait_until
from steady_load import Peer
from supervisor_rig import CTL_TIMEOUT_S, Pool, running_pool, steady_load

CALL_SCRIPT = Path(__file__).parents[1] / "interop" / "python" / "call.py"
FIRST_WORKERS = ("workers:worker_00", "workers:worker_01")
SETOSA = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def shared_pool() -> Iterator[Pool]:
    with running_pool() as pool:
        yield pool


@pytest.fixture
def pool(shared_pool: Pool) -> Pool:
    """The shared pool with its two first workers; tests may replace processes but not add any."""
    shared_pool.wait_running("gateway", *FIRST_WORKERS)
    shared_pool.wait_workers(2)
    return shared_pool


def test_both_clients_get_predictions(pool: Pool):
    answer = pool.call("iris_model_predict", SETOSA)
    command = [sys.executable, CALL_SCRIPT, pool.endpoint, "iris_model_predict", json.dumps(SETOSA)]
    done = subprocess.run(
        command, env=environment(), capture_output=True, check=True, timeout=CTL_TIMEOUT_S
    )
    assert json.loads(done.stdout) == {"result": answer}
    assert set(answer) == {"species"}


def test_sockets_and_logs_are_private(pool: Pool):
    sockets = [path for path in (pool.folder / "run").rglob("*") if path.is_socket()]
    assert len(sockets) == 4  # supervisorctl's, the gateway's, two workers'
    assert [path for path in sockets if path.stat().st_mode & 0o077] == []
    logs = {path.name for path in (pool.folder / "log").iterdir()}
    assert logs >= {"supervisord.log", "gateway.log", "worker_00.log", "worker_01.log"}


def test_health_and_metrics_are_where_the_file_says(pool: Pool):
    with urlopen(f"http://{pool.http}/readyz", timeout=CTL_TIMEOUT_S) as answer:
        assert answer.read() == b"ready\n"
    with urlopen(f"http://{pool.http}/metrics", timeout=CTL_TIMEOUT_S) as answer:
        assert b'zeropool_workers{state="ready"} 2.0' in answer.read()


def test_a_killed_worker_comes_back_and_no_call_fails_meanwhile(pool: Pool):
    victim = min(pool.workers())
    with steady_load(pool.endpoint) as load:
        os.kill(victim, signal.SIGKILL)
        pool.wait_workers(2, without=victim)
    assert load["failures"] == []


def test_slots_start_and_stop_by_name_beside_the_others(pool: Pool):
    first = pool.workers()
    with steady_load(pool.endpoint) as load:
        pool.ctl("start", "workers:worker_02", "workers:worker_07")
        scaled_up = pool.wait_workers(4)
        pool.wait_running("gateway", *FIRST_WORKERS, "workers:worker_02", "workers:worker_07")
        pool.ctl("stop", "workers:worker_02", "workers:worker_07")
        scaled_down = pool.wait_workers(2)
    assert scaled_up.items() > first.items()
    assert scaled_down == first
    assert load["failures"] == []


def test_rolling_all_workers_fails_no_call(pool: Pool):
    before = pool.workers()
    with steady_load(pool.endpoint) as load:
        for name in FIRST_WORKERS:
            pool.ctl("restart", name)
            pool.wait_workers(2)
    assert not before.keys() & pool.workers().keys()
    assert load["failures"] == []


def test_workers_find_a_restarted_gateway_by_themselves(pool: Pool):
    before = pool.workers()
    pool.ctl("restart", "gateway")
    assert pool.wait_workers(2) == before
    assert pool.call("sleepy_echo_predict", {"value": 7, "sleep_s": 0.0}) == {"value": 7}


def test_workers_find_the_gateway_that_follows_a_killed_one(pool: Pool):
    before = pool.workers()
    gateway = int(pool.ctl("pid", "gateway"))
    os.kill(gateway, signal.SIGKILL)
    wait_until(lambda: int(pool.ctl("pid", "gateway")) not in (0, gateway), "a new gateway")
    assert pool.wait_workers(2) == before
    assert pool.call("sleepy_echo_predict", {"value": 8, "sleep_s": 0.0}) == {"value": 8}


def test_a_shutdown_answers_what_was_accepted_and_leaves_nothing_behind():
    with running_pool() as pool:
        everything = pool.processes()
        assert len(everything) == 4  # supervisord, the gateway, two workers
        peer = Peer(pool.endpoint)
        for value in range(8):
            peer.ask("predict", [value], sleep_s=0.5)
        wait_until(lambda: pool.call("get_status")["open_calls"] == 8, "accepted calls")
        pool.ctl("shutdown")
        complaints = []
        while peer.open and peer.socket.poll(CTL_TIMEOUT_S * 1000):
            ended = peer.take()
            complaints += [ended[1]] if ended else []
        peer.close()
        assert complaints == [""] * 8
        assert pool.wait_exit() == 0
        _, alive = psutil.wait_procs(everything, timeout=0)
        assert alive == []
        assert pool.processes() == []
        assert [path for path in (pool.folder / "run").rglob("*") if not path.is_dir()] == []
