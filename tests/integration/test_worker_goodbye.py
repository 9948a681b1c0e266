"""A worker that is told to stop says goodbye after its last result, and the gateway hears both."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Command, free_endpoint, model_tables
from raw_dealer import RawDealer

#: Long on its way, below the limit of a reply.
LARGE = 60_000_000
#: So many, that a model is known as fast.
FAST_CALLS = 5


@pytest.fixture
def endpoint() -> str:
    return free_endpoint()


@pytest.fixture
def start(short_path: Path, endpoint: str, stopped_at_the_end) -> Callable[[str], Command]:
    """Starts a gateway or a worker, the only ones of their kind until there are more."""
    models = ("fixture_models.once.LargeOnceModel", "fixture_models.once.OnceEchoModel")
    (short_path / "zeropool.toml").write_text('log.level = "DEBUG"\n' + model_tables(*models))
    env = {"ZEROPOOL_GATEWAY_BIND": endpoint, "XDG_RUNTIME_DIR": str(short_path)}

    def start(name: str) -> Command:
        return stopped_at_the_end(Command([name], cwd=short_path, extra_env=env))

    return start


@pytest.fixture
def worker(start: Callable[[str], Command]) -> Command:
    """The only worker of a gateway."""
    start("gateway")
    worker = start("worker")
    worker.wait_for_output("ready")
    return worker


@pytest.mark.parametrize("characters", [1, LARGE])
def test_a_stopping_workers_last_result_arrives_though_nothing_may_be_repeated(
    worker: Command, endpoint: str, characters: int
):
    with RawDealer(endpoint) as dealer:
        asked = dealer.request("large_once_predict", {"characters": characters, "sleep_s": 0.5})
        worker.wait_for_job()
        worker.send(signal.SIGTERM)
        assert worker.wait() == 0
        name, (answer,) = dealer.receive(asked)
    assert (name, len(answer)) == ("OK", characters)


def test_a_call_that_a_stopping_worker_has_not_taken_goes_to_the_next_one(
    start: Callable[[str], Command], worker: Command, endpoint: str
):
    with RawDealer(endpoint) as dealer:
        # What is known as fast is given ahead: the last call lies at the worker's door.
        for value in range(FAST_CALLS):
            assert dealer.ask("sleepy_echo_predict", {"value": value, "sleep_s": 0})[0] == "OK"
        running = dealer.request("sleepy_echo_predict", {"value": -1, "sleep_s": 0.5})
        worker.wait_for_job(FAST_CALLS + 1)
        waiting = dealer.request("sleepy_echo_predict", {"value": -2, "sleep_s": 0})
        worker.send(signal.SIGTERM)
        assert worker.wait() == 0
        start("worker")
        assert dealer.receive(running) == ("OK", [{"value": -1}])
        assert dealer.receive(waiting) == ("OK", [{"value": -2}])
