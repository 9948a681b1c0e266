"""Calls are looked at when their time is over, however it moved meanwhile."""

from __future__ import annotations

import math

import pytest
from gateway_world import unary

from zeropool.gateway.deadlines import MAX_ENDED, Deadlines


@pytest.fixture
def deadlines():
    return Deadlines()


def call_until(channel, deadline_at):
    call = unary(channel)
    call.deadline_at = deadline_at
    return call


def test_without_calls_there_is_nothing_to_look_at(deadlines):
    assert deadlines.next_deadline() == math.inf
    assert deadlines.pop_overdue(1e9) is None


def test_the_call_whose_time_is_over_first_comes_first(deadlines, channel):
    late, early = call_until(channel, 20.0), call_until(channel, 10.0)
    deadlines.add(late, 1, 0.0)
    deadlines.add(early, 2, 0.0)

    assert deadlines.next_deadline() == 10.0
    assert deadlines.pop_overdue(9.9) is None
    assert deadlines.pop_overdue(30.0) is early
    assert deadlines.pop_overdue(30.0) is late


def test_calls_of_the_same_time_come_in_their_order(deadlines, channel):
    first, second = call_until(channel, 10.0), call_until(channel, 10.0)
    deadlines.add(second, 2, 0.0)
    deadlines.add(first, 1, 0.0)

    assert deadlines.pop_overdue(10.0) is first


def test_a_deadline_that_moved_counts(deadlines, channel):
    call = call_until(channel, 10.0)
    deadlines.add(call, 1, 0.0)

    call.deadline_at = 15.0

    assert deadlines.pop_overdue(10.0) is None
    assert deadlines.next_deadline() == 15.0
    assert deadlines.pop_overdue(15.0) is call


def test_a_call_that_ended_is_passed_over(deadlines, channel):
    call = call_until(channel, 10.0)
    deadlines.add(call, 1, 0.0)

    call.end()

    assert deadlines.pop_overdue(10.0) is None
    assert len(deadlines) == 0


def test_ended_calls_do_not_pile_up(deadlines, channel):
    lasting = call_until(channel, 99.0)
    deadlines.add(lasting, 0, 0.0)
    for order in range(1, 10 * MAX_ENDED):
        call = call_until(channel, 50.0)
        deadlines.add(call, order, 0.0)
        call.end()
        deadlines.ended(open_calls=1)

    assert len(deadlines) <= MAX_ENDED + 2
    assert deadlines.pop_overdue(100.0) is lasting
