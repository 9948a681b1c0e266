"""One channel: credit, the order of what waits, and silence after the terminal event."""

from __future__ import annotations

import pytest

from zeropool.shared.wire.channel import Channel, State
from zeropool.shared.wire.heartbeat import Pulse


@pytest.fixture
def channel():
    return Channel((b"peer",), b"\xa2id", 3, Pulse(0.0), beat_at=5.0)


def test_the_first_data_event_needs_no_grant(channel):
    assert channel.offer(b"1") == [b"1"]
    assert (channel.backlog, channel.state) == (0, State.OPEN)


def test_data_events_without_credit_wait(channel):
    assert [channel.offer(b"1"), channel.offer(b"2"), channel.offer(b"3")] == [[b"1"], [], []]
    assert channel.backlog == 2


def test_what_waited_goes_out_in_order_as_far_as_credit_reaches(channel):
    for item in (b"1", b"2", b"3", b"4"):
        channel.offer(item)
    assert channel.granted(2) == [b"2", b"3"]
    assert channel.granted(2) == [b"4"]
    assert channel.offer(b"5") == [b"5"]
    assert channel.offer(b"6") == []


def test_a_negative_grant_takes_credit_away(channel):
    assert channel.granted(-2) == []
    assert channel.offer(b"1") == []
    assert channel.granted(1) == []
    assert channel.granted(1) == [b"1"]


def test_a_huge_grant_releases_only_what_waits(channel):
    channel.offer(b"1")
    channel.offer(b"2")
    assert channel.granted(2**64) == [b"2"]
    assert channel.credit.available == 2**64 - 1


def test_an_answer_with_credit_closes_the_channel(channel):
    assert channel.finish(b"ok") == [b"ok"]
    assert (channel.state, channel.is_open) == (State.CLOSED, False)


def test_a_terminal_event_waits_for_credit_behind_the_items(channel):
    channel.offer(b"1")
    channel.offer(b"2")
    assert channel.finish(b"done") == []
    assert (channel.state, channel.backlog) == (State.FINISHING, 2)
    assert channel.granted(1) == [b"2"]
    assert channel.state is State.FINISHING
    assert channel.granted(1) == [b"done"]
    assert channel.state is State.CLOSED


def test_nothing_is_taken_after_a_terminal_event_that_waits(channel):
    channel.offer(b"1")
    channel.finish(b"done")
    assert channel.offer(b"2") == []
    assert channel.finish(b"error") == []
    assert channel.granted(10) == [b"done"]


def test_nothing_goes_out_after_the_terminal_event(channel):
    channel.finish(b"ok")
    assert [channel.offer(b"1"), channel.finish(b"ok"), channel.granted(5)] == [[], [], []]
    assert channel.backlog == 0


def test_a_closed_channel_forgets_what_waited(channel):
    channel.offer(b"1")
    channel.offer(b"2")
    channel.close()
    assert (channel.backlog, channel.granted(5)) == (0, [])


@pytest.mark.parametrize(("version", "rides"), [(1, True), (2, True), (3, False), (4, False)])
def test_credit_of_old_peers_rides_on_their_heartbeats(version, rides):
    channel = Channel((b"peer",), b"\x01", version, Pulse(0.0), beat_at=5.0)
    assert channel.credit_rides_on_beats is rides
