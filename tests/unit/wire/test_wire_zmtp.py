"""Frames of ZMTP 2 and 3, however they are cut, and what both ends share of the handshake."""

from __future__ import annotations

import struct
import tracemalloc
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeropool.shared.errors import MessageTooLarge, ProtocolError
from zeropool.shared.wire.zmtp import (
    COMMAND,
    FURTHER_FRAME_BYTES,
    GREETING,
    LONG,
    MAX_COMMAND_BYTES,
    MAX_FRAMES,
    MORE,
    Frames,
    answer_to,
    frame,
    frame_message,
    mechanism_of,
    ready_command,
    socket_type_of,
)

#: As libzmq 4.3.5 sent them.
DEALER_READY = b"\x04\x29\x05READY\x0bSocket-Type\0\0\0\x06DEALER\x08Identity\0\0\0\0"
PUSH_READY = b"\x04\x1a\x05READY\x0bSocket-Type\0\0\0\x04PUSH"
HEAD_BYTES = 2
LONG_HEAD_BYTES = 9


class Part(NamedTuple):
    """One frame of a conversation."""

    flags: int
    body: bytes

    @property
    def wire(self):
        return frame(self.body, self.flags)


def long_head(size_bytes, flags=0):
    return struct.pack(">BQ", flags | LONG, size_bytes)


BODIES = st.one_of(
    st.binary(max_size=12),
    st.sampled_from([254, 255, 256, 700]).map(lambda size: b"x" * size),
)
COMMANDS = st.lists(BODIES.map(lambda body: Part(COMMAND, body)), max_size=1)


@st.composite
def messages(draw):
    """The frames of one message, with commands between them, and what is to come out of it."""
    hops = draw(st.one_of(st.just([]), st.lists(BODIES, min_size=1, max_size=3)))
    payload = draw(BODIES)
    parts = [Part(MORE, hop) for hop in (*hops, b"")]
    parts = [part for each in parts for part in (*draw(COMMANDS), each)]
    return (hops, payload), [*parts, *draw(COMMANDS), Part(0, payload), *draw(COMMANDS)]


CONVERSATIONS = st.lists(messages(), max_size=5)


def cut(sent, cuts):
    return [
        sent[begin:end]
        for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(sent)], strict=True)
    ]


def receive_again_and_again(frames, piece):
    for _ in range(1_000):
        frames.receive(piece)


def state_after(parts, received_bytes):
    """What is held after so many bytes, where the frame in hand begins, and where it ends."""
    earlier_bytes = begin = 0
    for part in parts:
        end = begin + len(part.wire)
        if end > received_bytes:
            return earlier_bytes + received_bytes - begin, begin, end
        if part.flags == MORE:
            earlier_bytes += len(part.wire)
        elif part.flags == 0:
            earlier_bytes = 0
        begin = end
    return earlier_bytes + received_bytes - begin, begin, begin + HEAD_BYTES


# Frames that come


@given(CONVERSATIONS, st.data())
def test_the_way_bytes_are_cut_does_not_matter(conversation, data):
    parts = [part for _, message in conversation for part in message]
    sent = b"".join(part.wire for part in parts)
    frames = Frames(10_000)
    received = []
    for piece in cut(sent, data.draw(st.sets(st.integers(0, len(sent)), max_size=12))):
        payloads = frames.receive(piece)
        received += [(frames.hops.get(at, []), payload) for at, payload in enumerate(payloads)]
    assert received == [expected for expected, _ in conversation]
    assert frames.commands == [part.body for part in parts if part.flags == COMMAND]


@given(CONVERSATIONS, st.data())
def test_what_is_held_is_what_has_come_of_the_message_in_hand(conversation, data):
    parts = [part for _, message in conversation for part in message]
    sent = b"".join(part.wire for part in parts)
    frames = Frames(10_000)
    received_bytes = 0
    for piece in cut(sent, data.draw(st.sets(st.integers(0, len(sent)), max_size=12))):
        frames.receive(piece)
        received_bytes += len(piece)
        held_bytes, begin, end = state_after(parts, received_bytes)
        assert frames.held_bytes == held_bytes
        assert 0 < frames.missing_bytes <= end - received_bytes
        if received_bytes - begin >= LONG_HEAD_BYTES:
            assert frames.missing_bytes == end - received_bytes


def test_one_byte_at_a_time_will_do():
    frames = Frames(10_000)
    received = []
    for byte in frame_message(b"ab") + frame(b"c", COMMAND) + frame_message(b"x" * 300):
        received += frames.receive(bytes([byte]))
    assert received == [b"ab", b"x" * 300]
    assert frames.commands == [b"c"]
    assert frames.held_bytes == 0


def test_a_large_frame_says_how_much_of_it_is_missing():
    frames = Frames(2_000_000)
    sent = frame_message(bytes(1_000_000))
    frames.receive(sent[:4])
    assert (frames.held_bytes, frames.missing_bytes) == (4, 7)
    frames.receive(sent[4:11])
    assert (frames.held_bytes, frames.missing_bytes) == (11, 1_000_000)
    frames.receive(sent[11:500_011])
    assert (frames.held_bytes, frames.missing_bytes) == (500_011, 500_000)
    assert frames.receive(sent[500_011:]) == [bytes(1_000_000)]
    assert (frames.held_bytes, frames.missing_bytes) == (0, HEAD_BYTES)


def test_a_message_without_a_delimiter_is_its_last_frame():
    frames = Frames(100)
    assert frames.receive(b"\x00\x02ab") == [b"ab"]
    assert frames.hops == {}


def test_only_the_last_frame_counts_and_the_hops_stand_apart():
    frames = Frames(100)
    said = frame_message(b"no") + b"\x01\x03hop\x01\x01b\x01\x00\x00\x02ab" + frame_message(b"no")
    assert frames.receive(said) == [b"no", b"ab", b"no"]
    assert frames.hops == {1: [b"hop", b"b"]}


def test_hops_are_those_of_the_last_receive():
    frames = Frames(100)
    frames.receive(b"\x01\x03hop\x01\x00\x00\x02ab")
    frames.receive(b"\x01")
    assert frames.hops == {}


def test_a_command_inside_a_message_is_no_part_of_it():
    frames = Frames(100)
    assert frames.receive(b"\x01\x00" + b"\x04\x05\x04PONG" + b"\x00\x02ab") == [b"ab"]
    assert frames.commands == [b"\x04PONG"]


# Bounds


def test_a_frame_that_is_too_large_is_refused_before_it_has_come():
    with pytest.raises(MessageTooLarge, match=r"^message of 1001 bytes exceeds 1000$"):
        Frames(1000).receive(long_head(1001))


@pytest.mark.parametrize("payload", [bytes(998), bytes(200)])
def test_a_message_that_is_just_small_enough_comes(payload):
    assert Frames(1000).receive(frame_message(payload)) == [payload]


def test_the_frames_of_a_message_count_together_and_with_their_heads():
    frames = Frames(1000)
    frames.receive(frame(bytes(600), MORE))
    with pytest.raises(MessageTooLarge, match=r"^message of 1209 bytes exceeds 1000$"):
        frames.receive(long_head(600))


def test_the_bound_is_that_of_one_message_not_of_the_connection():
    frames = Frames(1000)
    for _ in range(10):
        assert frames.receive(frame(bytes(300), MORE) + frame(bytes(300))) == [bytes(300)]


def test_endless_empty_frames_end_and_hardly_anything_of_them_is_kept():
    frames = Frames(200_000)
    piece = b"\x01\x00" * 512
    tracemalloc.start()
    with pytest.raises(MessageTooLarge, match="exceeds 200000"):
        receive_again_and_again(frames, piece)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 100_000
    assert 200_000 - 512 * (2 + FURTHER_FRAME_BYTES) <= frames.held_bytes <= 200_000


def test_of_many_hops_only_some_are_kept():
    frames = Frames(10_000)
    hops = [b"%d" % number for number in range(100)]
    said = b"".join(frame(hop, MORE) for hop in hops)
    assert frames.receive(said + frame_message(b"ab")) == [b"ab"]
    assert frames.hops == {0: hops[: MAX_FRAMES - 1]}


def test_a_frame_in_tiny_pieces_takes_not_much_more_memory_than_it_has_bytes():
    frames = Frames(1_000_000)
    frames.receive(b"\x01\x00" + long_head(400_000))
    tracemalloc.start()
    for number in range(100_000):
        frames.receive(b"%02d" % (number % 100))
    held_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert frames.held_bytes == 200_011
    assert held_bytes < 2 * frames.held_bytes


@pytest.mark.parametrize("size", [1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
@pytest.mark.parametrize("flags", [0, MORE])
def test_an_absurd_size_is_refused(size, flags):
    with pytest.raises(MessageTooLarge, match="exceeds 1000"):
        Frames(1000).receive(long_head(size, flags))


@pytest.mark.parametrize("size", [MAX_COMMAND_BYTES + 1, 1 << 63, (1 << 64) - 1])
def test_a_command_that_is_too_large_is_refused(size):
    with pytest.raises(ProtocolError, match=r"^command of \d+ bytes exceeds 8192$"):
        Frames(1_000_000).receive(long_head(size, COMMAND))


def test_a_command_may_be_larger_than_a_message():
    frames = Frames(10)
    frames.receive(frame(bytes(MAX_COMMAND_BYTES), COMMAND))
    assert frames.commands == [bytes(MAX_COMMAND_BYTES)]


@pytest.mark.parametrize("flags", [0x05, 0x08, 0x10, 0x20, 0x40, 0x80, 0xFF])
def test_unknown_flags_are_refused(flags):
    with pytest.raises(ProtocolError, match=f"^frame with unknown flags {flags:#x}$"):
        Frames(1000).receive(bytes([flags]) + bytes(8))


# Frames that go


@pytest.mark.parametrize("size", [0, 1, 255, 256, 70_000])
def test_a_message_is_what_was_framed(size):
    payload = b"x" * size
    assert frame_message(payload) == frame(b"", MORE) + frame(payload)
    assert Frames(100_000).receive(frame_message(payload)) == [payload]


def test_short_and_long_frames_have_their_golden_bytes():
    assert frame(b"ab", MORE) == b"\x01\x02ab"
    assert frame(b"x" * 255) == b"\x00\xff" + b"x" * 255
    assert frame(b"x" * 256, MORE) == b"\x03\0\0\0\0\0\0\x01\0" + b"x" * 256
    assert frame_message(b"ab") == b"\x01\x00\x00\x02ab"
    assert frame_message(b"x" * 256) == b"\x01\x00\x02\0\0\0\0\0\0\x01\0" + b"x" * 256


# The handshake


def test_the_greeting_has_its_golden_bytes():
    golden = b"\xff" + bytes(7) + b"\x01\x7f\x03\x00NULL" + bytes(48)
    assert golden == GREETING
    assert len(golden) == 64


def test_a_ready_is_that_of_libzmq():
    assert ready_command(b"DEALER") == DEALER_READY


@pytest.mark.parametrize(
    ("mechanism", "name"), [(b"NULL", ""), (b"CURVE", "CURVE"), (b"PLAIN", "PLAIN")]
)
def test_a_greeting_names_a_mechanism_other_than_null(mechanism, name):
    assert mechanism_of(GREETING[:12] + mechanism.ljust(20, b"\0") + bytes(32)) == name


@pytest.mark.parametrize(
    ("ready", "kind"),
    [
        (DEALER_READY[2:], b"DEALER"),
        (PUSH_READY[2:], b"PUSH"),
        (b"\x05READY\x08Identity\0\0\0\x02me\x0bsocket-type\0\0\0\x03REQ", b"REQ"),
        (b"\x05READY\x08Identity\0\0\0\0", b""),
        (b"\x05READY", b""),
        (b"\x05READY\x0bSocket-Type\0\0", b""),
        (b"\x05READY\x08Identity\xff\xff\xff\xff\x0bSocket-Type\0\0\0\x03REQ", b""),
    ],
)
def test_a_ready_names_the_type_of_the_socket(ready, kind):
    assert socket_type_of(ready) == kind


@given(st.binary(max_size=60))
@settings(max_examples=300)
def test_whatever_a_ready_holds_its_type_is_part_of_it(properties):
    assert socket_type_of(b"\x05READY" + properties) in properties


def test_a_ping_is_answered_with_what_it_brings():
    assert answer_to(b"\x04PING\x00\x0aab") == b"\x04\x07\x04PONGab"
    assert answer_to(b"\x04PING\x00\x0a") == b"\x04\x05\x04PONG"


@pytest.mark.parametrize("command", [b"", b"\x04PONGab", b"\x09SUBSCRIBEab"])
def test_other_commands_want_no_answer(command):
    assert answer_to(command) == b""


def test_an_error_ends_the_connection_with_its_reason():
    with pytest.raises(ProtocolError, match=r"^the peer refuses the connection: go away$"):
        answer_to(b"\x05ERROR\x07go away")
