"""`zeropool serve` as its operator meets it: starts, signals, deaths, refusals."""

import os
import re
import signal
import socket
import time

import pytest
from harness import (
    START_TIMEOUT_S,
    Service,
    call,
    model_tables,
    run_zeropool,
    wait_until,
)
from interop.iris_facts import SETOSA, is_a_prediction
from raw_dealer import RawDealer

EXIT_CONFIG = 78
KILLED_PARENT_S = 2.0
CTRL_C_S = 3.0

SLEEPER = model_tables("fixture_models.slow.SleepModel")
FLOWER = "fixture_models.flowers.FlowerModel"
ECHO = model_tables("fixture_models.plain.EchoModel")

REFUSALS = {
    "refused.NOT_A_CLASS": "NOT_A_CLASS",
    "refused.NoDescription": "description",
    "refused.BrokenConstructor": "no weights",
    "refused.BrokenProperty": "not yet",
    "refused.TextVersion": "major_version",
    "refused.BooleanVersion": "minor_version",
    "refused.DashedName": "iris-model",
    "refused.PrivateName": "_iris",
    "refused.NoMethod": "predict",
    "refused.UnknownSchema": "input_schema",
    "refused.WrongSchema": "output_schema",
    "refused.BatchIsNoMethod": "predict_batch",
    "refused.RetrySafeIsText": "retry_safe",
    "refused.BrokenWarmup": "no device",
    "refused.Missing": "Missing",
    "unimportable.AnyModel": "not_installed_anywhere",
    "no_such_module.AnyModel": "no_such_module",
}


def in_flight(service: Service) -> int:
    return sum(worker["in_flight"] for worker in service.call("get_status")["workers"])


def ready_pids(service: Service) -> set[int]:
    status = service.call("get_status")
    return {worker["pid"] for worker in status["workers"] if worker["state"] == "ready"}


# Starting


def test_the_start_says_what_is_served_and_how_to_call_it(serve):
    service = serve(workers=2).ready()
    said = [line for line in service.output.splitlines() if not re.match(r"\d{4}-", line)]
    assert said[0].startswith("Zeropool ")
    assert said[0].endswith(f" serves {service.endpoint}")
    assert said[1].split() == ["model", "iris_model", "0.1", "(Iris", "Model)"]
    assert said[2].strip().startswith("workers  2")
    assert f"zeropool call --connect {service.endpoint} iris_model_predict '{{" in said[3]
    assert said[4].split() == ["stop", "it", "Ctrl-C"]


def test_the_call_that_the_start_suggests_works(serve):
    service = serve(workers=1).ready()
    suggestion = next(line for line in service.output.splitlines() if "try it" in line)
    arguments = suggestion.split("zeropool ", 1)[1].split("'")
    done = run_zeropool(*arguments[0].split(), arguments[1])
    assert (done.returncode, done.stderr) == (0, "")
    assert "species" in done.stdout


def test_a_model_of_the_original_kind_is_served(serve):
    service = serve(model_tables(FLOWER), workers=1).ready()
    assert service.call("flower_model_predict", SETOSA) == {"species": "setosa"}
    metadata = service.call("get_model_metadata", "flower_model")
    assert set(metadata["input_schema"]["required"]) == set(SETOSA)
    with pytest.raises(Exception, match="petal_width") as failure:
        service.call("flower_model_predict", SETOSA | {"petal_width": "abc"})
    assert failure.value.name == "MLModelSchemaValidationException"


def test_models_with_pydantic_and_struct_schemas_are_served(serve):
    models = model_tables("fixture_models.typed.PydanticModel", "fixture_models.typed.StructModel")
    service = serve(models, workers=1).ready()
    assert service.call("pydantic_order_predict", {"price": 2.5, "count": 4}) == {"total": 10.0}
    assert service.call("struct_point_predict", {"x": 3, "y": 4.0}) == {"distance": 5.0}
    with pytest.raises(Exception, match="count"):
        service.call("pydantic_order_predict", {"price": 2.5, "count": 0})
    schemas = [
        str(service.call("get_model_metadata", name)["input_schema"])
        for name in ("pydantic_order", "struct_point")
    ]
    assert "price" in schemas[0]
    assert "x" in schemas[1]


@pytest.mark.parametrize(("path", "reason"), REFUSALS.items(), ids=REFUSALS)
def test_a_model_that_cannot_be_served_is_refused_with_the_reason(serve, path, reason):
    service = serve(model_tables(f"fixture_models.{path}"), workers=1)
    service.family()
    assert service.wait() == EXIT_CONFIG
    complaint = next(line for line in service.output.splitlines() if line.startswith("zeropool: "))
    module, name = path.split(".")
    assert f"fixture_models.{module}" in complaint
    assert name in complaint or "unimport" in module or "no_such" in module
    assert reason in complaint
    assert "Traceback" not in service.output
    service.assert_all_gone()


def test_two_models_with_one_name_are_refused(serve):
    service = serve(ECHO + ECHO, workers=1)
    service.family()
    assert service.wait() == EXIT_CONFIG
    complaint = next(line for line in service.output.splitlines() if line.startswith("zeropool: "))
    assert "echo" in complaint
    service.assert_all_gone()


def test_a_second_serve_on_the_same_port_is_refused_and_harms_nobody(serve, tmp_path):
    first = serve(workers=1).ready()
    port = first.endpoint.rpartition(":")[2]
    done = run_zeropool("serve", "--bind", first.endpoint, "--workers", "1", cwd=tmp_path)
    assert done.returncode == EXIT_CONFIG
    complaint = [line for line in done.stderr.splitlines() if line.startswith("zeropool: ")]
    assert len(complaint) == 1
    assert f"127.0.0.1:{port}" in complaint[0]
    assert "ddress already in use" in complaint[0]
    assert "Traceback" not in done.stderr
    assert is_a_prediction(first.call("iris_model_predict", SETOSA))
    assert len(ready_pids(first)) == 1


# Deaths


def test_nothing_outlives_a_serve_that_is_killed(serve):
    service = serve(SLEEPER, workers=2).ready()
    with RawDealer(service.endpoint) as dealer:
        # One worker is busy: it could not hear a signal that asks.
        dealer.request("sleeper_predict", {"sleep_s": 30})
        wait_until(lambda: in_flight(service) == 1, "the call is with a worker")
        service.send(signal.SIGKILL)
        service.assert_all_gone(KILLED_PARENT_S)
    assert service.wait() == -signal.SIGKILL


def test_a_killed_worker_is_back_and_calls_go_on(serve):
    service = serve(workers=2).ready()
    victim, survivor = service.worker_pids()
    service.family()
    os.kill(victim, signal.SIGKILL)
    for _ in range(20):
        assert is_a_prediction(service.call("iris_model_predict", SETOSA))
    wait_until(
        lambda: len(ready_pids(service)) == 2 and victim not in ready_pids(service),
        "another worker took its place",
    )
    assert survivor in ready_pids(service)
    assert "died child=worker-" in service.output
    assert "reason=SIGKILL" in service.output


def test_a_killed_gateway_is_back_and_the_workers_register_again(serve):
    service = serve(workers=2).ready()
    workers = ready_pids(service)
    service.family()
    service.gateway_process().kill()
    # A call that comes while nobody listens waits in the client's socket.
    assert is_a_prediction(service.call("iris_model_predict", SETOSA))
    wait_until(lambda: ready_pids(service) == workers, "the same workers are with the new gateway")


def test_calls_go_on_after_gateway_and_all_workers_died_at_once(serve):
    service = serve(workers=2).ready()
    service.family()
    for pid in [service.gateway_process().pid, *service.worker_pids()]:
        os.kill(pid, signal.SIGKILL)
    assert is_a_prediction(service.call("iris_model_predict", SETOSA))


# Stopping


def test_term_answers_what_was_accepted_and_refuses_what_is_new(serve):
    service = serve(SLEEPER, workers=1).ready()
    with RawDealer(service.endpoint) as dealer:
        # The second waits in the gateway's queue when TERM comes.
        accepted = [dealer.request("sleeper_predict", {"sleep_s": 1}) for _ in range(2)]
        wait_until(lambda: in_flight(service) == 1, "one call is with the worker")
        service.send(signal.SIGTERM)
        wait_until(lambda: service.call("get_status")["state"] == "draining", "the gateway drains")
        refused = dealer.request("sleeper_predict", {"sleep_s": 0})
        assert dealer.receive(refused)[1][:2] == [
            "Draining",
            "the service is shutting down; call again",
        ]
        answers = [dealer.receive(channel) for channel in accepted]
    assert answers == [("OK", [{"slept_s": 1}])] * 2
    assert service.wait() == 0
    assert "Traceback" not in service.output
    service.assert_all_gone()


def test_what_is_not_finished_when_the_drain_time_is_over_is_told_so(serve):
    service = serve("gateway.drain_s = 0.5\nworker.drain_s = 0.5\n" + SLEEPER, workers=1).ready()
    with RawDealer(service.endpoint) as dealer:
        accepted = dealer.request("sleeper_predict", {"sleep_s": 2})
        wait_until(lambda: in_flight(service) == 1, "the call is with the worker")
        service.send(signal.SIGTERM)
        name, args = dealer.receive(accepted)
    assert (name, args[0]) == ("ERR", "Draining")
    assert service.wait() == 0
    service.assert_all_gone()


def test_ctrl_c_ends_everything_at_once_and_quietly(serve):
    service = serve(SLEEPER, workers=2).ready()
    with RawDealer(service.endpoint) as dealer:
        called = dealer.request("sleeper_predict", {"sleep_s": 30})
        wait_until(lambda: in_flight(service) == 1, "the call is with a worker")
        pressed_at = time.monotonic()
        service.family()
        os.killpg(service.pid, signal.SIGINT)
        assert service.wait() == 0
        assert dealer.receive(called)[1][0] == "Draining"
    service.assert_all_gone(CTRL_C_S - (time.monotonic() - pressed_at))
    assert "Traceback" not in service.output
    assert "KeyboardInterrupt" not in service.output


def test_ctrl_c_while_it_starts_ends_everything_quietly(serve):
    service = serve(workers=2)
    # The children are being made now; Python itself is still starting in them.
    wait_until(lambda: len(service.family()) >= 3, "children are there", START_TIMEOUT_S)
    pressed_at = time.monotonic()
    os.killpg(service.pid, signal.SIGINT)
    assert service.wait() == 0
    service.assert_all_gone(CTRL_C_S)
    assert time.monotonic() - pressed_at < CTRL_C_S
    assert "Traceback" not in service.output


def test_ctrl_c_cuts_a_drain_short(serve):
    service = serve(SLEEPER, workers=1).ready()
    with RawDealer(service.endpoint) as dealer:
        dealer.request("sleeper_predict", {"sleep_s": 30})
        wait_until(lambda: in_flight(service) == 1, "the call is with the worker")
        service.send(signal.SIGTERM)
        service.wait_for_output("draining, then stopping")
        pressed_at = time.monotonic()
        os.killpg(service.pid, signal.SIGINT)
        assert service.wait() == 0
    assert time.monotonic() - pressed_at < CTRL_C_S
    service.assert_all_gone()


def test_the_port_is_free_after_the_end(serve):
    service = serve(workers=1).ready()
    assert service.stop() == 0
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", int(service.endpoint.rpartition(":")[2])))


def test_a_call_before_the_start_is_answered_when_the_pool_is_up(tmp_path, stopped_at_the_end):
    service = Service(tmp_path, workers=1)
    stopped_at_the_end(service)
    assert is_a_prediction(call(service.endpoint, "iris_model_predict", SETOSA))
