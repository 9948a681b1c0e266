"""Requests are those of `encode_request`, whatever was packed before them."""

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeropool.client.requests import UNTOLD_S, Requests
from zeropool.shared.wire.event import MessageIds, encode_request
from zeropool.shared.wire.zmtp import frame_message

pack = msgspec.msgpack.encode
ID = MessageIds(7)()

methods = st.sampled_from(["", "m_predict", "get_status", "é" * 20, "x" * 300])
timeouts = st.none() | st.sampled_from([0.0, 1.5, 30.0, math.inf]) | st.floats(0.0, 1e6)
arguments = st.binary(max_size=40) | st.integers(150, 300).map(bytes)
#: Few of each, so that calls follow each other that are alike in some way.
asked = st.lists(st.tuples(methods, timeouts, arguments), min_size=1, max_size=8)


@given(asked, st.binary(min_size=1, max_size=40))
def test_each_request_is_what_would_be_encoded_alone(calls, channel_id):
    requests = Requests()

    for method, timeout_s, args in calls:
        told_s = UNTOLD_S if timeout_s is None else timeout_s
        expected = frame_message(encode_request(channel_id, method, args, timeout_s))
        assert requests.message(channel_id, method, args, told_s) == expected


@pytest.mark.parametrize("size", [254, 255, 256])
def test_the_size_of_a_request_may_be_short_or_long(size):
    requests = Requests()
    args = bytes(size - len(encode_request(ID, "m", b"", 2.0)))

    message = requests.message(ID, "m", args, 2.0)

    assert message == frame_message(encode_request(ID, "m", args, 2.0))


def test_a_name_without_a_form_is_refused_and_changes_nothing():
    requests = Requests()
    before = requests.message(ID, "m", b"\x90", 1.0)

    with pytest.raises(UnicodeEncodeError):
        requests.message(ID, "\ud800", b"\x90", 1.0)

    assert requests.message(ID, "m", b"\x90", 1.0) == before
