"""Unmodified zerorpc-node 0.9.8 against the gateway."""

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


@pytest.fixture
def call(node, iris_gateway):
    def call_from_node(method, *args):
        return node("call.js", iris_gateway.endpoint, method, *map(json.dumps, args))

    return call_from_node


def test_a_prediction_is_a_species(call):
    assert is_a_prediction(call("iris_model_predict", SETOSA)["result"])


def test_integers_are_taken_for_floats(call):
    assert is_a_prediction(call("iris_model_predict", WHOLE_NUMBERS)["result"])


def test_get_models_keeps_the_shape_of_the_original_service(call):
    assert call("get_models") == {"result": [MODEL]}


def test_bad_data_is_named_and_explained(call):
    error = call("iris_model_predict", BAD_ROW)["error"]
    assert error["name"] == REJECTED
    assert error["message"] == REJECTION


def test_an_unknown_method_is_a_name_error_with_the_bare_name(call):
    error = call("no_such_method")["error"]
    assert (error["name"], error["message"]) == ("NameError", "no_such_method")


def test_one_bad_row_of_a_batch_spoils_no_other(node, iris_gateway):
    answer = node("batch.js", iris_gateway.endpoint, 100, 42)["result"]
    assert answer["errors"] == [{"index": 42, "name": REJECTED, "message": REJECTION}]
    assert len(answer["predictions"]) == 100
    assert answer["predictions"].pop(42) is None
    assert all(is_a_prediction(prediction) for prediction in answer["predictions"])


def test_a_stream_brings_every_index_once(node, iris_gateway):
    (stream,) = node("stream.js", iris_gateway.endpoint, 1000)["streams"]
    assert stream["failure"] is None
    assert stream["done"]
    assert stream["errors"] == 0
    assert sorted(stream["indexes"]) == list(range(1000))


def test_one_bad_row_of_a_stream_spoils_no_other(node, iris_gateway):
    (stream,) = node("stream.js", iris_gateway.endpoint, 50, 1, 7)["streams"]
    assert stream["done"]
    assert stream["errors"] == 1
    assert sorted(stream["indexes"]) == list(range(50))


def test_credit_bursts_behind_short_streams_do_not_freeze_the_gateway(node, iris_gateway, call):
    # 250 items make zerorpc-node send 50 credit events around the end of the
    # stream: enough to block a zerorpc.Server for all its clients.
    streams = node("stream.js", iris_gateway.endpoint, 250, 3)["streams"]
    assert [stream["done"] for stream in streams] == [True, True, True]
    for stream in streams:
        assert sorted(stream["indexes"]) == list(range(250))
    assert is_a_prediction(call("iris_model_predict", SETOSA)["result"])


def test_a_thousand_calls_with_64_in_flight_get_their_own_answers(node, iris_gateway):
    tally = node("many.js", iris_gateway.endpoint, 1000, 64)
    assert tally["errors"] == []
    assert (tally["right"], tally["wrong"]) == (1000, 0)
    assert tally["species"] == 3
