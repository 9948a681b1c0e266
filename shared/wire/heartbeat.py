"""Liveness of the other end of one channel. No I/O, no clock: the caller passes `now`.

Times are seconds on one monotonic scale.
Source: zerorpc-python 0.6.3, heartbeat.py.
"""

from __future__ import annotations

from typing import Final

#: heartbeat.py: freq=5, the default of every known peer.
BEAT_INTERVAL_S: Final = 5.0
#: heartbeat.py gives up after 2 intervals; twice that forgives a peer that was paused.
LOST_AFTER_BEATS: Final = 4
#: Peers that beat quickly get no less patience than those with the default interval.
MIN_PATIENCE_S: Final = LOST_AFTER_BEATS * BEAT_INTERVAL_S


class Pulse:
    """Heartbeats heard from a peer that chooses its own interval, or none at all.

    A peer that has never sent one is never lost: `heartbeat=None` is a legal client.
    """

    __slots__ = ("heard_at", "longest_gap_s", "since")

    def __init__(self, since: float) -> None:
        self.since = since
        self.heard_at: float | None = None
        self.longest_gap_s = 0.0

    def heard(self, now: float) -> None:
        """Take note of a heartbeat; the longest gap so far stands for the peer's interval."""
        self.longest_gap_s = max(self.longest_gap_s, self.silent_for_s(now))
        self.heard_at = now

    def silent_for_s(self, now: float) -> float:
        """Seconds since the last heartbeat, or since the beginning where there was none."""
        return now - (self.since if self.heard_at is None else self.heard_at)

    def is_lost(self, now: float) -> bool:
        """Tell whether a peer that did send heartbeats has fallen silent."""
        if self.heard_at is None:
            return False
        patience_s = max(MIN_PATIENCE_S, LOST_AFTER_BEATS * self.longest_gap_s)
        return self.silent_for_s(now) > patience_s
