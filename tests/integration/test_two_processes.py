"""Gateway and workers as commands of their own, started in any order, over ipc and tcp."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Command, call, free_endpoint, model_tables, run_zeropool, wait_until
from interop.iris_facts import SETOSA, is_a_prediction
from raw_dealer import RawDealer

SLEEPER = model_tables("fixture_models.slow.SleepModel")
EXIT_CONFIG = 78


class Site:
    """A folder with a configuration and a runtime directory, in which commands run."""

    def __init__(self, folder: Path, keep: Callable[[Command], Command], toml: str = "") -> None:
        self.endpoint = free_endpoint()
        self._folder = folder
        self._keep = keep
        self._runtime = folder / "run"
        self._runtime.mkdir()
        (folder / "zeropool.toml").write_text(toml)
        self.environment = {
            "XDG_RUNTIME_DIR": str(self._runtime),
            "ZEROPOOL_GATEWAY_BIND": self.endpoint,
        }

    def start(self, *arguments: str) -> Command:
        return self._keep(Command(arguments, cwd=self._folder, extra_env=self.environment))

    def gateway(self, *arguments: str) -> Command:
        gateway = self.start("gateway", *arguments)
        gateway.wait_for_output("listening")
        return gateway

    def worker(self, *arguments: str) -> Command:
        return self.start("worker", *arguments)

    def sockets(self) -> list[Path]:
        return sorted((self._runtime / "zeropool").iterdir())


@pytest.fixture
def make_site(short_path, stopped_at_the_end) -> Callable[..., Site]:
    def make(toml: str = "") -> Site:
        return Site(short_path, stopped_at_the_end, toml)

    return make


def ready_workers(endpoint: str) -> int:
    workers = call(endpoint, "get_status")["workers"]
    return sum(worker["state"] == "ready" for worker in workers)


def wait_for_workers(endpoint: str, count: int) -> None:
    wait_until(lambda: ready_workers(endpoint) == count, f"{count} workers are ready")


def predict(endpoint: str) -> bool:
    return is_a_prediction(call(endpoint, "iris_model_predict", SETOSA))


def test_a_gateway_and_then_a_worker(make_site):
    site = make_site()
    site.gateway()
    site.worker().wait_for_output("ready")
    assert predict(site.endpoint)


def test_a_worker_and_then_a_gateway(make_site):
    site = make_site()
    worker = site.worker()
    worker.wait_for_output("models loaded")
    site.gateway()
    assert predict(site.endpoint)


def test_a_call_waits_for_the_first_worker(make_site):
    site = make_site()
    site.gateway()
    with RawDealer(site.endpoint) as dealer:
        early = dealer.request("iris_model_predict", SETOSA)
        listing = dealer.request("get_models")
        # The gateway has both: what needs no model is answered after them.
        assert dealer.receive(dealer.request("_zerorpc_ping"))[0] == "OK"
        site.worker()
        name, args = dealer.receive(early)
        assert name == "OK"
        assert is_a_prediction(args[0])
        assert [model["qualified_name"] for model in dealer.receive(listing)[1][0]] == [
            "iris_model"
        ]


def test_a_call_that_no_worker_ever_answers_is_an_unknown_method(make_site):
    site = make_site("gateway.startup_grace_s = 0.5")
    site.gateway()
    with pytest.raises(Exception, match="iris_model_predict") as failure:
        predict(site.endpoint)
    assert failure.value.name == "NameError"


def test_workers_join_and_leave_at_any_time(make_site):
    site = make_site()
    site.gateway()
    workers = [site.worker()]
    wait_for_workers(site.endpoint, 1)
    workers += [site.worker(), site.worker()]
    wait_for_workers(site.endpoint, 3)
    assert predict(site.endpoint)
    assert workers[0].stop() == 0
    wait_for_workers(site.endpoint, 2)
    assert predict(site.endpoint)
    workers[1].send(signal.SIGKILL)
    wait_for_workers(site.endpoint, 1)
    assert predict(site.endpoint)


def test_a_worker_that_drains_finishes_its_call_and_hands_the_others_over(make_site):
    site = make_site(SLEEPER)
    site.gateway()
    first = site.worker()
    wait_for_workers(site.endpoint, 1)
    with RawDealer(site.endpoint) as dealer:
        calls = [dealer.request("sleeper_predict", {"sleep_s": 1}) for _ in range(3)]
        wait_until(
            lambda: any(
                worker["in_flight"] for worker in call(site.endpoint, "get_status")["workers"]
            ),
            "the worker has a call",
        )
        first.send(signal.SIGTERM)
        site.worker()
        assert [dealer.receive(channel) for channel in calls] == [("OK", [{"slept_s": 1}])] * 3
    assert first.wait() == 0


def test_a_gateway_that_starts_again_finds_its_workers(make_site):
    site = make_site()
    gateway = site.gateway()
    site.worker()
    wait_for_workers(site.endpoint, 1)
    gateway.send(signal.SIGKILL)
    gateway.wait()
    site.gateway()
    wait_for_workers(site.endpoint, 1)
    assert predict(site.endpoint)


def test_one_worker_serves_two_gateways(make_site):
    site = make_site()
    fronts = [(free_endpoint(), free_endpoint()) for _ in range(2)]
    for bind, workers_bind in fronts:
        site.gateway("--bind", bind, "--workers-bind", workers_bind)
    reports = [option for _, endpoint in fronts for option in ("--gateway", endpoint)]
    worker = site.worker(*reports)
    for bind, _ in fronts:
        wait_for_workers(bind, 1)
        assert predict(bind)
    pids = {call(bind, "get_status")["workers"][0]["pid"] for bind, _ in fronts}
    assert pids == {worker.pid}


def test_one_of_two_gateways_may_die(make_site):
    site = make_site()
    fronts = [(free_endpoint(), free_endpoint()) for _ in range(2)]
    gateways = [
        site.gateway("--bind", bind, "--workers-bind", workers_bind)
        for bind, workers_bind in fronts
    ]
    site.worker(*(option for _, endpoint in fronts for option in ("--gateway", endpoint)))
    for bind, _ in fronts:
        wait_for_workers(bind, 1)
    gateways[0].send(signal.SIGKILL)
    gateways[0].wait()
    for _ in range(10):
        assert predict(fronts[1][0])


def test_workers_report_over_tcp(make_site):
    site = make_site()
    workers_bind = free_endpoint()
    site.gateway("--workers-bind", workers_bind)
    worker_bind = free_endpoint()
    site.worker("--gateway", workers_bind, "--worker-bind", worker_bind)
    site.worker("--gateway", workers_bind)
    wait_for_workers(site.endpoint, 2)
    for _ in range(10):
        assert predict(site.endpoint)


def test_sockets_are_in_a_private_folder_and_removed_at_the_end(make_site):
    site = make_site()
    gateway = site.gateway()
    worker = site.worker()
    wait_for_workers(site.endpoint, 1)
    runtime = Path(site.environment["XDG_RUNTIME_DIR"]) / "zeropool"
    assert runtime.stat().st_mode & 0o777 == 0o700
    names = [path.name.partition("-")[0] for path in site.sockets()]
    assert names == ["gateway", "worker"]
    assert worker.stop() == 0
    assert gateway.stop() == 0
    assert site.sockets() == []


def test_a_runtime_folder_whose_path_is_too_long_is_refused(tmp_path):
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    done = run_zeropool(
        "gateway",
        "--bind",
        free_endpoint(),
        cwd=tmp_path,
        extra_env={"XDG_RUNTIME_DIR": str(deep)},
    )
    assert done.returncode == EXIT_CONFIG
    assert "107 bytes" in done.stderr
    assert "XDG_RUNTIME_DIR" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_second_gateway_on_the_same_port_harms_nobody(make_site):
    site = make_site()
    site.gateway()
    site.worker()
    wait_for_workers(site.endpoint, 1)
    second = site.start("gateway")
    assert second.wait() == EXIT_CONFIG
    assert "ddress already in use" in second.output
    # The first still hears its workers: a call needs both directions.
    assert predict(site.endpoint)
    assert len(site.sockets()) == 2


def test_a_second_gateway_on_the_same_workers_socket_is_refused(make_site):
    site = make_site()
    site.gateway()
    site.worker()
    wait_for_workers(site.endpoint, 1)
    runtime = Path(site.environment["XDG_RUNTIME_DIR"])
    taken = next(path for path in site.sockets() if path.name.startswith("gateway"))
    second = site.start("gateway", "--bind", free_endpoint(), "--workers-bind", f"ipc://{taken}")
    assert second.wait() == EXIT_CONFIG
    assert "another process listens there" in second.output
    assert predict(site.endpoint)
    assert os.path.commonpath([runtime, taken]) == str(runtime)


def test_a_worker_whose_model_cannot_be_served_says_why(make_site):
    site = make_site(model_tables("fixture_models.refused.BrokenWarmup"))
    worker = site.worker()
    assert worker.wait() == EXIT_CONFIG
    assert "no device" in worker.output
    assert "Traceback" not in worker.output


def test_a_worker_without_a_gateway_still_stops_when_told(make_site):
    site = make_site()
    worker = site.worker()
    worker.wait_for_output("listening")
    assert worker.stop() == 0
