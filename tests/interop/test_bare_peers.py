"""Peers which are no client library: bare DEALERs and REQ sockets, polite and otherwise."""

import msgpack
import pytest
import zmq
from bare_dealer import WAIT_S, new_id
from iris_facts import SETOSA, VIRGINICA, is_a_prediction

pytestmark = pytest.mark.interop


def stream_items(events):
    """The items of a whole stream, which must have ended well."""
    *items, (last, nothing) = events
    assert (last, nothing) == ("STREAM_DONE", None)
    assert {name for name, _ in items} <= {"STREAM"}
    return [item for _, item in items]


def test_a_bare_dealer_is_answered(bare_dealer):
    dealer = bare_dealer()
    name, args = dealer.receive(dealer.request("iris_model_predict", SETOSA))
    assert name == "OK"
    assert len(args) == 1
    assert is_a_prediction(args[0])


def test_a_stream_without_credit_stops_after_one_item(bare_dealer):
    dealer = bare_dealer()
    stream = dealer.request("iris_model_predict_stream", [SETOSA] * 3)
    first = dealer.receive(stream)
    # A later call is answered; by then an item without credit would have come too.
    unary = dealer.request("iris_model_predict", SETOSA)
    assert dealer.receive(unary)[0] == "OK"
    dealer.grant(stream, 100)
    items = stream_items([first, *dealer.receive_to_the_end(stream)])
    assert sorted(item["index"] for item in items) == [0, 1, 2]


def test_credit_bursts_on_short_streams_do_not_freeze_the_gateway(bare_dealer, predict_once):
    # A zerorpc.Server blocks for all its clients by the second of these streams.
    dealer = bare_dealer()
    for _ in range(2):
        stream = dealer.request("iris_model_predict_stream", [SETOSA] * 5)
        for _ in range(20):
            dealer.grant(stream, 1)
        items = stream_items(dealer.receive_to_the_end(stream))
        assert sorted(item["index"] for item in items) == [0, 1, 2, 3, 4]
    assert is_a_prediction(predict_once()["result"])


def test_junk_on_an_open_channel_does_not_freeze_the_gateway(bare_dealer, predict_once):
    dealer = bare_dealer()
    stream = dealer.request("iris_model_predict_stream", [SETOSA] * 5)
    assert dealer.receive(stream)[0] == "STREAM"  # without credit it stays open
    # A zerorpc.Server blocks for all its clients once 100 events wait on a channel.
    for name, args in [
        ("junk", ["x"]),
        ("OK", ["a client does not answer"]),
        ("STREAM", None),
    ] * 50:
        dealer.respond(stream, name, args)
    for args in (["not a number"], [], None):
        dealer.respond(stream, "_zpc_more", args)
    assert is_a_prediction(predict_once()["result"])
    name, _ = dealer.receive(dealer.request("iris_model_predict", SETOSA))
    assert name == "OK"


def test_clients_with_equal_ids_get_their_own_streams(bare_dealer):
    same_id = new_id()
    flowers = [SETOSA, VIRGINICA]
    dealers = [bare_dealer(), bare_dealer()]
    for dealer, flower in zip(dealers, flowers, strict=True):
        dealer.request("iris_model_predict_stream", [flower] * 3, message_id=same_id)
    firsts = [dealer.receive(same_id) for dealer in dealers]  # both are in flight now
    streams = []
    for dealer, first in zip(dealers, firsts, strict=True):
        dealer.grant(same_id, 100)
        streams.append(stream_items([first, *dealer.receive_to_the_end(same_id)]))

    species = [{item["prediction"]["species"] for item in stream} for stream in streams]
    assert [len(stream) for stream in streams] == [3, 3]
    assert [len(names) for names in species] == [1, 1]
    assert species[0] != species[1]


def test_clients_with_equal_ids_get_their_own_answers(bare_dealer):
    same_id = new_id()
    dealers = [bare_dealer(), bare_dealer()]
    for dealer, flower in zip(dealers, [SETOSA, VIRGINICA], strict=True):
        dealer.request("iris_model_predict", flower, message_id=same_id)
    answers = [dealer.receive(same_id) for dealer in dealers]
    assert [name for name, _ in answers] == ["OK", "OK"]
    assert answers[0] != answers[1]


def test_a_text_id_and_a_bytes_id_are_different_channels(bare_dealer):
    # Python's ids are bytes and Node's are text: an answer must carry the type of its request.
    dealer = bare_dealer()
    in_bytes = new_id()
    in_text = in_bytes.decode()
    dealer.request("iris_model_predict_stream", [SETOSA] * 2, message_id=in_bytes)
    assert dealer.receive(in_bytes)[0] == "STREAM"
    dealer.request("iris_model_predict_stream", [VIRGINICA] * 2, message_id=in_text)
    assert dealer.receive(in_text)[0] == "STREAM"
    dealer.grant(in_bytes, 100)
    assert len(stream_items(dealer.receive_to_the_end(in_bytes))) == 1
    dealer.grant(in_text, 100)
    assert len(stream_items(dealer.receive_to_the_end(in_text))) == 1


def test_a_req_socket_is_answered_call_after_call(iris_gateway):
    with zmq.Context() as context, context.socket(zmq.REQ) as socket:
        socket.linger = 0
        socket.rcvtimeo = int(WAIT_S * 1000)
        socket.connect(iris_gateway.endpoint)
        for flower in [SETOSA, VIRGINICA] * 5:
            message_id = new_id()
            request = [{"message_id": message_id, "v": 3}, "iris_model_predict", [flower]]
            socket.send(msgpack.packb(request))
            header, name, args = msgpack.unpackb(socket.recv())
            assert header["response_to"] == message_id
            assert name == "OK"
            assert is_a_prediction(args[0])
