"""When a peer counts as lost: only after it has sent heartbeats, and with patience."""

from __future__ import annotations

import pytest

from zeropool.shared.wire.heartbeat import Pulse


def beating(*instants):
    pulse = Pulse(since=0.0)
    for now in instants:
        pulse.heard(now)
    return pulse


def test_a_peer_that_never_sent_a_heartbeat_is_never_lost():
    assert not Pulse(since=0.0).is_lost(1e9)


def test_silence_is_counted_from_the_last_heartbeat_or_from_the_start():
    assert Pulse(since=1.0).silent_for_s(4.0) == 3.0
    assert beating(5.0, 10.0).silent_for_s(12.0) == 2.0


@pytest.mark.parametrize("interval_s", [0.05, 1.0, 5.0])
def test_a_peer_that_beats_quickly_has_20_seconds(interval_s):
    pulse = beating(interval_s, 2 * interval_s)
    assert not pulse.is_lost(2 * interval_s + 20.0)
    assert pulse.is_lost(2 * interval_s + 20.1)


@pytest.mark.parametrize(("interval_s", "patience_s"), [(20.0, 80.0), (60.0, 240.0)])
def test_a_peer_that_beats_slowly_has_four_of_its_intervals(interval_s, patience_s):
    pulse = beating(interval_s)
    assert not pulse.is_lost(interval_s + patience_s)
    assert pulse.is_lost(interval_s + patience_s + 0.1)


def test_the_longest_gap_stands_for_the_interval():
    pulse = beating(5.0, 15.0, 20.0)
    assert pulse.longest_gap_s == 10.0
    assert not pulse.is_lost(60.0)
    assert pulse.is_lost(60.1)
