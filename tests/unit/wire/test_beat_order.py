"""Channels in the order of their heartbeats."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeropool.shared.wire.beat_order import BeatOrder
from zeropool.shared.wire.channel import Channel
from zeropool.shared.wire.heartbeat import Pulse


def channel():
    return Channel((b"peer",), b"\xa1x", 3, Pulse(0.0), 5.0)


def taken(order):
    """All of them, from the first on, each removed."""
    found = []
    while order.first is not None:
        found.append(order.first)
        order.remove(order.first)
    return found


def test_nobody_is_first_where_nobody_is():
    order = BeatOrder()
    assert (order.first, len(order)) == (None, 0)


@given(st.lists(st.integers(-1, 9), max_size=60))
def test_it_keeps_the_order_whoever_leaves(steps):
    order, expected = BeatOrder(), []
    for step in steps:
        if step < 0 or not expected:
            expected.append(channel())
            order.add(expected[-1])
        else:
            order.remove(expected.pop(step % len(expected)))
        order.check_invariants()
        assert len(order) == len(expected)
        assert order.first is (expected[0] if expected else None)
    assert taken(order) == expected


def test_who_has_left_leads_to_nobody():
    order = BeatOrder()
    first, middle, last = channel(), channel(), channel()
    for each in (first, middle, last):
        order.add(each)
    order.remove(middle)
    assert (middle.earlier, middle.later) == (None, None)
    order.add(middle)
    assert taken(order) == [first, last, middle]
    assert repr(order) == "<BeatOrder channels=0>"


def broken(order):
    with pytest.raises(RuntimeError) as found:
        order.check_invariants()
    return str(found.value)


def test_the_invariants_notice_links_that_lead_elsewhere():
    order = BeatOrder()
    first, last = channel(), channel()
    order.add(first)
    order.add(last)
    order.check_invariants()
    last.earlier = None
    assert "in a wrong place" in broken(order)
    last.earlier, last.later = first, first
    assert "2 steps do not lead" in broken(order)


def test_the_invariants_notice_heartbeats_in_disorder():
    order = BeatOrder()
    order.add(channel())
    order.add(channel())
    order.first.beat_at = 6.0
    assert "in a wrong place" in broken(order)
