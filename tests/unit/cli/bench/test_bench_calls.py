"""The load tool's end of a ZeroRPC connection: bytes in, bytes out, literal times."""

import msgspec
import pytest

from zeropool.cli.bench.calls import LOST, TIMEOUT, WRONG, Calls
from zeropool.shared.wire import event as wire

RUN = b"0123456789abcdef01234567"
FIRST = RUN + b"00000000"
PEER = b"0001"
pack = msgspec.msgpack.encode
unpack = msgspec.msgpack.decode


def calls_of(*requests, expected=None, timeout_s=30.0, beat_interval_s=5.0):
    return Calls(
        "predict",
        [pack(request) for request in requests or ([1],)],
        run=RUN,
        timeout_s=timeout_s,
        beat_interval_s=beat_interval_s,
        expected=None if expected is None else pack(expected),
    )


@pytest.fixture
def calls():
    calls = calls_of()
    calls.ask(PEER, 10.0)
    return calls


def answer(name, args, channel_id=FIRST):
    """An event in the form of zerorpc-python."""
    return pack([{"message_id": b"x" * 32, "v": 3, "response_to": channel_id}, name, args])


def node_answer(name, args, channel_id=FIRST):
    """The same in another order, with the id as a string."""
    header = {"response_to": channel_id.decode(), "message_id": "5" * 36, "v": 3}
    return pack([header, name, args])


def told(ended):
    return None if ended is None else (ended.peer, ended.due_at, ended.error, ended.message)


RIGHT = (PEER, 10.0, "", "")


def test_a_request_is_an_event_that_any_server_reads():
    header, name, args = unpack(calls_of([{"x": 1.5}, "é"]).ask(PEER, 0.0))

    assert header == {"message_id": FIRST, "v": 3, "timeout_s": 30.0}
    assert (name, args) == ("predict", [{"x": 1.5}, "é"])


def test_requests_take_turns_and_ids_do_not_come_twice():
    calls = calls_of([1], [2])

    events = [unpack(calls.ask(PEER, 0.0)) for _ in range(3)]

    assert [args for _, _, args in events] == [[1], [2], [1]]
    assert len({header["message_id"] for header, _, _ in events}) == 3
    assert (len(calls), repr(calls)) == (3, "<Calls open=3 asked=3 streams=0>")


@pytest.mark.parametrize("make", [answer, node_answer])
def test_an_answer_ends_its_call(calls, make):
    assert told(calls.take(make("OK", [{"species": "setosa"}]), 11.0)) == RIGHT
    assert len(calls) == 0


def test_answers_may_come_in_any_order(calls):
    calls.ask(b"0002", 12.0)

    assert told(calls.take(answer("OK", [1], RUN + b"00000001"), 13.0)) == (b"0002", 12.0, "", "")
    assert told(calls.take(answer("OK", [1]), 13.0)) == RIGHT


@pytest.mark.parametrize("make", [answer, node_answer])
def test_an_error_ends_its_call_under_its_name(calls, make):
    ended = calls.take(make("ERR", ["ValueError", "no root", "Traceback …"]), 11.0)

    assert told(ended) == (PEER, 10.0, "ValueError", "no root")


def test_an_error_of_an_old_server_has_a_name_too(calls):
    assert calls.take(answer("ERR", ["ValueError('no root')"]), 11.0).error == "RemoteError"


def test_a_second_answer_ends_nothing(calls):
    calls.take(answer("OK", [1]), 11.0)

    assert calls.take(answer("OK", [1]), 11.0) is None


STRANGE = [
    b"",
    b"\xc1",
    pack(5),
    pack([{}, "OK", [1]]),
    answer("OK", [1], b"f" * 32),
    answer("OK", [1], RUN + b"zzzzzzzz"),
    answer("OK", [1], RUN + b"00000009"),
    answer("SOMETHING", [1]),
    answer("_zpc_more", [100]),
]


@pytest.mark.parametrize("payload", STRANGE, ids=range(len(STRANGE)))
def test_what_is_no_answer_ends_nothing(calls, payload):
    assert calls.take(payload, 11.0) is None
    assert len(calls) == 1
    assert calls.take_outgoing() == []


# Expected answers


@pytest.mark.parametrize("make", [answer, node_answer])
def test_an_answer_is_what_was_expected(make):
    calls = calls_of(expected={"a": 1, "b": [True, None]})
    calls.ask(PEER, 10.0)

    assert told(calls.take(make("OK", [{"b": [True, None], "a": 1.0}]), 11.0)) == RIGHT


def test_another_answer_than_expected_is_wrong():
    calls = calls_of(expected=[1])
    calls.ask(PEER, 10.0)

    ended = calls.take(answer("OK", [[2]]), 11.0)

    assert told(ended) == (PEER, 10.0, WRONG, "expected [1], got [2]")


def test_an_answer_that_only_begins_as_expected_is_wrong():
    calls = calls_of(expected="setosa")
    calls.ask(PEER, 10.0)

    assert calls.take(answer("OK", ["setosa2"]), 11.0).error == WRONG


@pytest.mark.parametrize("args", [[], None, [{(): 1}], [b"setosa"]])
def test_an_answer_that_is_no_value_at_all_is_wrong(args):
    calls = calls_of(expected="setosa")
    calls.ask(PEER, 10.0)

    assert calls.take(answer("OK", args), 11.0).error == WRONG


def test_nothing_may_be_what_is_expected():
    calls = Calls("m", [pack([])], run=RUN, timeout_s=1, beat_interval_s=5, expected=wire.NIL)
    calls.ask(PEER, 10.0)

    assert told(calls.take(answer("OK", [None]), 11.0)) == RIGHT


# Streams


def test_a_stream_ends_its_call_with_its_last_event(calls):
    assert calls.take(answer("STREAM", 1), 11.0) is None
    assert calls.take(answer("STREAM", 2), 11.0) is None

    assert told(calls.take(answer("STREAM_DONE", None), 11.0)) == RIGHT


def test_a_stream_gets_credit_as_it_is_read(calls):
    granted = 0
    for item in range(250):
        calls.take(answer("STREAM", item), 11.0)
        for peer, payload in calls.take_outgoing():
            header, name, args = unpack(payload)
            assert (peer, name, header["response_to"]) == (PEER, "_zpc_more", FIRST)
            granted += args[0]
        # One item may come unasked.
        assert granted > item - 1

    assert granted >= 250


def test_an_error_ends_a_stream(calls):
    calls.take(answer("STREAM", 1), 11.0)

    assert calls.take(answer("ERR", ["ValueError", "no", ""]), 11.0).error == "ValueError"
    assert repr(calls).endswith("streams=0>")


@pytest.mark.parametrize(
    ("items", "error"), [([1, {"a": 2}], ""), ([1], WRONG), ([], WRONG), ([1, {"a": 3}], WRONG)]
)
def test_the_items_of_a_stream_are_what_was_expected(items, error):
    calls = calls_of(expected=[1, {"a": 2}])
    calls.ask(PEER, 10.0)
    for item in items:
        calls.take(answer("STREAM", item), 11.0)

    assert calls.take(answer("STREAM_DONE", None), 11.0).error == error


def test_an_item_that_cannot_be_decoded_is_not_what_was_expected():
    calls = calls_of(expected=[1])
    calls.ask(PEER, 10.0)
    calls.take(answer("STREAM", {(): 1}), 11.0)

    assert calls.take(answer("STREAM_DONE", None), 11.0).error == WRONG


# Time


def test_a_call_without_an_answer_is_given_up_when_its_time_is_over(calls):
    calls.ask(PEER, 11.0)
    assert calls.tick(39.9) == []

    assert [told(ended) for ended in calls.tick(40.0)] == [
        (PEER, 10.0, TIMEOUT, "no answer in 30 s")
    ]
    assert calls.take(answer("OK", [1]), 40.5) is None
    assert len(calls) == 1


def beats(calls):
    return [unpack(payload)[0]["response_to"] for _, payload in calls.take_outgoing()]


def test_a_call_that_takes_long_is_kept_alive(calls):
    calls.tick(14.9)
    assert beats(calls) == []

    calls.tick(15.0)
    [(peer, payload)] = calls.take_outgoing()
    assert (peer, unpack(payload)[1:]) == (PEER, ["_zpc_hb", [0]])
    calls.tick(19.9)
    assert beats(calls) == []
    calls.tick(20.0)
    assert beats(calls) == [FIRST]


def test_each_call_has_heartbeats_of_its_own(calls):
    calls.ask(PEER, 12.0)
    calls.ask(PEER, 13.0)
    calls.take(answer("OK", [1], RUN + b"00000001"), 14.0)

    calls.tick(17.5)
    assert beats(calls) == [FIRST]
    calls.tick(18.0)
    assert beats(calls) == [RUN + b"00000002"]


def test_a_call_that_is_over_has_no_more_heartbeats(calls):
    calls.tick(15.0)
    beats(calls)
    calls.take(answer("OK", [1]), 16.0)

    calls.tick(20.0)

    assert beats(calls) == []


def test_a_heartbeat_of_the_server_is_not_echoed(calls):
    assert calls.take(answer("_zpc_hb", [0]), 12.0) is None
    assert calls.take_outgoing() == []


def test_a_server_that_falls_silent_is_lost(calls):
    for now in (15.0, 20.0):
        assert calls.tick(now) == []

    assert [told(ended) for ended in calls.tick(25.0)] == [
        (PEER, 10.0, LOST, "no heartbeat in 15 s")
    ]
    assert len(calls) == 0


def test_a_server_that_beats_is_not_lost(calls):
    for now in (15.0, 20.0, 25.0, 30.0, 35.0):
        calls.take(answer("_zpc_hb", [0]), now - 0.5)
        assert calls.tick(now) == []

    assert len(calls) == 1
    # Behind its last heartbeat, at 34.5 s.
    assert [ended.error for now in (39.9, 40.0) for ended in calls.tick(now)] == [TIMEOUT]


def test_calls_are_forgotten_without_a_word(calls):
    calls.tick(15.0)
    calls.take_outgoing()

    assert calls.forget() == 1
    assert calls.tick(100.0) == []
    assert (len(calls), calls.take_outgoing()) == (0, [])
