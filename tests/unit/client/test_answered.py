"""Answers that are read by comparing bytes say what a decoder of any event says of them."""

import math

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zeropool.client.answered import ARGS_AT, MAX_SHORT_BYTES, Answered, usual_id, usual_value
from zeropool.client.call import Call
from zeropool.client.core import Core
from zeropool.shared.errors import ProtocolError
from zeropool.shared.wire import event as wire
from zeropool.shared.wire.event import DECODE_ERRORS, MessageIds
from zeropool.shared.wire.records import AnswerHeader
from zeropool.shared.wire.zmtp import GREETING, frame_message

READY = b"\x04\x06\x05READY"
SERVER_ID = MessageIds(7)()
pack = msgspec.msgpack.encode
EVENT = msgspec.msgpack.Decoder(tuple[AnswerHeader, str, msgspec.Raw])
START = 1000


def in_flight():
    """A core, its one link and a call that is on it, whose id is always the same."""
    core = Core(ids=MessageIds(START))
    link = core.add("tcp://h:1")
    core.connect(now=0.0)
    core.connected(link, now=0.0)
    core.received(link, GREETING + READY, now=0.0)
    call = Call("echo", b"\x90")
    core.submit(call, now=0.0)
    return core, link, call


CHANNEL_ID = in_flight()[2].channel_id


def usual(value):
    return wire.encode_ok(SERVER_ID, CHANNEL_ID, value)


def decided(payload):
    """What a decoder of any event makes of it: the value of an answer, or that it is none."""
    try:
        header, name, raw = EVENT.decode(payload)
        channel_id, args = bytes(header.response_to), bytes(raw)
    except DECODE_ERRORS:
        try:
            event = wire.decode_event(payload)
        except ProtocolError:
            return "no answer of this call"
        channel_id, name, args = event.response_to, event.name, event.args
    if channel_id != CHANNEL_ID or name != wire.OK:
        return "no answer of this call"
    return valued(lambda: msgspec.msgpack.decode(args))


def valued(take):
    """A value of an answer's arguments, packed, so that NaN is equal to itself; or an error."""
    try:
        values = take()
        return pack(values[0] if values else None)
    except (KeyError, TypeError, IndexError) as error:
        return type(error)
    except (ProtocolError, *DECODE_ERRORS):
        return ProtocolError


def told(payload):
    """What the client makes of it."""
    core, link, call = in_flight()
    core.received(link, frame_message(payload), now=1.0)
    if not isinstance(call.outcome, Answered):
        return "no answer of this call"
    assert not link.calls
    outcome = call.outcome
    first, second = (valued(lambda: [outcome.value()]) for _ in range(2))
    assert first == second
    return first


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=40)
    | st.binary(max_size=40)
    | st.builds(msgspec.msgpack.Ext, st.integers(0, 127), st.binary(max_size=20)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)
packed = values.map(pack) | st.binary(max_size=30)


@st.composite
def broken(draw):
    """An answer in the usual form, with a part of it exchanged, taken away or added."""
    payload = usual(draw(packed))
    start = draw(st.integers(0, len(payload)))
    end = draw(st.integers(start, min(start + 4, len(payload))))
    return payload[:start] + draw(st.binary(max_size=4)) + payload[end:]


@given(packed.map(usual) | broken())
@example(usual(b"\xc0"))
@example(usual(b""))
@example(usual(b"\xc1"))
@example(usual(b"\xc0\xc0"))
@example(usual(b"\x81\x90\xc0"))
@example(usual(b"\xa2\xff\xfe"))
@example(usual(b"\x93\x01"))
@example(usual(pack("x" * MAX_SHORT_BYTES)))
@example(usual(pack("x" * MAX_SHORT_BYTES) + b"\xc0"))
@example(usual(b"\x91" * 3000 + b"\xc0"))
@example(wire.encode_reply(SERVER_ID, CHANNEL_ID, wire.OK, b"\x90"))
@example(wire.encode_reply(SERVER_ID, CHANNEL_ID, wire.OK, b"\x92\x01\x02"))
@example(wire.encode_reply(SERVER_ID, CHANNEL_ID, wire.OK, b"\x80"))
@example(wire.encode_reply(SERVER_ID, CHANNEL_ID, wire.STREAM, b"\x91\x01"))
@example(wire.encode_reply(SERVER_ID, pack("x" * 16), wire.OK, b"\x91\x01"))
@example(wire.encode_reply(b"\xc4\x0f" + SERVER_ID[2:], CHANNEL_ID, wire.OK, b"\x91\x01"))
def test_whatever_comes_is_what_a_decoder_says_it_is(payload):
    assert told(payload) == decided(payload)


def test_the_answers_of_our_own_gateway_are_told_by_their_bytes():
    payload = usual(pack({"species": "setosa"}))

    assert usual_id(payload) == CHANNEL_ID
    assert usual_value(payload) == {"species": "setosa"}
    assert payload[ARGS_AT:] == pack([{"species": "setosa"}])


@pytest.mark.parametrize(
    "payload",
    [
        usual(pack("x" * MAX_SHORT_BYTES)),
        usual(b""),
        wire.encode_reply(SERVER_ID, CHANNEL_ID, wire.ERR, b"\x91\x01"),
        wire.encode_reply(pack(7), CHANNEL_ID, wire.OK, b"\x91\x01"),
        b"\x93",
        b"",
    ],
)
def test_all_others_are_for_the_decoder(payload):
    assert usual_id(payload) == b""


def test_each_asker_has_a_value_of_its_own():
    outcome = Answered(pack([["a"]]), 0, ["a"])

    first, second, third = (outcome.value() for _ in range(3))

    assert first == second == third == ["a"]
    assert first is not second
    assert second is not third


def test_an_answer_without_values_is_nothing():
    assert Answered(b"\x90").value() is None


def test_what_cannot_be_decoded_is_told_each_time():
    outcome = Answered(b"\x91\xa2\xff\xfe")

    for _ in range(2):
        with pytest.raises(ProtocolError, match="the answer cannot be decoded"):
            outcome.value()


def test_answers_are_compared_by_what_they_say():
    assert Answered(b"head" + pack([1]), 4, 1) == Answered(pack([1]))
    assert Answered(pack([1])) != Answered(pack([2]))
    assert Answered(pack([1])) != pack([1])
    assert len({Answered(pack([1])), Answered(pack([1]), 0, 1)}) == 1
    assert repr(Answered(b"\x91\x01")) == r"Answered(args=b'\x91\x01')"


def test_a_number_that_is_none_is_a_value():
    assert math.isnan(usual_value(usual(pack(math.nan))))
