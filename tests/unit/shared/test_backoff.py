"""Waits grow to their limit, with jitter, and begin again after a success."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeropool.shared.backoff import Backoff


def test_without_jitter_waits_double_up_to_the_limit():
    backoff = Backoff(0.5, 6.0, jitter_s=0.0)
    assert [backoff.next_s() for _ in range(6)] == [0.5, 1.0, 2.0, 4.0, 6.0, 6.0]


def test_a_success_begins_again():
    backoff = Backoff(0.5, 8.0, jitter_s=0.0)
    waits = [backoff.next_s(), backoff.next_s()]
    backoff.reset()
    assert (waits, backoff.tries, backoff.next_s()) == ([0.5, 1.0], 0, 0.5)


def test_jitter_is_as_long_as_the_first_wait_by_default():
    waits = [Backoff(1.0, 60.0).next_s() for _ in range(200)]
    assert all(1.0 <= wait <= 2.0 for wait in waits)
    assert max(waits) - min(waits) > 0.5


def test_there_is_jitter_at_the_limit_too():
    backoff = Backoff(1.0, 10.0)
    waits = [backoff.next_s() for _ in range(200)][10:]
    assert all(9.0 <= wait <= 10.0 for wait in waits)
    assert max(waits) - min(waits) > 0.5


@given(st.floats(0.001, 10.0), st.floats(1.0, 100.0), st.floats(0.0, 10.0))
@settings(deadline=None)
def test_no_wait_exceeds_the_limit_and_none_is_shorter_than_the_first(initial_s, factor, jitter_s):
    max_s = initial_s * factor
    backoff = Backoff(initial_s, max_s, jitter_s)
    waits = [backoff.next_s() for _ in range(20)]
    assert all(initial_s <= wait <= max_s for wait in waits)


@pytest.mark.parametrize("tries", [1_100, 100_000])
def test_a_great_many_tries_still_wait_the_limit(tries):
    backoff = Backoff(0.5, 8.0, jitter_s=0.0)
    backoff.tries = tries
    assert backoff.next_s() == 8.0
