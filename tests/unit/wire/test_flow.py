"""Credit in both directions: what may be sent, and what was allowed to come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeropool.shared.wire.flow import ReadWindow, SendCredit


def test_one_data_event_is_free():
    credit = SendCredit()
    assert [credit.take(), credit.take()] == [True, False]


def test_grants_add_up():
    credit = SendCredit()
    credit.grant(2)
    credit.grant(3)
    assert [credit.take() for _ in range(7)] == [True] * 6 + [False]


def test_a_negative_grant_adds_too():
    credit = SendCredit()
    credit.grant(-3)
    assert (credit.available, credit.take()) == (-2, False)
    credit.grant(3)
    assert [credit.take(), credit.take()] == [True, False]


def test_a_huge_grant_is_not_discarded():
    credit = SendCredit()
    credit.grant(2**64 - 1)
    credit.grant(2**64 - 1)
    assert credit.available == 2**65 - 1


@given(st.lists(st.integers(-5, 5) | st.none()))
def test_what_is_taken_never_exceeds_what_was_granted(moves):
    credit, granted, taken = SendCredit(), 1, 0
    for slots in moves:
        if slots is None:
            taken += credit.take()
            continue
        granted += slots
        credit.grant(slots)
        assert credit.available == granted - taken
    assert taken <= 1 + sum(slots for slots in moves if slots and slots > 0)


def test_the_first_grant_of_a_reader_fills_its_slots():
    window = ReadWindow()
    window.arrived()
    assert (window.refill(unread=0), window.reserved) == (100, 100)


def test_a_reader_grants_again_when_half_of_its_slots_are_used():
    window = ReadWindow(slots=100, reserved=100)
    for _ in range(49):
        window.arrived()
    assert window.refill(unread=0) == 0
    window.arrived()
    assert (window.refill(unread=0), window.reserved) == (50, 100)


def test_unread_events_keep_their_slots():
    window = ReadWindow(slots=100, reserved=20)
    assert window.refill(unread=60) == 0
    assert window.refill(unread=10) == 70


@pytest.mark.parametrize("slots", [1, 2, 3, 10, 100])
def test_a_reader_never_starves_and_never_allows_more_than_its_slots(slots):
    window = ReadWindow(slots)
    allowed, got = 1, 0
    while got < 500:
        assert allowed > 0
        allowed -= 1
        got += 1
        window.arrived()
        allowed += window.refill(unread=0)
        assert allowed == window.reserved <= slots
