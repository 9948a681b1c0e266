"""A predict that takes 20 s costs nobody a LostRemote, and nobody else any time.

zerorpc.Server loses its callers after about 15 s with the default heartbeats, and makes everybody
else wait. All slow calls run at the same time, each in a worker of its own; one worker is left.
"""

import json
from collections.abc import Iterator

import pytest
from harness import Service, model_tables, wait_until
from peers import Peer, missing_node, node_peer, python_peer, require_node
from raw_dealer import RawDealer

SLOW_S = 20
#: One after the other; alone they take about 2 s.
CALLS = 1000
CALL_TIMEOUT_S = 60
#: A peer starts and ends around its call.
PEER_TIMEOUT_S = SLOW_S + 20

SLEEP = json.dumps({"sleep_s": SLOW_S})
COMPUTE = json.dumps({"busy_s": SLOW_S})


@pytest.fixture(scope="module")
def slow_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    models = model_tables(
        "fixture_models.slow.SleepModel",
        "fixture_models.slow.BusyModel",
        "fixture_models.plain.EchoModel",
    )
    service = Service(tmp_path_factory.mktemp("slow"), models, workers=4)
    try:
        yield service.ready()
    finally:
        service.stop()


@pytest.fixture(scope="module")
def slow_callers(slow_service: Service) -> Iterator[dict[str, Peer]]:
    """Unmodified clients with default heartbeats, whose calls are with a worker each."""
    endpoint = slow_service.endpoint
    patience = ("--timeout", CALL_TIMEOUT_S)
    callers = {
        "sleeper": python_peer("call.py", *patience, endpoint, "sleeper_predict", SLEEP),
        "busy": python_peer("call.py", *patience, endpoint, "busy_predict", COMPUTE),
    }
    if not missing_node():
        callers["node"] = node_peer(
            "call.js", endpoint, "sleeper_predict", SLEEP, call_timeout_s=CALL_TIMEOUT_S
        )
    wait_until(lambda: busy_workers(slow_service) == len(callers), "each slow call has a worker")
    yield callers
    for caller in callers.values():
        caller.end()


def busy_workers(service: Service) -> int:
    return sum(worker["in_flight"] > 0 for worker in service.call("get_status")["workers"])


def test_a_thousand_other_calls_do_not_wait_behind_the_slow_ones(slow_service, slow_callers):
    others = python_peer("many.py", slow_service.endpoint, "echo_predict", CALLS)
    report = others.answer(SLOW_S)
    assert report["right"] == CALLS
    assert {name for name, caller in slow_callers.items() if not caller.is_running} == set()


def test_an_unmodified_python_client_gets_the_answer_of_a_model_that_sleeps(slow_callers):
    assert slow_callers["sleeper"].answer(PEER_TIMEOUT_S) == {"result": {"slept_s": SLOW_S}}


def test_an_unmodified_python_client_gets_the_answer_of_a_model_that_computes(slow_callers):
    result = slow_callers["busy"].answer(PEER_TIMEOUT_S)["result"]
    assert result["busy_s"] == SLOW_S
    assert result["rounds"] > 0


def test_an_unmodified_node_client_gets_the_answer_of_a_model_that_sleeps(slow_callers):
    require_node()
    assert slow_callers["node"].answer(PEER_TIMEOUT_S) == {"result": {"slept_s": SLOW_S}}


def test_no_caller_was_lost(slow_service, slow_callers):
    models = slow_service.call("get_status")["models"]
    outcomes = {model["qualified_name"]: model["outcomes"] for model in models}
    assert outcomes == {
        "sleeper": {"OK": len(slow_callers) - 1},
        "busy": {"OK": 1},
        "echo": {"OK": CALLS},
    }


def test_a_model_that_is_slow_for_once_holds_up_nobody_while_a_worker_is_free(serve):
    service = serve(model_tables("fixture_models.slow.SleepModel"), workers=2).ready()
    usual = {"sleep_s": 0.001}
    with RawDealer(service.endpoint) as slow, RawDealer(service.endpoint) as others:
        for _ in range(50):  # so that it is known as fast, and more than one call given ahead
            assert others.ask("sleeper_predict", usual)[0] == "OK"
        late = slow.request("sleeper_predict", {"sleep_s": 3})
        channels = [others.request("sleeper_predict", usual) for _ in range(200)]
        answers = [others.receive(channel) for channel in channels]
        # Those that had waited behind it would have come after its own answer.
        with pytest.raises(TimeoutError):
            slow.receive(late, timeout_s=0.01)
        assert slow.receive(late) == ("OK", [{"slept_s": 3}])
    assert answers == [("OK", [{"slept_s": 0.001}])] * 200
