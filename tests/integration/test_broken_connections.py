"""Results on their way over a connection that breaks: none is lost, and none comes twice."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from cutting_proxy import CuttingProxy
from harness import Command, call, free_endpoint, model_tables, wait_until
from raw_dealer import RawDealer
from supervisor_rig import steady_load

CUTS = 8
#: The connection is up again within a tenth of a second, and a call takes some milliseconds.
MAX_WAIT_S = 5.0


@pytest.fixture
def endpoint() -> str:
    return free_endpoint()


@pytest.fixture
def gateway(short_path: Path, endpoint: str, stopped_at_the_end) -> Command:
    models = model_tables("fixture_models.once.OnceEchoModel")
    (short_path / "zeropool.toml").write_text('log.level = "DEBUG"\n' + models)
    command = stopped_at_the_end(
        Command(
            ["gateway", "--bind", endpoint, "--workers-bind", free_endpoint()],
            cwd=short_path,
            extra_env={"XDG_RUNTIME_DIR": str(short_path)},
        )
    )
    command.wait_for_output("listening")
    return command


@pytest.fixture
def proxy(gateway: Command) -> Iterator[CuttingProxy]:
    proxy = CuttingProxy(gateway.process.args[-1])
    yield proxy
    proxy.close()


@pytest.fixture
def worker(short_path: Path, proxy: CuttingProxy) -> Iterator[Command]:
    """The only worker. What it says goes through the proxy, what it is told does not."""
    command = Command(
        ["worker", "--gateway", proxy.endpoint],
        cwd=short_path,
        extra_env={"XDG_RUNTIME_DIR": str(short_path)},
    )
    try:
        command.wait_for_output("ready")
        yield command
    finally:
        command.stop()


def cut(proxy: CuttingProxy) -> None:
    before = proxy.connections
    proxy.lose_and_cut()
    wait_until(lambda: proxy.connections > before, "the worker has connected again")


def answered(endpoint: str) -> int:
    """How many calls have been answered so far."""
    (model,) = call(endpoint, "get_status")["models"]
    return model["outcomes"].get("OK", 0)


@pytest.mark.usefixtures("worker")
def test_every_call_is_answered_once_and_soon_though_connections_break(
    gateway: Command, proxy: CuttingProxy, endpoint: str
):
    with steady_load(endpoint) as load:
        for _ in range(CUTS):
            cut(proxy)
            # Where the next cut came before that, on a busy machine, one call waited for them all.
            before = answered(endpoint)
            wait_until(lambda before=before: answered(endpoint) > before, "calls are answered")
    status = call(endpoint, "get_status")
    assert load["failures"] == []
    assert load["longest_s"] < MAX_WAIT_S
    # One outcome for each call, and nothing was given to a worker a second time.
    assert status["models"][0]["outcomes"] == {"OK": load["answered"]}
    assert status["redispatched"] == 0
    assert set(status["dropped"]) <= {"result_repeated", "result_unknown_job"}
    assert "worker lost" not in gateway.output


def test_what_a_draining_worker_says_last_arrives_though_its_connection_breaks(
    worker: Command, gateway: Command, proxy: CuttingProxy, endpoint: str
):
    with RawDealer(endpoint) as dealer:
        asked = dealer.request("sleepy_echo_predict", {"value": 7, "sleep_s": 2})
        worker.wait_for_job()
        worker.send(signal.SIGTERM)
        proxy.lose_and_cut()
        assert dealer.receive(asked) == ("OK", [{"value": 7}])
    assert worker.wait() == 0
    gateway.wait_for_output("worker gone")
