"""Bounds of the replies that clients do not take, for each of them, for all, and in time."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeropool.gateway.unread import Unread

A, B, C = b"a", b"b", b"c"
MAX_CLIENT_BYTES = 10
MAX_TOTAL_BYTES = 50
#: Of more than one client.
MAX_SHARED_BYTES = 25
MAX_WAIT_S = 60.0


@pytest.fixture
def unread():
    return make_unread()


def make_unread():
    return Unread(
        max_client_bytes=MAX_CLIENT_BYTES, max_total_bytes=MAX_TOTAL_BYTES, max_wait_s=MAX_WAIT_S
    )


def waits(unread, client, held_bytes, now=0.0, *, behind_bytes=0, has_taken=False):
    return unread.keep(client, held_bytes, behind_bytes, now, has_taken=has_taken)


def test_nothing_waits_at_first(unread):
    assert not unread
    assert unread.held_bytes == 0
    assert unread.next_deadline() == math.inf
    assert unread.take_overdue(1e9) == []


def test_a_client_for_whom_nothing_waits_is_not_remembered(unread):
    assert waits(unread, A, 0, has_taken=True) == []
    assert not unread


def test_what_waits_is_what_was_said_last_of_each_client(unread):
    assert waits(unread, A, 5) == []
    assert waits(unread, B, 7) == []
    assert waits(unread, A, 9) == []
    assert unread
    assert repr(unread) == "<Unread clients=2 bytes=16>"


def test_a_client_that_has_taken_everything_waits_no_longer(unread):
    waits(unread, A, 5)
    waits(unread, A, 0, 1.0, has_taken=True)
    assert not unread
    assert unread.held_bytes == 0
    assert unread.next_deadline() == math.inf


def test_a_client_over_its_bound_is_given_up_and_forgotten(unread):
    assert waits(unread, A, 12, behind_bytes=MAX_CLIENT_BYTES) == []
    assert waits(unread, A, 13, behind_bytes=MAX_CLIENT_BYTES + 1) == [A]
    assert not unread
    assert unread.held_bytes == 0


def test_a_client_may_be_given_up_at_once(unread):
    assert waits(unread, A, 13, behind_bytes=MAX_CLIENT_BYTES + 1) == [A]
    assert not unread


def test_one_reply_may_be_larger_than_a_clients_bound(unread):
    assert waits(unread, A, MAX_TOTAL_BYTES, behind_bytes=0) == []
    assert unread.held_bytes == MAX_TOTAL_BYTES
    assert waits(unread, A, MAX_TOTAL_BYTES + 1, behind_bytes=0) == [A]


def test_more_behind_a_reply_larger_than_all_may_share_is_too_much(unread):
    assert waits(unread, A, 30, behind_bytes=0) == []
    assert waits(unread, A, 31, behind_bytes=1) == [A]


def test_a_client_that_is_alone_again_may_have_its_one_large_reply(unread):
    assert waits(unread, A, 1, 0.0) == []
    assert waits(unread, B, 30, 5.0) == [A]
    assert repr(unread) == "<Unread clients=1 bytes=30>"


def test_those_who_take_nothing_are_given_up_before_one_who_reads(unread):
    waits(unread, A, 6, 0.0)
    waits(unread, B, 7, 0.0)
    waits(unread, C, 11, 0.5)
    assert waits(unread, C, 13, 1.0, has_taken=True) == [B]
    assert waits(unread, C, 18, 1.5, has_taken=True) == []
    assert waits(unread, C, 20, 1.6, has_taken=True) == [A]
    assert repr(unread) == "<Unread clients=1 bytes=20>"


def test_where_all_have_read_a_moment_ago_the_one_with_the_most_is_given_up(unread):
    waits(unread, A, 12, 0.0)
    waits(unread, B, 13, 0.9)
    assert waits(unread, C, 1, 0.95) == [B]


def test_whoever_had_more_than_all_may_share_gives_way_to_the_next(unread):
    assert waits(unread, A, MAX_SHARED_BYTES + 1) == []
    assert waits(unread, B, 1) == [A]
    assert repr(unread) == "<Unread clients=1 bytes=1>"


def test_over_the_bound_for_all_the_client_with_the_most_is_given_up(unread):
    waits(unread, A, 8)
    waits(unread, B, 10)
    assert waits(unread, C, 8) == [B]
    assert repr(unread) == "<Unread clients=2 bytes=16>"


def test_over_the_bound_for_all_the_newcomer_is_given_up_if_it_has_the_most(unread):
    waits(unread, A, 8)
    assert waits(unread, B, 18) == [B]
    assert repr(unread) == "<Unread clients=1 bytes=8>"


def test_whoever_goes_over_its_own_bound_leaves_room_for_the_others(unread):
    waits(unread, A, 20)
    assert waits(unread, B, 12, behind_bytes=MAX_CLIENT_BYTES + 1) == [B]
    assert repr(unread) == "<Unread clients=1 bytes=20>"


def test_a_client_that_is_gone_is_forgotten(unread):
    waits(unread, A, 5)
    waits(unread, B, 7)
    unread.forget(A)
    unread.forget(A)
    unread.forget(C)
    assert repr(unread) == "<Unread clients=1 bytes=7>"


def test_a_client_that_takes_nothing_for_too_long_is_given_up(unread):
    waits(unread, A, 5, 1.0)
    assert unread.next_deadline() == 61.0
    assert unread.take_overdue(60.9) == []
    assert unread.take_overdue(61.0) == [A]
    assert not unread
    assert unread.held_bytes == 0


def test_progress_counts_not_the_age_of_the_first_reply(unread):
    waits(unread, A, 5, 0.0)
    waits(unread, A, 4, 59.0, has_taken=True)
    assert unread.next_deadline() == 119.0
    assert unread.take_overdue(60.0) == []
    assert unread.take_overdue(119.0) == [A]


def test_more_that_waits_is_no_progress(unread):
    waits(unread, A, 5, 0.0)
    waits(unread, A, 9, 59.0)
    assert unread.take_overdue(60.0) == [A]


def test_whoever_has_taken_everything_begins_anew(unread):
    waits(unread, A, 5, 0.0)
    waits(unread, A, 0, 50.0, has_taken=True)
    waits(unread, A, 5, 70.0)
    assert unread.next_deadline() == 130.0


def test_the_deadline_is_that_of_the_client_whose_last_progress_is_oldest(unread):
    waits(unread, A, 5, 0.0)
    waits(unread, B, 5, 1.0)
    waits(unread, A, 4, 2.0, has_taken=True)
    waits(unread, C, 5, 3.0)
    assert unread.next_deadline() == 61.0
    assert unread.take_overdue(62.0) == [B, A]
    assert unread.next_deadline() == 63.0


CLIENTS = st.sampled_from([b"%d" % each for each in range(10)])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("keep"), CLIENTS, st.integers(0, 60), st.booleans()),
        st.tuples(st.just("forget"), CLIENTS),
        st.tuples(st.just("time"), st.integers(0, 40)),
    ),
    max_size=60,
)


@given(STEPS)
def test_whatever_happens_the_sums_are_right_and_the_bounds_hold(steps):
    unread = make_unread()
    waiting, behind, progress_at = {}, {}, {}
    now = 0.0
    for step, *about in steps:
        gone = []
        if step == "keep":
            client, held_bytes, has_taken = about
            behind_bytes = behind[client] = held_bytes // 3
            if has_taken or client not in waiting:
                progress_at[client] = now
            waiting[client] = held_bytes
            gone = unread.keep(client, held_bytes, behind_bytes, now, has_taken=has_taken)
            assert (client in gone) >= (behind_bytes > MAX_CLIENT_BYTES)
        elif step == "forget":
            unread.forget(about[0])
            gone = about
        else:
            now += about[0]
            gone = unread.take_overdue(now)
            assert all(now - progress_at[client] >= MAX_WAIT_S for client in gone)
        waiting = {each: size for each, size in waiting.items() if size and each not in gone}
        is_one_reply = len(waiting) == 1 and not behind[next(iter(waiting))]
        bound = MAX_TOTAL_BYTES if is_one_reply else MAX_SHARED_BYTES
        assert unread.held_bytes == sum(waiting.values()) <= bound
        assert bool(unread) == bool(waiting)
        since = min((progress_at[client] for client in waiting), default=math.inf)
        assert unread.next_deadline() == since + MAX_WAIT_S
