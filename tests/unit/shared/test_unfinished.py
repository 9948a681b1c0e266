"""What is held of messages that are not complete is bounded for all clients together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeropool.shared.ports.unfinished import Unfinished

A, B, C = b"a", b"b", b"c"
MAX_TOTAL_BYTES = 100


@pytest.fixture
def unfinished():
    return Unfinished(MAX_TOTAL_BYTES)


def test_what_is_held_is_what_was_said_last_of_each_client(unfinished):
    assert unfinished.keep(A, 10) is None
    assert unfinished.keep(B, 20) is None
    assert unfinished.keep(A, 15) is None
    assert repr(unfinished) == "<Unfinished clients=2 bytes=35>"


def test_a_client_whose_message_is_complete_is_not_remembered(unfinished):
    unfinished.keep(A, 10)
    assert unfinished.keep(A, 0) is None
    assert unfinished.keep(B, 0) is None
    assert repr(unfinished) == "<Unfinished clients=0 bytes=0>"


def test_as_much_as_is_allowed_may_be_held(unfinished):
    assert unfinished.keep(A, 60) is None
    assert unfinished.keep(B, 40) is None
    assert unfinished.held_bytes == MAX_TOTAL_BYTES


def test_where_all_is_too_much_the_client_with_the_most_is_named(unfinished):
    unfinished.keep(A, 30)
    unfinished.keep(B, 50)
    assert unfinished.keep(C, 21) == B


def test_where_all_is_too_much_whoever_is_named_may_be_who_sent_last(unfinished):
    unfinished.keep(A, 30)
    unfinished.keep(B, 50)
    assert unfinished.keep(A, 51) == A


def test_a_client_alone_over_the_bound_is_named(unfinished):
    assert unfinished.keep(A, 101) == A


def test_a_client_that_is_gone_is_forgotten(unfinished):
    unfinished.keep(A, 10)
    unfinished.keep(B, 20)
    unfinished.forget(A)
    unfinished.forget(A)
    unfinished.forget(C)
    assert repr(unfinished) == "<Unfinished clients=1 bytes=20>"


@given(st.lists(st.tuples(st.sampled_from([A, B, C, b"d"]), st.integers(0, 120)), max_size=60))
def test_after_whoever_is_named_has_gone_the_bound_holds_again(steps):
    unfinished = Unfinished(MAX_TOTAL_BYTES)
    held = {}
    for client, size_bytes in steps:
        held[client] = size_bytes
        most = unfinished.keep(client, size_bytes)
        assert (most is not None) == (sum(held.values()) > MAX_TOTAL_BYTES)
        if most is not None:
            assert held.pop(most) >= max(held.values(), default=0)
            unfinished.forget(most)
        assert unfinished.held_bytes == sum(held.values()) <= MAX_TOTAL_BYTES
