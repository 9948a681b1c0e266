"""One client as ZMTP 1, 2 or 3: its greeting step by step, its requests, and who is no client."""

from __future__ import annotations

import contextlib
import struct
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeropool.shared.errors import MessageTooLarge, ProtocolError
from zeropool.shared.wire.answerer import Answerer
from zeropool.shared.wire.kinds import Kind
from zeropool.shared.wire.old_zmtp import old_frame
from zeropool.shared.wire.zmtp import (
    COMMAND,
    FURTHER_FRAME_BYTES,
    MAX_COMMAND_BYTES,
    MORE,
    frame,
)

MAX_MESSAGE_BYTES = 10_000
SIGNATURE = b"\xff" + bytes(7) + b"\x01\x7f"
#: As libzmq 4.3.5 sent them, of which the minor version is 1.
REST_3 = b"\x01NULL" + bytes(48)
GREETING_3 = SIGNATURE + b"\x03" + REST_3
DEALER_READY = b"\x04\x29\x05READY\x0bSocket-Type\0\0\0\x06DEALER\x08Identity\0\0\0\0"
OUR_READY = b"\x04\x29\x05READY\x0bSocket-Type\0\0\0\x06ROUTER\x08Identity\0\0\0\0"
OUR_REST_3 = b"\x00NULL" + bytes(48) + OUR_READY
#: Version and type, a DEALER, as in rfc.zeromq.org/spec/15.
GREETING_2 = SIGNATURE + b"\x01\x05"


class Dialect(NamedTuple):
    """How a client of one version speaks, and what it is told before the first reply."""

    name: str
    hello: bytes
    frame: object
    told: bytes

    def request(self, payload, hops=()):
        parts = [self.frame(hop, MORE) for hop in (*hops, b"")]
        return b"".join((*parts, self.frame(payload, 0)))


ZMTP_1 = Dialect("1", old_frame(b""), old_frame, SIGNATURE)
ZMTP_1_NAMED = Dialect("1, named", old_frame(b"me"), old_frame, SIGNATURE)
ZMTP_1_LONG_NAME = Dialect("1, long name", old_frame(b"n" * 255), old_frame, SIGNATURE)
ZMTP_2 = Dialect("2", GREETING_2 + frame(b""), frame, SIGNATURE + b"\x03\x06\x00\x00")
ZMTP_2_NAMED = Dialect("2, named", GREETING_2 + frame(b"me"), frame, ZMTP_2.told)
ZMTP_3 = Dialect("3", GREETING_3 + DEALER_READY, frame, SIGNATURE + b"\x03" + OUR_REST_3)
DIALECTS = [ZMTP_1, ZMTP_1_NAMED, ZMTP_1_LONG_NAME, ZMTP_2, ZMTP_2_NAMED, ZMTP_3]
every_dialect = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)

HOPS = st.one_of(st.just([]), st.lists(st.binary(min_size=1, max_size=300), max_size=3))
REQUESTS = st.lists(st.tuples(HOPS, st.binary(max_size=600)), max_size=5)


@pytest.fixture
def peer():
    return Answerer(Kind.ROUTER, MAX_MESSAGE_BYTES)


def met(dialect):
    """A peer whose handshake is over."""
    peer = Answerer(Kind.ROUTER, MAX_MESSAGE_BYTES)
    assert peer.receive(dialect.hello) == []
    peer.replies.clear()
    return peer


def said_by(peer):
    """What it has to say since it was last asked."""
    said = b"".join(peer.replies)
    peer.replies.clear()
    return said


def receive_again_and_again(peer, piece):
    for _ in range(MAX_MESSAGE_BYTES):
        peer.receive(piece)


def heard(peer, data):
    """Hops and payload of each request."""
    payloads = peer.receive(data)
    assert all(0 <= place < len(payloads) for place in peer.hops)
    return [(peer.hops.get(place, []), payload) for place, payload in enumerate(payloads)]


# The greeting


def test_the_signature_comes_first_and_nothing_else(peer):
    assert said_by(peer) == SIGNATURE
    assert not peer.is_ready


def test_zmtp_3_is_greeted_step_by_step(peer):
    said_by(peer)
    assert peer.receive(SIGNATURE[:9]) == []
    assert said_by(peer) == b""
    assert peer.receive(SIGNATURE[9:]) == []
    assert said_by(peer) == b"\x03"
    assert peer.receive(b"\x03") == []
    assert said_by(peer) == b""
    assert peer.receive(REST_3[:-1]) == []
    assert said_by(peer) == b""
    assert peer.receive(REST_3[-1:]) == []
    assert said_by(peer) == OUR_REST_3
    assert not peer.is_ready
    assert peer.receive(DEALER_READY[:-1]) == []
    assert not peer.is_ready
    assert peer.receive(DEALER_READY[-1:]) == []
    assert peer.is_ready
    assert said_by(peer) == b""


def test_zmtp_2_is_greeted_step_by_step(peer):
    said_by(peer)
    peer.receive(SIGNATURE)
    assert said_by(peer) == b"\x03"
    peer.receive(b"\x01")
    assert said_by(peer) == b""
    assert not peer.is_ready
    peer.receive(b"\x05")
    assert said_by(peer) == b"\x06\x00\x00"
    assert peer.is_ready
    assert peer.receive(b"\x00\x00") == []
    assert said_by(peer) == b""


def test_zmtp_1_is_told_nothing_but_the_signature(peer):
    said_by(peer)
    assert peer.receive(b"\x01") == []
    assert peer.is_ready
    assert peer.receive(b"\x00\x01\x01\x03\x00ab") == [b"ab"]
    assert said_by(peer) == b""


def test_a_long_identity_of_zmtp_1_is_no_signature(peer):
    said_by(peer)
    hello = b"\xff" + struct.pack(">Q", 256) + b"\x00" + b"n" * 255
    assert hello == ZMTP_1_LONG_NAME.hello
    assert peer.receive(hello[:9]) == []
    assert not peer.is_ready
    assert peer.receive(hello[9:]) == []
    assert peer.is_ready
    assert said_by(peer) == b""


def test_a_later_version_is_greeted_as_3(peer):
    peer.receive(GREETING_3[:10] + b"\x04" + REST_3 + DEALER_READY)
    assert peer.is_ready
    assert said_by(peer) == ZMTP_3.told


@every_dialect
def test_whoever_says_all_at_once_is_told_the_same(dialect, peer):
    assert heard(peer, dialect.hello + dialect.request(b"ab")) == [([], b"ab")]
    assert said_by(peer) == dialect.told


# Requests


@pytest.mark.parametrize(
    ("dialect", "request_bytes"),
    [
        (ZMTP_1, b"\x01\x01\x03\x00ab"),
        (ZMTP_2, b"\x01\x00\x00\x02ab"),
        (ZMTP_3, b"\x01\x00\x00\x02ab"),
    ],
    ids=["1", "2", "3"],
)
def test_requests_and_replies_have_their_golden_bytes(dialect, request_bytes):
    peer = met(dialect)
    assert peer.receive(request_bytes) == [b"ab"]
    assert peer.frame(b"ab") == request_bytes


@pytest.mark.parametrize(
    ("dialect", "request_bytes"),
    [
        (ZMTP_1, b"\x04\x01hop\x02\x01b\x01\x01\x03\x00ab"),
        (ZMTP_2, b"\x01\x03hop\x01\x01b\x01\x00\x00\x02ab"),
        (ZMTP_3, b"\x01\x03hop\x01\x01b\x01\x00\x00\x02ab"),
    ],
    ids=["1", "2", "3"],
)
def test_what_comes_through_devices_goes_back_through_them(dialect, request_bytes):
    peer = met(dialect)
    assert heard(peer, request_bytes) == [([b"hop", b"b"], b"ab")]
    assert peer.frame_through([b"hop", b"b"], b"ab") == request_bytes


@every_dialect
@pytest.mark.parametrize("size", [0, 252, 253, 254, 255, 256, 5_000])
def test_frames_of_every_size_come_and_go(dialect, size):
    payload, hop = b"x" * size, b"h" * size
    peer = met(dialect)
    assert heard(peer, dialect.request(payload)) == [([], payload)]
    assert peer.frame(payload) == dialect.request(payload)
    assert heard(peer, dialect.request(payload[:1], [hop])) == [([hop], payload[:1])]
    assert peer.frame_through([hop], payload) == dialect.request(payload, [hop])


@every_dialect
@given(REQUESTS, st.data())
def test_the_way_bytes_are_cut_does_not_matter(dialect, requests, data):
    sent = dialect.hello + b"".join(dialect.request(payload, hops) for hops, payload in requests)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(sent)), max_size=12)))
    peer = Answerer(Kind.ROUTER, MAX_MESSAGE_BYTES)
    received = []
    for begin, end in zip([0, *cuts], [*cuts, len(sent)], strict=True):
        received += heard(peer, sent[begin:end])
        assert peer.held_bytes <= end
    assert received == requests
    assert said_by(peer) == dialect.told
    assert peer.is_ready
    assert peer.held_bytes == 0


@every_dialect
def test_one_byte_at_a_time_will_do(dialect, peer):
    received = []
    for byte in dialect.hello + dialect.request(b"ab") + dialect.request(b"x" * 300, [b"hop"]):
        received += heard(peer, bytes([byte]))
    assert received == [([], b"ab"), ([b"hop"], b"x" * 300)]
    assert said_by(peer) == dialect.told


@pytest.mark.parametrize(
    "dialect",
    [ZMTP_1, ZMTP_1_NAMED, ZMTP_1_LONG_NAME, ZMTP_2, ZMTP_2_NAMED],
    ids=lambda dialect: dialect.name,
)
def test_an_identity_is_no_request_and_moves_no_hops(dialect, peer):
    said = [
        dialect.request(b"one", [b"hop"]),
        dialect.request(b"two"),
        dialect.request(b"three", [b"a", b"b"]),
    ]
    assert heard(peer, dialect.hello + b"".join(said)) == [
        ([b"hop"], b"one"),
        ([], b"two"),
        ([b"a", b"b"], b"three"),
    ]


@pytest.mark.parametrize(
    ("greeting", "dialect"), [(b"", ZMTP_1), (GREETING_2, ZMTP_2)], ids=["1", "2"]
)
def test_an_identity_of_many_frames_is_none_either(greeting, dialect, peer):
    identity = dialect.request(b"me", [b"hop"])
    said = greeting + identity + dialect.request(b"ab") + dialect.request(b"cd", [b"a"])
    assert heard(peer, said) == [([], b"ab"), ([b"a"], b"cd")]


@pytest.mark.parametrize("dialect", [ZMTP_1, ZMTP_2], ids=["1", "2"])
def test_only_the_first_message_is_an_identity(dialect):
    peer = met(dialect)
    assert peer.receive(dialect.frame(b"", 0)) == [b""]


def test_hops_are_those_of_the_last_receive():
    for dialect in DIALECTS:
        peer = met(dialect)
        peer.receive(dialect.request(b"ab", [b"hop"]))
        peer.receive(dialect.request(b"ab"))
        assert peer.hops == {}


# The connection's own


def test_a_ping_is_answered_and_is_no_request():
    peer = met(ZMTP_3)
    assert peer.receive(b"\x04\x09\x04PING\x00\x0aab" + ZMTP_3.request(b"x")) == [b"x"]
    assert said_by(peer) == b"\x04\x07\x04PONGab"
    peer.receive(ZMTP_3.request(b"x"))
    assert said_by(peer) == b""


def test_other_commands_mean_nothing_here():
    peer = met(ZMTP_3)
    assert peer.receive(b"\x04\x05\x04PONG" + ZMTP_3.request(b"x")) == [b"x"]
    assert said_by(peer) == b""


def test_a_large_request_says_how_much_of_it_is_missing():
    peer = met(ZMTP_3)
    peer.receive(ZMTP_3.request(bytes(5_000))[:1_000])
    assert (peer.held_bytes, peer.missing_bytes) == (1_000, 4_011)


# Who is no client


def ready(kind):
    body = b"\x05READY\x0bSocket-Type" + struct.pack(">I", len(kind)) + kind
    return frame(body, COMMAND)


@pytest.mark.parametrize("kind", [b"DEALER", b"REQ", b"ROUTER"])
def test_who_can_talk_to_a_router_is_welcome(kind, peer):
    peer.receive(GREETING_3 + ready(kind))
    assert peer.is_ready


@pytest.mark.parametrize("kind", [b"PUSH", b"SUB", b"REP"])
def test_who_cannot_talk_to_a_router_is_refused_by_name(kind, peer):
    peer.receive(GREETING_3)
    with pytest.raises(
        ProtocolError, match=f"^its socket is a {kind.decode()}, which nobody answers$"
    ):
        peer.receive(ready(kind))
    assert not peer.is_ready


@pytest.mark.parametrize("number", [3, 5, 6])
def test_who_can_talk_to_a_router_is_welcome_in_zmtp_2(number, peer):
    peer.receive(SIGNATURE + b"\x01%c" % number)
    assert peer.is_ready


@pytest.mark.parametrize("number", [0, 1, 2, 4, 7, 8, 255])
def test_who_cannot_talk_to_a_router_is_refused_in_zmtp_2(number, peer):
    with pytest.raises(ProtocolError, match=r"^its socket is of a type that nobody answers$"):
        peer.receive(SIGNATURE + b"\x01%c" % number)
    assert said_by(peer) == SIGNATURE + b"\x03"


def test_curve_is_refused_by_name(peer):
    greeting = GREETING_3.replace(b"NULL\0", b"CURVE")
    assert peer.receive(greeting[:-1]) == []
    with pytest.raises(ProtocolError, match=r"^it wants the security mechanism CURVE$"):
        peer.receive(greeting[-1:])
    assert said_by(peer) == SIGNATURE + b"\x03"


def test_a_message_before_ready_is_refused(peer):
    peer.receive(GREETING_3)
    with pytest.raises(ProtocolError, match=r"^it sent a message before it was ready$"):
        peer.receive(ZMTP_3.request(b"ab"))


def test_an_error_ends_the_connection_with_its_reason(peer):
    with pytest.raises(ProtocolError, match=r"^the peer refuses the connection: go away$"):
        peer.receive(GREETING_3 + b"\x04\x0e\x05ERROR\x07go away")


@pytest.mark.parametrize("dialect", [ZMTP_2, ZMTP_3], ids=["2", "3"])
def test_unknown_flags_are_refused(dialect):
    with pytest.raises(ProtocolError, match=r"^frame with unknown flags 0x8$"):
        met(dialect).receive(b"\x08\x00")


# Bounds


@every_dialect
def test_a_request_that_is_too_large_is_refused_before_it_has_come(dialect):
    peer = met(dialect)
    with pytest.raises(MessageTooLarge, match=f"exceeds {MAX_MESSAGE_BYTES}$"):
        peer.receive(dialect.request(bytes(MAX_MESSAGE_BYTES + 1))[:20])


@every_dialect
def test_endless_empty_frames_end(dialect):
    peer = met(dialect)
    with pytest.raises(MessageTooLarge, match=f"exceeds {MAX_MESSAGE_BYTES}$"):
        receive_again_and_again(peer, dialect.frame(b"", MORE))
    assert peer.held_bytes <= MAX_MESSAGE_BYTES + 2 + FURTHER_FRAME_BYTES


@pytest.mark.parametrize("hello", [GREETING_3[:-1], SIGNATURE + b"\x01", SIGNATURE[:9]])
def test_an_unfinished_greeting_is_held_and_nothing_beside_it(hello, peer):
    for byte in hello:
        peer.receive(bytes([byte]))
    assert peer.held_bytes == len(hello)


JUNK = st.one_of(
    st.binary(max_size=20),
    st.builds(frame, st.binary(max_size=1_200), st.integers(0, 7)),
    st.builds(old_frame, st.binary(max_size=1_200), st.integers(0, 3)),
    st.builds(struct.Struct(">BQ").pack, st.integers(0, 255), st.integers(0, (1 << 64) - 1)),
)


@every_dialect
@given(st.integers(0, 100), st.lists(JUNK, max_size=12))
def test_whatever_comes_only_so_much_is_held_or_the_connection_ends(dialect, begin_bytes, junk):
    peer = Answerer(Kind.ROUTER, 1_000)
    with contextlib.suppress(ProtocolError):
        for piece in (dialect.hello[:begin_bytes], *junk):
            peer.receive(piece)
            assert peer.held_bytes <= 1_000 + MAX_COMMAND_BYTES + 20
