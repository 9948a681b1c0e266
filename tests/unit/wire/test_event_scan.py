"""Events whose parts are found in the bytes: the same parts as a decoder finds."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_peer import packed, parts, request

from zeropool.shared.errors import ProtocolError
from zeropool.shared.wire.event import NOT_USUAL, decode_any, encode_reply, encode_request
from zeropool.shared.wire.event_scan import MAX_CHECKED_BYTES, scan_event

IDS = st.binary(min_size=1, max_size=60) | st.text(min_size=1, max_size=30)
NAMES = st.text(max_size=40)
VALUES = st.integers(-(2**63), 2**64 - 1) | st.text(max_size=5) | st.lists(st.floats(), max_size=3)
ARGS = st.lists(VALUES, max_size=3)
ENTRIES = {
    "message_id": IDS,
    "response_to": IDS,
    "v": st.integers(1, 127),
    "timeout_s": st.floats(0.0, allow_nan=False, allow_infinity=False),
}


def scanned(payload):
    try:
        return scan_event(payload)
    except NOT_USUAL:
        return None


def payload_of(header, name, args):
    return msgpack.packb([header, name, args])


@st.composite
def usual_events(draw):
    needed = ["message_id", "v"]
    names = draw(
        st.permutations(needed + draw(st.sampled_from(([], ["response_to"], ["timeout_s"]))))
    )
    header = {name: draw(ENTRIES[name]) for name in names}
    return payload_of(header, draw(NAMES), draw(ARGS))


@given(usual_events())
@settings(deadline=None)
def test_a_usual_event_has_the_parts_that_a_decoder_finds(payload):
    assert parts(scan_event(payload)) == parts(decode_any(payload))


LARGE = b"x" * MAX_CHECKED_BYTES


def test_the_rows_of_a_large_batch_are_left_to_whoever_cuts_them():
    whole = request(b"id", "q_predict_batch", [[LARGE]])
    event = scan_event(whole)
    assert parts(event) == parts(decode_any(whole))
    assert event.packed is whole
    assert event.args_bytes == len(event.args) == len(packed([[LARGE]]))
    assert scan_event(whole[:-1]).args == packed([[LARGE]])[:-1]


@pytest.mark.parametrize(
    ("name", "args", "header"),
    [
        ("q_predict", [LARGE], {}),
        ("q_predict_stream", [[LARGE]], {}),
        ("q_predict_batch", [["few"]], {}),
        ("q_predict_batch", [[LARGE]], {"response_to": b"channel"}),
    ],
)
def test_all_other_arguments_are_looked_at(name, args, header):
    whole = request(b"id", name, args, **header)
    event = scan_event(whole)
    assert parts(event) == parts(decode_any(whole))
    assert event.packed == packed(args)
    assert scanned(whole[:-1]) is None


@given(usual_events(), st.data())
@settings(deadline=None)
def test_of_a_broken_event_a_scan_finds_nothing_else_than_a_decoder(payload, data):
    broken = bytearray(payload)
    for _ in range(data.draw(st.integers(1, 3))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(broken[: data.draw(st.integers(0, len(broken)))])
    for each in (bytes(broken), cut, bytes(broken) + b"\xc0"):
        found = scanned(each)
        if found is not None:
            assert parts(found) == parts(decode_any(each))


@pytest.mark.parametrize(
    "payload",
    [
        encode_request(packed(b"id"), "predict", [1]),
        encode_request(packed(b"id"), "predict", [1], 30.0),
        encode_reply(packed("id"), packed(b"to"), "_zpc_hb", packed([0])),
        # zerorpc-python's and zerorpc-node's
        payload_of({"message_id": b"0" * 32, "v": 3}, "predict", [{"x": 1.5}]),
        payload_of({"v": 3, "message_id": "0" * 32, "response_to": "1" * 36}, "_zpc_more", [100]),
    ],
)
def test_events_of_known_peers_are_usual(payload):
    assert parts(scan_event(payload)) == parts(decode_any(payload))


@pytest.mark.parametrize(
    "payload",
    [
        request(b"id", "m", [], trace_id="abc"),
        request("x" * 200, "m", [], v=3),
        request(b"id", "m" * 200, [], v=3),
        payload_of({"message_id": b"id"}, "m", []),
        request(b"id", "m", [], v=0),
        request(b"id", "m", [], v=3.0),
        request(b"id", "m", [], v=3, timeout_s=-1.0),
        request(b"id", "m", [], v=3, timeout_s=float("nan")),
        request(b"id", "m", [], v=3, timeout_s=30),
        request(b"id", b"m", [], v=3),
        request(b"id", "m", [], v=3, response_to=None),
        request(7, "m", [], v=3),
        request(b"id", "m", [], v=3) + b"\xc0",
        payload_of({}, "m", []),
        packed([{"message_id": b"id", "v": 3}, "m"]),
    ],
)
def test_all_others_are_left_to_the_decoder(payload):
    assert scanned(payload) is None


@pytest.mark.parametrize("end", range(45))
def test_of_half_an_event_nothing_is_found(end):
    payload = encode_request(packed(b"0123456789"), "predict", [1])
    assert scanned(payload[: min(end, len(payload) - 1)]) is None


def test_a_name_that_is_no_text_is_left_to_the_decoder():
    payload = b"\x93\x82\xaamessage_id\xa1x\xa1v\x03\xa1\xff\x90"
    assert scanned(payload) is None
    with pytest.raises(ProtocolError):
        decode_any(payload)
