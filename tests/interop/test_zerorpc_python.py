"""Unmodified zerorpc-python 0.6.3 clients against the gateway, each in its own process."""

import json

import pytest
from iris_facts import (
    BAD_ROW,
    MODEL,
    REJECTED,
    REJECTION,
    SETOSA,
    WHOLE_NUMBERS,
    is_a_prediction,
)

pytestmark = pytest.mark.interop

CLIENT_SETTINGS = {
    "default heartbeat": (),
    "no heartbeat": ("--heartbeat", "none"),
    "passive heartbeat": ("--passive-heartbeat",),
}


@pytest.fixture
def call(python_peer, iris_gateway):
    def call_from_python(method, *args, options=()):
        return python_peer(
            "call.py", *options, iris_gateway.endpoint, method, *map(json.dumps, args)
        )

    return call_from_python


@pytest.fixture
def batch_and_stream(python_peer, iris_gateway):
    def compare(rows, *options):
        return python_peer("batch_and_stream.py", *options, iris_gateway.endpoint, rows)

    return compare


def all_right(rows):
    return {
        "batch": {"predictions": rows, "errors": 0, "missing": 0},
        "stream": {"items": rows, "indexes_once": True, "errors": 0, "differing": 0},
    }


# The three client scripts of the original service.


def test_get_models_keeps_the_shape_of_the_original_service(call):
    assert call("get_models") == {"result": [MODEL]}


def test_get_model_metadata_adds_the_schemas(call):
    metadata = call("get_model_metadata", "iris_model")["result"]
    assert isinstance(metadata.pop("input_schema"), dict)
    assert isinstance(metadata.pop("output_schema"), dict)
    assert metadata == MODEL


def test_a_prediction_is_a_species(call):
    assert is_a_prediction(call("iris_model_predict", SETOSA)["result"])


def test_bad_data_is_a_remote_error_which_reads_as_one(call):
    error = call("iris_model_predict", BAD_ROW)["error"]
    assert error["name"] == REJECTED
    assert error["message"] == REJECTION
    # str(RemoteError) is the traceback text: all that a log or the command shows.
    assert error["text"].rstrip().endswith(f"{REJECTED}: {REJECTION}")


# Other calls and their errors.


def test_integers_are_taken_for_floats(call):
    assert is_a_prediction(call("iris_model_predict", WHOLE_NUMBERS)["result"])


def test_metadata_of_an_unknown_model_is_a_value_error(call):
    error = call("get_model_metadata", "no_such_model")["error"]
    assert (error["name"], error["message"]) == (
        "ValueError",
        "Metadata not found for this model.",
    )


def test_an_unknown_method_is_a_name_error_with_the_bare_name(call):
    error = call("no_such_method")["error"]
    assert (error["name"], error["message"]) == ("NameError", "no_such_method")
    assert error["text"].rstrip().endswith("NameError: no_such_method")


@pytest.mark.parametrize(
    ("method", "args"),
    [
        ("iris_model_predict", ()),
        ("iris_model_predict", (SETOSA, SETOSA)),
        ("iris_model_predict_batch", ()),
        ("iris_model_predict_stream", ([SETOSA], 1)),
        ("get_models", (1,)),
        ("get_model_metadata", ()),
    ],
)
def test_a_wrong_number_of_arguments_is_a_type_error(call, method, args):
    error = call(method, *args)["error"]
    assert error["name"] == "TypeError"
    assert method in error["message"]


@pytest.mark.parametrize("options", CLIENT_SETTINGS.values(), ids=CLIENT_SETTINGS)
def test_a_call_works_with_every_heartbeat_setting(call, options):
    assert is_a_prediction(call("iris_model_predict", SETOSA, options=options)["result"])


# Batches and streams.


def test_ten_thousand_rows_go_through_a_batch_and_a_stream(batch_and_stream):
    assert batch_and_stream(10_000) == all_right(10_000)


@pytest.mark.parametrize("slots", [2, 3, 10])
def test_a_stream_keeps_to_a_small_credit(batch_and_stream, slots):
    assert batch_and_stream(200, "--slots", slots) == all_right(200)


@pytest.mark.parametrize("options", CLIENT_SETTINGS.values(), ids=CLIENT_SETTINGS)
def test_a_stream_works_with_every_heartbeat_setting(batch_and_stream, options):
    assert batch_and_stream(1000, *options) == all_right(1000)


def test_an_empty_batch_and_an_empty_stream_end_at_once(batch_and_stream):
    assert batch_and_stream(0) == all_right(0)


def test_half_read_streams_hold_up_nobody(python_peer, iris_gateway, call):
    # Long enough for a client to give up on a server without heartbeats (3 intervals).
    report = python_peer("half_read_streams.py", "--heartbeat", 1, iris_gateway.endpoint, 300, 4.0)
    assert report["calls"] == len(report["streams"]) > 0
    assert all(report["streams"])
    assert report["kept_indexes_once"]
    assert is_a_prediction(call("iris_model_predict", SETOSA)["result"])
