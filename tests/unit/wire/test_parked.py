"""Ends of calls that wait for credit: who loses them when it is too much."""

import pytest

from zeropool.shared.wire.channel import Channel
from zeropool.shared.wire.heartbeat import Pulse
from zeropool.shared.wire.parked import CHANNEL_BYTES, Parked

A, B, C = b"a", b"b", b"c"
MAX_CLIENT_BYTES = 3 * CHANNEL_BYTES
MAX_TOTAL_BYTES = 8 * CHANNEL_BYTES


@pytest.fixture
def parked():
    return Parked(MAX_CLIENT_BYTES, MAX_TOTAL_BYTES)


def add(parked, client, number=0):
    """One more channel, without a payload."""
    channel = Channel((client,), b"%d" % number, 3, Pulse(0.0), 5.0)
    parked.add(channel)
    return channel


def gave_up(parked, client):
    excess = parked.excess(client)
    for channel in excess:
        parked.remove(channel)
    return excess


def test_what_waits_is_counted_until_it_is_taken_away(parked):
    channels = [add(parked, A), add(parked, A), add(parked, B)]
    assert repr(parked) == f"<Parked clients=2 bytes={3 * CHANNEL_BYTES}>"
    parked.check_invariants(channels)
    for channel in channels:
        parked.remove(channel)
    assert repr(parked) == "<Parked clients=0 bytes=0>"
    parked.check_invariants([])


def test_up_to_its_bounds_nobody_loses_anything(parked):
    for client in (A, A, A, B, B, B, C, C):
        add(parked, client)
        assert parked.excess(client) == []


def test_a_client_over_its_bound_loses_what_came_last(parked):
    kept = [add(parked, A, number) for number in range(3)]
    last = add(parked, A, 3)
    assert gave_up(parked, A) == [last]
    parked.check_invariants(kept)


def test_over_the_bound_for_all_those_with_the_most_lose_it_until_an_eighth_is_free(parked):
    most = [add(parked, A, number) for number in range(3)]
    others = [add(parked, client, n) for client in (B, C, b"d") for n in range(2)]
    assert gave_up(parked, b"d") == most
    parked.check_invariants(others)


def test_many_with_a_little_each_are_not_looked_through_for_every_one(parked):
    clients = [b"%d" % number for number in range(9)]
    for client in clients:
        add(parked, client)
    assert len(gave_up(parked, clients[-1])) == 2
    assert parked.held_bytes == 7 * CHANNEL_BYTES


def test_no_client_may_have_more_than_all_together():
    parked = Parked(100 * CHANNEL_BYTES, CHANNEL_BYTES)
    kept = add(parked, A)
    last = add(parked, A)
    assert gave_up(parked, A) == [last]
    parked.check_invariants([kept])


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda parked: parked._bytes.update({A: 1}), "bytes are parked"),
        (lambda parked: parked._bytes.update({B: 0}), "clients have channels"),
        (lambda parked: parked._channels.update({B: {}}), "channels are parked"),
        (lambda parked: parked._channels[A].clear(), "channels are parked"),
    ],
)
def test_the_invariants_notice_what_does_not_fit_together(parked, harm, told):
    channel = add(parked, A)
    harm(parked)
    with pytest.raises(RuntimeError, match=told):
        parked.check_invariants([channel])
