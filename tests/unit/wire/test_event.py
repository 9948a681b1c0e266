"""Events as bytes and as values: round trips, foreign forms, and input that is no event."""

from __future__ import annotations

import tracemalloc

import msgpack
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from wire_peer import IDS, VALUES, packed, parts, request, unpacked

from zeropool.shared.errors import ProtocolError
from zeropool.shared.wire.event import (
    MessageIds,
    decode_credit,
    decode_event,
    decode_failure,
    encode_beat,
    encode_failure,
    encode_more,
    encode_ok,
    encode_reply,
    encode_request,
)
from zeropool.shared.wire.records import RemoteFailure

HEAD = b"\x93\x81\xaamessage_id\x01"  # [{"message_id": 1}, …
CLAIMS_4G_ENTRIES = b"\xdd\xff\xff\xff\xff"
NAMES = st.text(max_size=60)
DATA_NAMES = st.sampled_from(["OK", "ERR", "STREAM", "STREAM_DONE", "_zpc_hb", "_zpc_more"])


# Round trips


@given(IDS, IDS, DATA_NAMES, VALUES)
@settings(deadline=None)
def test_a_reply_comes_back_as_it_was_encoded(message_id, response_to, name, args):
    payload = encode_reply(packed(message_id), packed(response_to), name, packed(args))
    assert parts(decode_event(payload)) == (
        *(packed(message_id), packed(response_to), 3, name, packed(args), None),
    )


@given(IDS, IDS, DATA_NAMES, VALUES)
@settings(deadline=None)
def test_a_real_peer_reads_our_replies(message_id, response_to, name, args):
    payload = encode_reply(packed(message_id), packed(response_to), name, packed(args))
    header = {"message_id": message_id, "v": 3, "response_to": response_to}
    read = msgpack.unpackb(payload, raw=False, strict_map_key=True)
    assert repr(read) == repr([header, name, args])


@given(IDS, NAMES, st.lists(VALUES, max_size=4))
@settings(deadline=None)
def test_a_request_comes_back_as_it_was_encoded(message_id, name, args):
    payload = encode_request(packed(message_id), name, args)
    event = decode_event(payload)
    assert (event.message_id, event.response_to) == (packed(message_id), b"")
    assert (event.version, event.name, event.timeout_s) == (3, name, None)
    read = msgpack.unpackb(payload, raw=False, strict_map_key=True)
    assert repr(read) == repr([{"message_id": message_id, "v": 3}, name, args])


@given(st.floats(0, 1e9) | st.integers(0, 2**40))
@settings(deadline=None)
def test_a_requests_timeout_comes_back(timeout_s):
    payload = encode_request(packed(b"id"), "predict", b"\x90", timeout_s)
    assert decode_event(payload).timeout_s == timeout_s
    assert unpacked(payload)[0]["timeout_s"] == timeout_s


@given(IDS, NAMES, VALUES)
@settings(deadline=None)
def test_what_a_real_peer_packs_is_read_as_it_was_meant(message_id, name, args):
    event = decode_event(request(message_id, name, args, trace_id="abc", span={"a": [1, b"x"]}))
    assert repr(unpacked(event.message_id)) == repr(message_id)
    assert (event.version, event.name) == (3, name)
    assert event.args == packed(args)


def test_the_small_encoders_say_what_they_should():
    assert unpacked(encode_ok(b"\x01", b"\x02", packed({"a": 1})))[1:] == ["OK", [{"a": 1}]]
    assert unpacked(encode_beat(b"\x01", b"\x02"))[1:] == ["_zpc_hb", [0]]
    assert unpacked(encode_more(b"\x01", b"\x02", 51))[1:] == ["_zpc_more", [51]]


def test_ready_argument_bytes_are_taken_as_they_are():
    args = packed([1, "two"])
    assert encode_request(b"\x01", "m", args) == encode_request(b"\x01", "m", [1, "two"])


@pytest.mark.parametrize(
    ("args", "error"),
    [([{1, 2}, object()], TypeError), ([2**64], OverflowError), (["\ud800"], UnicodeEncodeError)],
)
def test_an_argument_without_msgpack_form_is_refused(args, error):
    with pytest.raises(error):
        encode_request(b"\x01", "m", args)


def test_message_ids_are_bins_of_16_digits_and_never_repeat():
    ids = MessageIds(start=41)
    assert ids() == b"\xc4\x10" + b"000000000000002a"
    assert len({ids() for _ in range(1000)}) == 1000
    assert len(unpacked(MessageIds()())) == 16


def test_message_ids_count_on_where_their_last_digits_begin_anew():
    ids = MessageIds(start=0x1FD)

    assert [unpacked(ids())[-4:] for _ in range(4)] == [b"01fe", b"01ff", b"0200", b"0201"]


# Ids keep their type


@pytest.mark.parametrize(
    "message_id",
    [
        b"\xc4\x02ab",
        b"\xa2ab",
        b"\xd9\x02ab",
        b"\xda\x00\x20" + b"a" * 32,
        b"\xda\x00\x02ab",
        b"\xdb\x00\x00\x00\x02ab",
        b"\xc5\x00\x02ab",
        b"\x2a",
        b"\xcd\x00\x2a",
        b"\xd3" + b"\xff" * 8,
        b"\xcb" + b"\x3f" * 8,
    ],
    ids=lambda packed_id: packed_id.hex(),
)
def test_an_id_goes_back_in_the_bytes_it_came_in(message_id):
    event = decode_event(b"\x93\x81\xaamessage_id" + message_id + b"\xa1m\x90")
    assert event.message_id == message_id
    reply = encode_reply(b"\x01", event.message_id, "OK", b"\x91\xc0")
    assert b"\xabresponse_to" + message_id in reply
    assert decode_event(reply).response_to == message_id


def test_a_nil_response_to_is_none():
    assert decode_event(request(b"id", response_to=None)).response_to == b""


# Versions and the timeout in the header


@pytest.mark.parametrize(
    ("claimed", "version"),
    [(3, 3), (2, 2), (1, 1), (4, 4), (3.0, 3), (2.5, 1), (None, 1), ("3", 1), (True, 1), ([3], 1)],
)
def test_a_version_is_a_whole_number_or_the_oldest(claimed, version):
    assert decode_event(request(b"id", v=claimed)).version == version


@pytest.mark.parametrize("claimed", [float("inf"), float("nan"), float("-inf")])
def test_a_version_without_a_value_is_the_oldest(claimed):
    assert decode_event(request(b"id", v=claimed)).version == 1


@pytest.mark.parametrize(
    ("claimed", "timeout_s"),
    [(2, 2.0), (0.5, 0.5), (0, 0.0), (-1, None), (float("nan"), None), ("2", None), (True, None)],
)
def test_a_timeout_is_a_number_of_seconds_or_not_given(claimed, timeout_s):
    assert decode_event(request(b"id", timeout_s=claimed)).timeout_s == timeout_s


# Input that is no event

MALFORMED = {
    "empty": b"",
    "not msgpack": b"\xc1",
    "text": b"GET / HTTP/1.1\r\n\r\n",
    "a number": b"\x2a",
    "a map": packed({"a": 1}),
    "no elements": packed([]),
    "two elements": packed([{"message_id": 1}, "m"]),
    "two elements and more bytes": packed([{"message_id": 1}, "m"]) + b"\x90",
    "four elements": packed([{"message_id": 1}, "m", [], []]),
    "cut off in the header": request(b"id")[:9],
    "cut off in the arguments": request(b"id", "m", ["text"])[:-1],
    "no arguments": HEAD + b"\xa1m",
    "bad UTF-8 in the name": HEAD + b"\xa1\xff\x90",
    "bad UTF-8 in v": b"\x93\x82\xaamessage_id\x01\xa1v\xa1\xff\xa1m\x90",
    "integer key in the header": packed([{"message_id": 1, 2: 3}, "m", []]),
    "header is an array": packed([["message_id", 1], "m", []]),
    "header is text": packed(["message_id", "m", []]),
    "header is nil": packed([None, "m", []]),
    "bin keys in the header": packed([{b"message_id": 1}, "m", []]),
    "no message_id": packed([{"v": 3}, "m", []]),
    "nil message_id": request(None),
    "huge message_id": request(b"x" * 300),
    "huge response_to": request(b"id", response_to="x" * 300),
    "huge name": request(b"id", "x" * 5000),
    "huge bin name": request(b"id", b"x" * 5000),
    "huge header number": b"\x93\xdf\xff\xff\xff\xff\xaamessage_id\x01\xa1m\x90",
    "deep name": HEAD + b"\x91" * 1000 + b"\x01\x90",
    "deep header": b"\x93\x81\xaamessage_id" + b"\x91" * 5000 + b"\x01\xa1m\x90",
    "deep arguments": HEAD + b"\xa1m" + b"\x91" * 100_000 + b"\x01",
}


@pytest.mark.parametrize("payload", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_no_event_is_a_protocol_error(payload):
    with pytest.raises(ProtocolError):
        decode_event(payload)


@pytest.mark.parametrize(
    ("name", "text"),
    [(b"echo", "b'echo'"), (12, "12"), (None, "None"), (["a"], "['a']"), (1.5, "1.5")],
)
def test_a_name_that_is_no_string_is_read_as_real_servers_show_it(name, text):
    assert decode_event(packed([{"message_id": 1}, name, []])).name == text


def test_bytes_after_the_event_are_ignored():
    args = [["y" * 5000] * 100]  # larger than any limit on header and name
    payload = request(b"id", "m", args, v=3)
    assert parts(decode_event(payload + b"\xc1 more")) == parts(decode_event(payload))


def test_arguments_are_not_read():
    event = decode_event(HEAD + b"\xa1m" + packed({1: 2}))
    assert event.args == packed({1: 2})


@pytest.mark.parametrize(
    "payload",
    [
        HEAD + b"\xa1m" + CLAIMS_4G_ENTRIES * 500,
        HEAD + b"\xa1m" + b"\xdf\xff\xff\xff\xff" * 500,
        HEAD + b"\xa1m" + b"\xdb\xff\xff\xff\xff",
        HEAD + b"\xa1m" + b"\xc9\xff\xff\xff\xfe\x05",
        HEAD + CLAIMS_4G_ENTRIES * 500,
        HEAD + b"\xdc\x00\x40" * 1000,
        b"\x93\x82\xaamessage_id\x01\xa1v" + CLAIMS_4G_ENTRIES * 500,
        b"\x93\x82\xaamessage_id\x01\xa9timeout_s" + b"\xdd\x02\xff\xff\xff" * 500,
        b"\x93\x81\xaamessage_id" + CLAIMS_4G_ENTRIES * 500,
        CLAIMS_4G_ENTRIES * 500,
    ],
)
def test_a_few_bytes_that_claim_gigabytes_cost_almost_nothing(payload):
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError):
            decode_event(payload)
        _now, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 2_000_000


EVENT_LIKE = st.tuples(
    st.sampled_from([b"\x93", b"\x92", b"\x94", b"\xdc\x00\x03", b""]),
    st.sampled_from([b"\x81\xaamessage_id", b"\x82\xa1v\x03\xaamessage_id", b"\x80", b""]),
    VALUES.map(packed) | st.binary(max_size=12),
    VALUES.map(packed) | st.binary(max_size=12),
    VALUES.map(packed) | st.binary(max_size=12),
).map(b"".join)


@given(st.binary(max_size=200) | EVENT_LIKE)
@settings(deadline=None, max_examples=500)
@example(HEAD + b"\x91" * 1015 + b"\x01\x90")
@example(HEAD + b"\x91" * 960 + b"\x01\x90")
def test_any_bytes_are_an_event_or_a_protocol_error(payload):
    try:
        event = decode_event(payload)
    except ProtocolError:
        return
    assert type(event.name) is str
    assert event.message_id
    assert event.args


# Credit and failures in arguments


@pytest.mark.parametrize(
    ("args", "slots"),
    [
        ([100], 100),
        ([0], 0),
        ([-3], -3),
        ([2**63], 2**63),
        ([51, "rest"], 51),
        ([100.0], 100),
        ([], 0),
        (None, 0),
        (7, 0),
        (["7"], 0),
        ([None], 0),
        ([True], 0),
        ([[7]], 0),
        ({"a": 7}, 0),
        ([float("inf")], 0),
        ([float("nan")], 0),
        ([7, "x" * 100], 0),
    ],
)
def test_credit_is_the_number_in_the_arguments_or_none(args, slots):
    assert decode_credit(packed(args)) == slots


@given(st.binary(max_size=80))
@settings(deadline=None)
@example(b"\x91" + CLAIMS_4G_ENTRIES * 10)
@example(b"\x91" * 60)
@example(b"\x91\xd7\xff" + b"\xff" * 8)
def test_any_bytes_are_some_credit(args):
    assert type(decode_credit(args)) is int


FAILURE = RemoteFailure("ValueError", "it's no", "Traceback …\nValueError: it's no\n")


@pytest.mark.parametrize("version", [2, 3, 4])
def test_an_error_is_told_in_three_texts(version):
    args = encode_failure(version, FAILURE)
    assert unpacked(args) == ["ValueError", "it's no", "Traceback …\nValueError: it's no\n"]
    assert decode_failure(args) == FAILURE


@pytest.mark.parametrize("version", [1, 0, -1])
def test_an_error_is_told_to_a_version_1_peer_as_its_repr(version):
    args = encode_failure(version, FAILURE)
    assert unpacked(args) == ['ValueError("it\'s no")']
    assert decode_failure(args) == RemoteFailure("RemoteError", 'ValueError("it\'s no")', "")


@pytest.mark.parametrize("version", [1, 3])
def test_an_error_with_lone_surrogates_is_told_with_escapes(version):
    texts = unpacked(encode_failure(version, RemoteFailure("OSError", "no \udcff", "tb \udcff")))
    assert "no \\udcff" in " ".join(texts)


@pytest.mark.parametrize(
    ("args", "failure"),
    [
        (["E", "m", None], RemoteFailure("E", "m", "")),
        (["E", 5, "t"], RemoteFailure("E", "5", "t")),
        (["E", "m", "t", "more"], RemoteFailure("E", "m", "t")),
        (["E", "m"], RemoteFailure("RemoteError", "E m", "")),
        ("E", RemoteFailure("RemoteError", "E", "")),
        (None, RemoteFailure("RemoteError", "", "")),
        ([], RemoteFailure("RemoteError", "", "")),
    ],
)
def test_an_error_in_any_form_says_something(args, failure):
    assert decode_failure(packed(args)) == failure


@given(st.binary(max_size=80))
@settings(deadline=None)
@example(b"\x93" + CLAIMS_4G_ENTRIES * 10)
@example(b"\x93" + b"\x91" * 900 + b"\x01\x01\x01")
@example(b"\x93" + b"\x91" * 985 + b"\x01\x01\x01")
@example(b"\x93" + b"\x91" * 100_000)
def test_any_bytes_are_some_failure(args):
    assert decode_failure(args).name
