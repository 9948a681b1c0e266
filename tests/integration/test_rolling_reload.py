"""`zeropool serve` under HUP, TTIN and TTOU: workers are replaced, added and removed in service."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from harness import (
    MODELS,
    START_TIMEOUT_S,
    STOP_TIMEOUT_S,
    ZEROPOOL,
    Service,
    call,
    environment,
    free_endpoint,
    is_alive,
    model_tables,
    wait_until,
)
from raw_dealer import RawDealer
from supervisor_rig import steady_load

#: Rolls under load; the acceptance run takes 20.
ROLLS = int(os.environ.get("ZEROPOOL_TEST_ROLLS", "3"))
ECHO = "fixture_models.plain.EchoModel"
SLEEPER = "fixture_models.slow.SleepModel"
SLEEPY_ECHO = "fixture_models.slow.SleepyEchoModel"

MODEL_FILE = """
from fixture_models.plain import EchoModel

class Model(EchoModel):
    minor_version = {version}
"""

ENDLESS_FILE = """
import time
from fixture_models.plain import EchoModel

class Model(EchoModel):
    def predict(self, data):
        {endless}
"""


def ready(service: Service) -> set[int]:
    """The processes of the workers that are ready."""
    workers = service.call("get_status")["workers"]
    return {worker["pid"] for worker in workers if worker["state"] == "ready"}


def in_flight(service: Service) -> int:
    return sum(worker["in_flight"] for worker in service.call("get_status")["workers"])


def wait_for_workers(service: Service, count: int) -> set[int]:
    wait_until(lambda: len(ready(service)) == count, f"{count} workers are ready")
    return ready(service)


def roll(service: Service, times: int = 1) -> None:
    """Ask for a rolling reload, and wait until so many are complete, counted from the start."""
    service.send(signal.SIGHUP)
    service.wait_for_output("INFO serve: rolled ", times=times)


def own_model(service: Service) -> Path:
    return service.config.parent / "own_model.py"


@pytest.fixture
def serve_own(tmp_path, stopped_at_the_end):
    """A service whose model is a file that the test can change."""
    (tmp_path / "own_model.py").write_text(MODEL_FILE.format(version=1))
    toml = "[serve]\nready_timeout_s = 10\n" + model_tables("own_model.Model")
    path = f"{MODELS}{os.pathsep}{tmp_path}"
    service = Service(tmp_path, toml, workers=2, extra_env={"PYTHONPATH": path})
    return stopped_at_the_end(service).ready()


# Rolling


@pytest.mark.timeout(60 + 10 * ROLLS)
def test_rolls_under_load_fail_no_call(serve):
    service = serve(model_tables(SLEEPY_ECHO), workers=2).ready()
    gateway = service.gateway_process()
    with steady_load(service.endpoint) as load:
        for number in range(1, ROLLS + 1):
            before = ready(service)
            roll(service, times=number)
            assert not before & wait_for_workers(service, 2)
    assert load["failures"] == []
    assert load["answered"] > 50
    assert service.gateway_process().pid == gateway.pid
    assert "WARNING" not in service.output
    assert "ERROR" not in service.output


def test_a_roll_brings_what_the_configuration_says_now(serve):
    service = serve(model_tables(ECHO), workers=1).ready()
    service.config.write_text(model_tables(ECHO, SLEEPER))
    roll(service)
    assert service.call("sleeper_predict", {"sleep_s": 0}) == {"slept_s": 0}


def test_new_code_is_loaded(serve_own):
    own_model(serve_own).write_text(MODEL_FILE.format(version=2))
    roll(serve_own)
    assert serve_own.call("get_model_metadata", "echo")["minor_version"] == 2


def test_a_roll_whose_replacement_cannot_serve_stops_and_harms_nobody(serve_own):
    before = ready(serve_own)
    own_model(serve_own).write_text("raise ValueError('no weights')")
    serve_own.send(signal.SIGHUP)
    serve_own.wait_for_output("ERROR serve: roll stopped")
    assert "no weights" in serve_own.output
    assert 'reason="exit code 78"' in serve_own.output
    assert serve_own.call("echo_predict", 5) == 5
    assert ready(serve_own) == before
    own_model(serve_own).write_text(MODEL_FILE.format(version=2))
    roll(serve_own)
    assert not before & wait_for_workers(serve_own, 2)


def test_a_replacement_that_takes_too_long_is_given_up(serve_own):
    before = ready(serve_own)
    toml = serve_own.config.read_text()
    serve_own.config.write_text(toml.replace("ready_timeout_s = 10", "ready_timeout_s = 1"))
    own_model(serve_own).write_text("import time\ntime.sleep(60)")
    serve_own.send(signal.SIGHUP)
    serve_own.wait_for_output("ERROR serve: roll stopped")
    assert 'reason="not ready after 1 s"' in serve_own.output
    serve_own.wait_for_output("serve: left child=worker-0")
    assert ready(serve_own) == before


def test_a_broken_configuration_is_refused_and_nothing_changes(serve):
    service = serve(model_tables(ECHO), workers=1).ready()
    before = ready(service)
    service.config.write_text("[worker]\nthreads = 'many'")
    service.send(signal.SIGHUP)
    service.wait_for_output("ERROR serve: reload refused")
    assert "worker.threads" in service.output
    assert ready(service) == before
    assert "rolling" not in service.output


def test_what_only_a_new_gateway_could_do_is_told(serve):
    service = serve(model_tables(ECHO), workers=1).ready()
    service.config.write_text("gateway.name = 'other'\n" + model_tables(ECHO))
    roll(service)
    assert "WARNING serve: [gateway], [http] or serve.gateways has changed" in service.output
    assert service.call("_zerorpc_name") == "zeropool"


def test_two_reloads_at_once_end_with_the_newest_configuration(serve_own):
    before = ready(serve_own)
    own_model(serve_own).write_text("raise ValueError('not this one')")
    serve_own.send(signal.SIGHUP)
    serve_own.wait_for_output("INFO serve: rolling")
    own_model(serve_own).write_text(MODEL_FILE.format(version=3))
    roll(serve_own)
    assert not before & wait_for_workers(serve_own, 2)
    assert serve_own.call("get_model_metadata", "echo")["minor_version"] == 3
    assert "roll stopped" not in serve_own.output


def test_a_long_prediction_is_finished_before_its_worker_goes(serve):
    service = serve(model_tables(SLEEPER), workers=1).ready()
    with RawDealer(service.endpoint) as dealer:
        asked = dealer.request("sleeper_predict", {"sleep_s": 4})
        wait_until(lambda: in_flight(service) == 1, "the call is with the worker")
        service.send(signal.SIGHUP)
        service.wait_for_output("INFO serve: replaced")
        # The successor takes calls while the predecessor computes.
        assert service.call("sleeper_predict", {"sleep_s": 0}) == {"slept_s": 0}
        assert "rolled" not in service.output
        assert dealer.receive(asked) == ("OK", [{"slept_s": 4}])
    service.wait_for_output("INFO serve: rolled")
    assert "killed" not in service.output


@pytest.mark.parametrize(
    ("endless", "end"),
    [
        # It ends itself; but not where C code never gives the interpreter back.
        ("time.sleep(60)", "reason=SIGALRM"),
        ("sum(range(10**12))", "WARNING serve: killed"),
    ],
)
def test_a_drain_that_takes_too_long_is_cut_short_and_its_call_computed_again(
    serve_own, endless, end
):
    serve_own.config.write_text("worker.drain_s = 0\n" + serve_own.config.read_text())
    own_model(serve_own).write_text(ENDLESS_FILE.format(endless=endless))
    roll(serve_own)
    own_model(serve_own).write_text(MODEL_FILE.format(version=2))
    with RawDealer(serve_own.endpoint) as dealer:
        asked = dealer.request("echo_predict", 5)
        wait_until(lambda: in_flight(serve_own) == 1, "the call is with a worker")
        serve_own.send(signal.SIGHUP)
        serve_own.wait_for_output(end)
        assert dealer.receive(asked) == ("OK", [5])
    serve_own.wait_for_output("INFO serve: rolled", times=2)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_roll_can_be_stopped(serve_own, number):
    own_model(serve_own).write_text("import time\ntime.sleep(60)")
    serve_own.send(signal.SIGHUP)
    serve_own.wait_for_output("INFO serve: rolling")
    wait_until(lambda: len(psutil.Process(serve_own.pid).children()) == 5, "the successor is there")
    serve_own.send(number)
    assert serve_own.wait() == 0
    serve_own.assert_all_gone()
    assert "Traceback" not in serve_own.output


def test_a_hangup_while_it_starts_ends_nobody(serve):
    service = serve(model_tables(ECHO), workers=2)
    wait_until(lambda: len(service.family()) >= 3, "children are there", START_TIMEOUT_S)
    os.killpg(service.pid, signal.SIGHUP)
    service.ready().wait_for_output("INFO serve: rolled")
    assert service.call("echo_predict", 5) == 5
    wait_for_workers(service, 2)
    assert "WARNING serve" not in service.output


# One more, one less


def test_one_worker_more_and_one_less_while_calls_go_on(serve):
    service = serve(model_tables(SLEEPY_ECHO), workers=1).ready()
    with steady_load(service.endpoint) as load:
        first = ready(service)
        service.send(signal.SIGTTIN)
        both = wait_for_workers(service, 2)
        assert first < both
        service.send(signal.SIGTTOU)
        assert wait_for_workers(service, 1) == first
    assert load["failures"] == []
    service.wait_for_output("INFO serve: left child=worker-1")


def test_the_last_worker_stays(serve):
    service = serve(model_tables(ECHO), workers=1).ready()
    service.send(signal.SIGTTOU)
    service.wait_for_output("WARNING serve: the last worker stays")
    assert len(ready(service)) == 1


def test_no_more_workers_than_hold_a_model(serve):
    service = serve(model_tables(ECHO, workers=1), workers=1).ready()
    service.send(signal.SIGTTIN)
    service.wait_for_output("WARNING serve: no more workers workers=1 most=1")


def test_a_worker_that_came_by_signal_is_rolled_and_stays(serve):
    service = serve(model_tables(ECHO), workers=1).ready()
    service.send(signal.SIGTTIN)
    before = wait_for_workers(service, 2)
    roll(service)
    assert not before & wait_for_workers(service, 2)


def test_a_reload_obeys_another_number_of_workers(tmp_path, stopped_at_the_end):
    service = Service(tmp_path, "worker.count = 1\n" + model_tables(ECHO), workers=None)
    stopped_at_the_end(service).ready()
    for times, count in enumerate((3, 2), 1):
        service.config.write_text(f"worker.count = {count}\n" + model_tables(ECHO))
        roll(service, times)
        wait_for_workers(service, count)


def test_without_room_for_a_process_the_others_go_on(serve):
    service = serve(model_tables(ECHO), workers=1).ready()
    process = psutil.Process(service.pid)
    before = process.rlimit(psutil.RLIMIT_NOFILE)
    process.rlimit(psutil.RLIMIT_NOFILE, (process.num_fds(), before[1]))
    service.send(signal.SIGTTIN)
    service.wait_for_output("ERROR serve: cannot start child=worker-1")
    service.send(signal.SIGTTOU)
    service.wait_for_output("INFO serve: one worker less")
    assert service.call("echo_predict", 5) == 5
    process.rlimit(psutil.RLIMIT_NOFILE, before)
    service.send(signal.SIGTTIN)
    wait_for_workers(service, 2)


# Ends that are none


def test_a_worker_that_ends_in_order_is_replaced_without_a_warning(serve):
    service = serve(model_tables(ECHO), workers=1).ready()
    (worker,) = ready(service)
    os.kill(worker, signal.SIGTERM)
    service.wait_for_output("INFO serve: recycled child=worker-0")
    wait_until(lambda: ready(service) - {worker}, "another one is there")
    assert "WARNING serve" not in service.output


IN_A_TERMINAL = """
import os, sys
terminal = os.open(sys.argv[1], os.O_RDWR)  # a session's first terminal is its own
for descriptor in (0, 1, 2):
    os.dup2(terminal, descriptor)
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_a_terminal_that_closes_ends_nobody(tmp_path):
    endpoint = free_endpoint()
    ours, theirs = os.openpty()
    (tmp_path / "zeropool.toml").write_text(model_tables(ECHO))
    command = [*ZEROPOOL, "serve", "--bind", endpoint, "--workers", "1"]
    process = subprocess.Popen(
        [sys.executable, "-c", IN_A_TERMINAL, os.ttyname(theirs), *command],
        cwd=tmp_path,
        env=environment(),
        start_new_session=True,
    )
    try:
        said = b""
        while b"stop it" not in said:
            said += os.read(ours, 4096)
        os.close(theirs)
        children = psutil.Process(process.pid).children()
        (before,) = call(endpoint, "get_status")["workers"]
        os.close(ours)

        def is_rolled() -> bool:
            pids = {worker["pid"] for worker in call(endpoint, "get_status")["workers"]}
            return len(pids) == 1 and before["pid"] not in pids

        wait_until(is_rolled, "the reload is over", START_TIMEOUT_S)
        assert call(endpoint, "echo_predict", 5) == 5
        (old,) = (child for child in children if child.pid == before["pid"])
        wait_until(lambda: not is_alive(old), "the old worker has gone")
        assert [child for child in children if not is_alive(child)] == [old]
        process.terminate()
        assert process.wait(STOP_TIMEOUT_S) == 0
    finally:
        process.kill()
        process.wait()
