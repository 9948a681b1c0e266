"""Bytes leave in order and whole, however little each send takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeropool.shared.wire.outgoing import MAX_JOINED_BYTES, MAX_PARTS, Outgoing

SIZES = st.one_of(
    st.integers(0, 300),
    st.sampled_from(
        [MAX_JOINED_BYTES - 1, MAX_JOINED_BYTES, MAX_JOINED_BYTES + 1, 3 * MAX_JOINED_BYTES]
    ),
)
#: A message of that size is added, or so many thousandths of what is offered are taken.
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), SIZES),
        st.tuples(st.just("send"), st.sampled_from([0, 1, 10, 333, 500, 999, 1000])),
    ),
    max_size=40,
)


@pytest.fixture
def outgoing():
    return Outgoing()


def send(outgoing, size_bytes):
    """A connection that takes so many bytes of what is offered."""
    taken = b"".join(outgoing.parts())[:size_bytes]
    outgoing.took(len(taken))
    return taken


@given(STEPS)
def test_everything_leaves_in_order_and_whole(steps):
    outgoing = Outgoing()
    added, left = [], b""
    for number, (step, amount) in enumerate(steps):
        if step == "add":
            added.append(bytes([number]) * amount)
            outgoing.add(added[-1])
        elif outgoing.held_bytes:
            offered_bytes = sum(map(len, outgoing.parts()))
            left += send(outgoing, offered_bytes * amount // 1000)
        assert outgoing.held_bytes == sum(map(len, added)) - len(left)
        assert 0 <= outgoing.behind_bytes <= outgoing.held_bytes
    while outgoing.held_bytes:
        left += send(outgoing, MAX_JOINED_BYTES)
    assert left == b"".join(added)
    assert outgoing.behind_bytes == 0


LARGE_MESSAGES = st.lists(
    st.tuples(
        st.integers(MAX_JOINED_BYTES + 1, 2 * MAX_JOINED_BYTES),
        st.lists(st.integers(0, MAX_JOINED_BYTES), max_size=3).map(sorted),
    ),
    max_size=5,
)


@given(LARGE_MESSAGES)
def test_what_waits_behind_is_all_but_the_message_on_its_way(messages):
    outgoing = Outgoing()
    behind_bytes = 0
    for size, _ in messages:
        outgoing.add(bytes(size))
        behind_bytes += size
    for size, cuts in messages:
        behind_bytes -= size
        sent_bytes = 0
        for cut in cuts:
            assert outgoing.behind_bytes == behind_bytes
            assert len(outgoing.parts()[0]) == size - sent_bytes
            outgoing.took(cut - sent_bytes)
            sent_bytes = cut
        outgoing.took(size - sent_bytes)
    assert (outgoing.held_bytes, outgoing.behind_bytes) == (0, 0)


def test_nothing_waits_where_nothing_was_added(outgoing):
    assert (outgoing.held_bytes, outgoing.behind_bytes) == (0, 0)
    assert repr(outgoing) == "<Outgoing messages=0 bytes=0>"


def test_a_message_alone_is_offered_as_it_is(outgoing):
    message = b"abc"
    outgoing.add(message)
    assert outgoing.parts()[0] is message
    assert len(outgoing.parts()) == 1


def test_small_messages_are_joined(outgoing):
    for _ in range(200):
        outgoing.add(b"abc")
    assert outgoing.behind_bytes == 597
    assert outgoing.parts() == [b"abc" * 200]
    assert repr(outgoing) == "<Outgoing messages=1 bytes=600>"


def test_the_rest_of_a_joined_message_is_joined_with_what_came_since(outgoing):
    outgoing.add(b"abc")
    outgoing.add(b"def")
    assert send(outgoing, 2) == b"ab"
    outgoing.add(b"ghi")
    assert outgoing.behind_bytes == 3
    assert outgoing.parts() == [b"cdefghi"]


def test_as_much_as_may_be_joined_is_joined_and_more_goes_in_parts(outgoing):
    half = bytes(MAX_JOINED_BYTES // 2)
    outgoing.add(half)
    outgoing.add(half)
    assert outgoing.parts() == [half + half]
    outgoing.add(b"x")
    assert outgoing.parts() == [half + half, b"x"]


def test_no_more_parts_are_offered_than_the_kernel_takes(outgoing):
    messages = [bytes([number]) * 1024 for number in range(100)]
    for message in messages:
        outgoing.add(message)
    assert outgoing.parts() == messages[:MAX_PARTS]
    send(outgoing, 70 * 1024)
    assert outgoing.parts() == [b"".join(messages[MAX_PARTS:])]


def test_what_is_joined_counts_without_what_is_on_its_way_already(outgoing):
    outgoing.add(bytes(2 * MAX_JOINED_BYTES))
    outgoing.add(b"abc")
    send(outgoing, 2 * MAX_JOINED_BYTES - 1)
    assert outgoing.parts() == [b"\0abc"]


def test_a_large_message_is_not_copied_for_each_piece(outgoing):
    message = bytes(10 * MAX_JOINED_BYTES)
    outgoing.add(message)
    outgoing.took(1000)
    (rest,) = outgoing.parts()
    assert rest.obj is message
    assert len(rest) == len(message) - 1000


def test_large_messages_are_not_copied_to_be_joined(outgoing):
    messages = [bytes(MAX_JOINED_BYTES) for _ in range(3)]
    for message in messages:
        outgoing.add(message)
    outgoing.took(1000)
    first, *others = outgoing.parts()
    assert first.obj is messages[0]
    assert all(part is message for part, message in zip(others, messages[1:], strict=True))
