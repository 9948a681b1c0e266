"""Frames of ZMTP 1, however they are cut."""

from __future__ import annotations

import struct
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeropool.shared.errors import MessageTooLarge, ProtocolError
from zeropool.shared.wire.old_zmtp import OldFrames, old_frame
from zeropool.shared.wire.zmtp import MAX_FRAMES, MORE

MESSAGES = st.lists(
    st.tuples(
        st.one_of(st.just([]), st.lists(st.binary(min_size=1, max_size=300), max_size=3)),
        st.binary(max_size=600),
    ),
    max_size=6,
)


def message(payload, hops=()):
    return b"".join(old_frame(hop, MORE) for hop in (*hops, b"")) + old_frame(payload)


def receive_again_and_again(frames, piece):
    for _ in range(1_000):
        frames.receive(piece)


def long_head(size, flags=b""):
    return b"\xff" + struct.pack(">Q", size) + flags


def test_frames_have_their_golden_bytes():
    assert old_frame(b"") == b"\x01\x00"
    assert old_frame(b"ab", MORE) == b"\x03\x01ab"
    assert old_frame(b"x" * 253) == b"\xfe\x00" + b"x" * 253
    assert old_frame(b"x" * 254, MORE) == b"\xff\0\0\0\0\0\0\0\xff\x01" + b"x" * 254


@pytest.mark.parametrize("size", [0, 1, 252, 253, 254, 255, 256, 70_000])
def test_a_message_is_what_was_framed(size):
    assert OldFrames(100_000).receive(message(b"x" * size)) == [b"x" * size]


def test_a_short_frame_may_have_a_long_head():
    assert OldFrames(100).receive(long_head(3, b"\x00ab")) == [b"ab"]


@given(MESSAGES, st.data())
def test_the_way_bytes_are_cut_does_not_matter(messages, data):
    sent = b"".join(message(payload, hops) for hops, payload in messages)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(sent)), max_size=12)))
    frames = OldFrames(10_000)
    received = []
    for begin, end in zip([0, *cuts], [*cuts, len(sent)], strict=True):
        payloads = frames.receive(sent[begin:end])
        received += [(frames.hops.get(at, []), payload) for at, payload in enumerate(payloads)]
    assert received == messages
    assert frames.held_bytes == 0


def test_one_byte_at_a_time_will_do():
    frames = OldFrames(1_000)
    received = []
    for byte in message(b"ab") + message(b"x" * 300):
        received += frames.receive(bytes([byte]))
    assert received == [b"ab", b"x" * 300]


def test_only_the_last_frame_counts_and_the_hops_stand_apart():
    frames = OldFrames(100)
    said = message(b"no") + message(b"ab", [b"hop", b"b"]) + message(b"no")
    assert frames.receive(said) == [b"no", b"ab", b"no"]
    assert frames.hops == {1: [b"hop", b"b"]}
    assert frames.receive(message(b"ab")) == [b"ab"]
    assert frames.hops == {}


def test_what_has_come_of_a_message_is_held_until_it_is_complete():
    frames = OldFrames(1_000)
    frames.receive(old_frame(b"", MORE))
    assert frames.held_bytes == 2
    frames.receive(old_frame(b"abc")[:3])
    assert frames.held_bytes == 5
    assert frames.receive(old_frame(b"abc")[3:]) == [b"abc"]
    assert frames.held_bytes == 0


@pytest.mark.parametrize("said", [b"\x00", long_head(0)])
def test_a_frame_without_flags_is_refused(said):
    with pytest.raises(ProtocolError, match=r"^frame without flags$"):
        OldFrames(100).receive(said)


@pytest.mark.parametrize("size", [1001, 1 << 63, (1 << 64) - 1])
def test_a_frame_that_is_too_large_is_refused_before_it_has_come(size):
    with pytest.raises(MessageTooLarge, match=f"^message of {size} bytes exceeds 1000$"):
        OldFrames(1000).receive(long_head(size))


def test_the_frames_of_a_message_count_together():
    frames = OldFrames(1000)
    frames.receive(old_frame(bytes(600), MORE))
    with pytest.raises(MessageTooLarge, match="exceeds 1000"):
        frames.receive(long_head(601))


def test_the_bound_is_that_of_one_message_not_of_the_connection():
    frames = OldFrames(1000)
    for _ in range(10):
        assert frames.receive(message(bytes(600))) == [bytes(600)]


def test_endless_empty_frames_end_and_hardly_anything_of_them_is_kept():
    frames = OldFrames(200_000)
    piece = old_frame(b"", MORE) * 4096
    tracemalloc.start()
    with pytest.raises(MessageTooLarge, match="exceeds 200000"):
        receive_again_and_again(frames, piece)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 100_000


def test_of_many_hops_only_some_are_kept():
    frames = OldFrames(10_000)
    hops = [b"%d" % number for number in range(100)]
    assert frames.receive(message(b"ab", hops)) == [b"ab"]
    assert frames.hops == {0: hops[: MAX_FRAMES - 1]}
