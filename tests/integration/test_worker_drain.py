"""How long a worker of its own may go on with what it computes once it is told to end."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import zerorpc
from harness import Command, call, free_endpoint, model_tables, wait_until

from zeropool.client import Client

DRAIN_S = 1.0
LONG_S = 60
#: The end of a process that is not waited for any more; a machine that is busy takes its time.
SOON_S = 5.0
MODELS = ("fixture_models.slow.SleepModel", "fixture_models.slow.BusyModel")


@pytest.fixture
def start(short_path, stopped_at_the_end) -> Callable[[float], tuple[str, Command]]:
    """Starts a gateway and its only worker with so much time to drain."""

    def start(drain_s: float) -> tuple[str, Command]:
        # Nobody is to wait for another worker, or for the last call when the test is over.
        settings = (
            f"worker.drain_s = {drain_s}\ngateway.max_attempts = 1\ngateway.drain_s = 0\n"
            'log.level = "DEBUG"\n'
        )
        (short_path / "zeropool.toml").write_text(settings + model_tables(*MODELS))
        endpoint = free_endpoint()
        env = {"ZEROPOOL_GATEWAY_BIND": endpoint, "XDG_RUNTIME_DIR": str(short_path)}
        gateway, worker = (
            stopped_at_the_end(Command([name], cwd=short_path, extra_env=env))
            for name in ("gateway", "worker")
        )
        gateway.wait_for_output("listening")
        worker.wait_for_output("ready")
        return endpoint, worker

    return start


@pytest.fixture
def begin() -> Iterator[Callable[..., list[Any]]]:
    """Makes a call in a thread, and returns when a worker has it; the answer comes in a list."""
    callers: list[threading.Thread] = []

    def begin(endpoint: str, worker: Command, method: str, argument: object) -> list[Any]:
        taken = worker.jobs_taken
        answers: list[Any] = []

        def ask() -> None:
            with Client(endpoint) as client:
                try:
                    answers.append(client.call(method, argument))
                except zerorpc.RemoteError as error:
                    answers.append(error)

        caller = threading.Thread(target=ask)
        caller.start()
        callers.append(caller)
        worker.wait_for_job(taken + 1)
        return answers

    yield begin
    for caller in callers:
        caller.join()


@pytest.mark.parametrize(
    ("method", "argument"),
    [
        ("sleeper_predict", {"sleep_s": LONG_S}),
        ("busy_predict", {"busy_s": LONG_S}),
        # Each row is a prediction of its own, with a hard limit of its own.
        ("sleeper_predict_batch", [{"sleep_s": 0.4}] * LONG_S),
    ],
)
def test_a_batch_that_outlasts_the_time_to_drain_ends_with_its_worker(
    begin, start, method, argument
):
    endpoint, worker = start(DRAIN_S)
    # What is known as fast gets many rows at once.
    call(endpoint, "sleeper_predict_batch", [{"sleep_s": 0}] * LONG_S)
    answers = begin(endpoint, worker, method, argument)
    told_at = time.monotonic()
    worker.send(signal.SIGTERM)
    assert worker.wait(SOON_S) == -signal.SIGALRM
    assert time.monotonic() - told_at >= DRAIN_S
    assert "in predict" in worker.output
    wait_until(lambda: answers, "the caller knows")
    assert "WorkerLost" in str(answers[0])


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_who_is_told_again_waits_for_nothing(begin, start, second):
    endpoint, worker = start(LONG_S)
    begin(endpoint, worker, "sleeper_predict", {"sleep_s": LONG_S})
    worker.send(signal.SIGTERM)

    def is_over() -> bool:
        # Two signals of a kind that come together are one.
        worker.send(second)
        return worker.process.poll() is not None

    wait_until(is_over, "it has ended", SOON_S)
    assert worker.wait() == -signal.SIGALRM


def test_a_batch_that_ends_in_time_is_answered(begin, start):
    endpoint, worker = start(LONG_S)
    answers = begin(endpoint, worker, "sleeper_predict", {"sleep_s": 0.5})
    worker.send(signal.SIGTERM)
    assert worker.wait() == 0
    wait_until(lambda: answers, "an answer")
    assert answers == [{"slept_s": 0.5}]


def test_an_idle_worker_that_is_told_twice_ends_well(start):
    _, worker = start(LONG_S)
    # Both are there when it looks; once it has ended, signals have their usual effect again.
    for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGINT, signal.SIGCONT):
        worker.send(number)
    assert worker.wait(SOON_S) == 0
