"""A gateway that dies under load: what callers see who repeat, and those who do not."""

import threading
from collections import Counter
from itertools import count

import pytest
from harness import Command, Service, model_tables, run_zeropool, wait_until

from zeropool.client import Client, RetryPolicy

SLEEPY_ECHO = "fixture_models.slow.SleepyEchoModel"
RETRYING = 6
PLAIN = 2
KILLS = 3
SLEEP_S = 0.02
#: More than the gateway and its workers need to find each other again.
TIMEOUT_S = 40.0


class Caller(threading.Thread):
    """Calls with one client until it is told to stop, and keeps its books."""

    def __init__(self, endpoint: str, retry: RetryPolicy | None) -> None:
        super().__init__(daemon=True)
        self.right = 0
        self.wrong: list[object] = []
        self.errors: Counter[str] = Counter()
        self.is_over = threading.Event()
        self._endpoint = endpoint
        self._retry = retry

    def run(self) -> None:
        with Client(self._endpoint, timeout_s=TIMEOUT_S, retry=self._retry) as client:
            for number in count():
                if self.is_over.is_set():
                    return
                self._call(client, number)

    def _call(self, client: Client, number: int) -> None:
        try:
            answer = client.call("sleepy_echo_predict", {"value": number, "sleep_s": SLEEP_S})
        except Exception as error:  # noqa: BLE001 - all of them are what is counted
            self.errors[type(error).__name__] += 1
            return
        if answer == {"value": number}:
            self.right += 1
        else:
            self.wrong.append(answer)


@pytest.fixture
def callers():
    started: list[Caller] = []
    yield started
    for caller in started:
        caller.is_over.set()
    for caller in started:
        caller.join(TIMEOUT_S)


def test_every_call_of_a_client_that_repeats_is_answered_though_the_gateway_is_killed(
    serve, callers
):
    service = serve(model_tables(SLEEPY_ECHO), workers=2).ready()
    service.family()
    policy = RetryPolicy(models={"sleepy_echo"})
    callers += [Caller(service.endpoint, policy) for _ in range(RETRYING)]
    callers += [Caller(service.endpoint, None) for _ in range(PLAIN)]
    for caller in callers:
        caller.start()
    for _ in range(KILLS):
        all_go_on(callers)
        service.gateway_process().kill()
    all_go_on(callers)
    for caller in callers:
        caller.is_over.set()
    for caller in callers:
        caller.join(TIMEOUT_S)
        assert not caller.is_alive()
        assert caller.wrong == []
    assert sum((caller.errors for caller in callers[:RETRYING]), Counter()) == {}
    # Who does not repeat is told, by the one name, and goes on with the same client.
    told = sum((caller.errors for caller in callers[RETRYING:]), Counter())
    assert set(told) == {"LostRemote"}
    assert 1 <= told.total() <= KILLS * PLAIN


def all_go_on(callers: list[Caller]) -> None:
    before = [caller.right for caller in callers]

    def have_answers() -> bool:
        return all(caller.right >= had + 5 for caller, had in zip(callers, before, strict=True))

    wait_until(have_answers, "every caller gets answers", TIMEOUT_S)


def test_the_command_repeats_a_prediction_when_it_is_told_to(serve):
    service = serve(model_tables("fixture_models.slow.SleepModel"), workers=1).ready()
    service.family()
    arguments = ("call", "--connect", service.endpoint, "sleeper_predict", '{"sleep_s": 2}')

    def kill_when_it_computes() -> None:
        wait_until(
            lambda: service.call("get_status")["workers"][0]["in_flight"] == 1, "it computes"
        )
        service.gateway_process().kill()

    for options, code in ((["--retry"], 0), ([], 1)):
        killing = threading.Thread(target=kill_when_it_computes)
        killing.start()
        done = run_zeropool(*arguments, *options)
        killing.join()
        assert done.returncode == code, done.stderr
        wait_until(
            lambda: [w["state"] for w in service.call("get_status")["workers"]] == ["ready"],
            "the worker is back",
        )
    assert done.stderr == "LostRemote: Lost remote: the connection broke\n"


def test_the_command_waits_for_a_service_when_it_is_told_to(tmp_path, stopped_at_the_end):
    service = stopped_at_the_end(
        Service(tmp_path, model_tables("fixture_models.plain.EchoModel"), workers=1)
    )
    caller = Command(["call", "--retry", "--connect", service.endpoint, "echo_predict", "5"])
    assert stopped_at_the_end(caller).wait() == 0
    assert caller.output == "5\n"
