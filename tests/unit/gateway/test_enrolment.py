"""Which registrations a gateway refuses, and why."""

from __future__ import annotations

import math

import msgspec
import pytest
from gateway_world import model_info, pack, worker

from zeropool.gateway.enrolment import (
    MAX_CONNECTING,
    MAX_MODELS,
    MAX_REGISTER_BYTES,
    MAX_SCHEMA_DEPTH,
    refusal,
)
from zeropool.gateway.fleet import Fleet, WorkerState
from zeropool.shared import jobs

GOOD = jobs.Register("w1", jobs.PROTOCOL_VERSION, 0, "ipc://w1", 128, 7, "host", [model_info()])


def reason(message=GOOD, *, size_bytes=500, workers=(), known_models=(), max_workers=1000):
    fleet = Fleet()
    for one in workers:
        fleet.add(one)
    refused = refusal(message, size_bytes, fleet, known_models, max_workers)
    return None if refused is None else refused.reason


def changed(**changes):
    return msgspec.structs.replace(GOOD, **changes)


def nested(levels):
    schema = {}
    for _ in range(levels - 1):
        schema = {"properties": schema}
    return schema


def test_a_worker_is_welcome():
    assert reason() is None


def test_schemas_of_many_levels_are_accepted():
    deep = model_info(input_schema=nested(MAX_SCHEMA_DEPTH))
    assert reason(changed(models=[deep])) is None


def test_what_is_accepted_can_be_told(world):
    # What is nested as deeply as a decoder allows cannot be encoded again.
    info = model_info(output_schema={"here": 1})
    frame = jobs.encode(changed(models=[info]))
    for levels in (MAX_SCHEMA_DEPTH, *range(900, 1000)):
        deep = b"\x81\xa1a" * levels + b"\x01"
        world.gateway.worker_message(frame.replace(pack({"here": 1}), deep), world.now)
        world.run()
        world.connect()
        world.call("get_model_metadata", "double", call_id=str(levels))
        world.lose()
    assert world.gateway.dropped["register_implausible"]


@pytest.mark.parametrize(
    "endpoint", ["tcp://127.0.0.1:4000", "tcp://[::1]:4000", "ipc:///run/zeropool/worker-1.ipc"]
)
def test_endpoints_that_need_no_name_service_are_accepted(endpoint):
    assert reason(changed(endpoint=endpoint)) is None


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "nonsense",
        "inproc://worker",
        "udp://127.0.0.1:4000",
        "pgm://127.0.0.1:4000",
        "ws://127.0.0.1:4000",
        "tcp://some.host.example:4000",
        "tcp://localhost:4000",
        "tcp://*:4000",
        "tcp://0.0.0.0:4000",
        "tcp://127.0.0.1:0",
        "tcp://127.0.0.1:*",
        "tcp://127.0.0.1:70000",
        "tcp://eth0:4000",
        "tcp://127.0.0.1;10.0.0.1:4000",
        "ipc://*",
        "ipc://@abstract",
        "ipc://" + "x" * 200,
        "ipc://\n",
    ],
)
def test_other_endpoints_are_refused(endpoint):
    assert reason(changed(endpoint=endpoint)) == "endpoint"


def test_another_version_is_refused_first():
    assert reason(changed(protocol_version=99, endpoint="")) == "version"


def test_the_number_of_workers_is_bounded():
    workers = [worker(f"w{number}") for number in range(2, 5)]
    assert reason(workers=workers, max_workers=4) is None
    assert reason(workers=workers, max_workers=3) == "workers"


def test_the_number_of_workers_that_are_not_connected_yet_is_bounded():
    coming = [
        worker(f"c{number}", state=WorkerState.CONNECTING) for number in range(MAX_CONNECTING)
    ]
    assert reason(workers=coming[1:]) is None
    assert reason(workers=coming) == "connecting"


def test_the_number_of_models_is_bounded_and_known_ones_are_welcome():
    known = {f"m{number}": None for number in range(MAX_MODELS)}
    assert reason(known_models=known) == "models"
    assert reason(changed(models=[model_info("m1"), model_info("m2")]), known_models=known) is None


def test_a_registration_of_megabytes_is_refused():
    assert reason(size_bytes=MAX_REGISTER_BYTES) is None
    assert reason(size_bytes=MAX_REGISTER_BYTES + 1) == "size"


@pytest.mark.parametrize(
    "changes",
    [
        {"worker": ""},
        {"worker": "x" * 300},
        {"host": "x" * 300},
        {"credit": 0},
        {"credit": -5},
        {"last": -1},
        {"models": [model_info("")]},
        {"models": [model_info("x" * 300)]},
        {"models": [model_info(timeout_s=math.nan)]},
        {"models": [model_info(timeout_s=math.inf)]},
        {"models": [model_info(timeout_s=-1.0)]},
        {"models": [model_info(max_wait_s=math.nan)]},
        {"models": [model_info(max_batch_size=0)]},
        {"models": [model_info(max_queue=-1)]},
        {"models": [model_info(input_schema=nested(MAX_SCHEMA_DEPTH + 1))]},
        {"models": [model_info(output_schema={"a": [nested(MAX_SCHEMA_DEPTH)]})]},
    ],
)
def test_what_no_worker_would_say_is_refused(changes):
    assert reason(changed(**changes)) == "implausible"
