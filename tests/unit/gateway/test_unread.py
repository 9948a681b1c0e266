"""Order and bounds of the replies that clients do not read, and how often they are tried."""

from __future__ import annotations

import math

import pytest

from zeropool.gateway.unread import LAST_RETRY_S, MAX_HOPEFUL, Unread

A, B, C = (b"a",), (b"b",), (b"c",)


@pytest.fixture
def unread():
    return Unread(max_client_bytes=10, max_total_bytes=25, max_wait_s=60.0)


def test_replies_wait_in_order(unread):
    unread.add(A, b"one", 0.0)
    unread.add(A, b"two", 0.0)
    assert unread.first(A) == b"one"
    unread.sent(A, 0.0)
    assert unread.first(A) == b"two"
    unread.sent(A, 0.0)
    assert unread.first(A) is None
    assert not unread.holds(A)
    assert not unread


def test_every_client_has_a_bound_of_its_own(unread):
    assert unread.add(A, b"0123456789", 0.0) == []
    assert unread.add(B, b"0123456789", 0.0) == []
    assert repr(unread) == "<Unread clients=2 bytes=20>"


def test_a_client_over_its_bound_loses_everything(unread):
    unread.add(A, b"01234567", 0.0)
    assert unread.add(A, b"012", 0.0) == [A]
    assert not unread.holds(A)
    assert unread.held_bytes == 0


def test_a_client_that_makes_up_hops_has_no_further_bound(unread):
    here, there = (b"a", b"1"), (b"a", b"2")
    unread.add(here, b"01234567", 0.0)
    unread.add(B, b"0123456789", 0.0)
    assert unread.add(there, b"012", 0.0) == [here, there]
    assert (unread.holds(B), unread.held_bytes) == (True, 10)
    assert unread._client_bytes == {b"b": 10}


def test_over_the_bound_for_all_the_client_with_the_most_is_given_up(unread):
    unread.add(A, b"01234567", 0.0)
    unread.add(B, b"0123456789", 0.0)
    assert unread.add(C, b"01234567", 0.0) == [B]
    assert unread.holds(A)
    assert unread.holds(C)
    assert unread.held_bytes == 16


def test_what_was_sent_makes_room(unread):
    unread.add(A, b"01234567", 0.0)
    unread.add(A, b"01", 0.0)
    unread.sent(A, 0.0)
    assert unread.add(A, b"01234567", 0.0) == []
    assert unread.held_bytes == 10


def test_a_client_that_is_gone_is_forgotten_and_not_tried(unread):
    unread.add(A, b"one", 0.0)
    unread.forget(A)
    unread.forget(A)
    assert not unread
    assert unread.held_bytes == 0
    assert unread.take_due(1.0) == []
    assert unread.next_deadline() == math.inf


def tries(unread, until_s):
    """When a client that takes nothing is tried, until it is given up or time is over."""
    times = []
    while (now := unread.next_deadline()) < until_s:
        times.append(now)
        assert unread.take_due(now) == [A]
        if not unread.full(A, now):
            break
    return times


def test_a_full_connection_is_tried_less_and_less_often(unread):
    unread.add(A, b"one", 0.0)
    times = tries(unread, until_s=10.0)
    assert times[:4] == pytest.approx([0.001, 0.003, 0.007, 0.015])
    assert times[-1] - times[-2] == pytest.approx(LAST_RETRY_S)
    assert len(times) < 120


def test_a_client_that_reads_again_is_tried_often_again(unread):
    unread.add(A, b"one", 0.0)
    unread.add(A, b"two", 0.0)
    tries(unread, until_s=5.0)
    now = unread.next_deadline()
    assert unread.take_due(now) == [A]
    unread.sent(A, now)
    assert unread.full(A, now)
    assert unread.next_deadline() == pytest.approx(now + 0.001)


def test_a_client_that_has_read_nothing_for_too_long_is_given_up(unread):
    unread.add(A, b"one", 0.0)
    times = tries(unread, until_s=100.0)
    assert 60.0 <= times[-1] <= 60.0 + LAST_RETRY_S
    assert not unread.holds(A)


def test_progress_counts_not_the_age_of_the_first_reply(unread):
    unread.add(A, b"one", 0.0)
    unread.add(A, b"two", 0.0)
    unread.take_due(59.0)
    unread.sent(A, 59.0)
    assert unread.full(A, 59.0)
    assert tries(unread, until_s=200.0)[-1] == pytest.approx(119.0, abs=2 * LAST_RETRY_S)


def test_a_client_that_comes_back_is_tried_once_at_a_time(unread):
    unread.add(A, b"one", 0.0)
    unread.forget(A)
    unread.add(A, b"one", 0.0)
    assert unread.take_due(1.0) == [A]


def test_a_client_that_has_just_become_full_is_hopeful_until_a_try_of_its_own_fails(unread):
    unread.add(A, b"one", 0.0)
    assert unread.hopeful() == [A]

    tries(unread, until_s=0.002)

    assert unread.hopeful() == []
    assert unread.holds(A)


def test_a_client_that_has_taken_something_is_hopeful_again(unread):
    unread.add(A, b"one", 0.0)
    unread.add(A, b"two", 0.0)
    tries(unread, until_s=1.0)

    now = unread.next_deadline()
    unread.take_due(now)
    unread.sent(A, now)
    assert unread.full(A, now)

    assert unread.hopeful() == [A]


@pytest.mark.parametrize("leaves", ["sent", "forget"])
def test_a_client_for_which_nothing_waits_is_not_hopeful(unread, leaves):
    unread.add(A, b"one", 0.0)
    if leaves == "sent":
        unread.sent(A, 0.0)
    else:
        unread.forget(A)

    assert unread.hopeful() == []


def test_only_some_are_hopeful_at_a_time(unread):
    for number in range(MAX_HOPEFUL + 1):
        unread.add((b"%d" % number,), b"x", 0.0)

    assert len(unread.hopeful()) == MAX_HOPEFUL
