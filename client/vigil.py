"""Heartbeats of all calls of a client by one timer: when to send them, and whose are missed.

No I/O, no clock. Times are monotonic seconds.
Source: zerorpc-python 0.6.3, heartbeat.py, which has a timer for each call.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from zeropool.client.call import Call
from zeropool.shared.wire.session import SERVER_LOST_AFTER_BEATS


class Vigil:
    """When the next heartbeat is due, and how long a call lives without one of the server's.

    Args:
        interval_s: between heartbeats; None: none is sent, and none is missed.
        is_passive: a call's heartbeats begin with the server's first one.
    """

    def __init__(self, interval_s: float | None, *, is_passive: bool) -> None:
        #: When to beat for the open calls.
        self.due_at = math.inf
        self.patience_s = math.inf if interval_s is None else SERVER_LOST_AFTER_BEATS * interval_s
        self._interval_s = math.inf if interval_s is None else interval_s
        self._is_passive = is_passive

    def begin(self, now: float) -> None:
        """There is a call: the timer runs, unless it does already."""
        if self.due_at == math.inf:
            self.due_at = now + self._interval_s

    def rest(self) -> None:
        """There is no call: the next one starts the timer."""
        self.due_at = math.inf

    def due(self, calls: Iterable[Call], now: float) -> list[Call]:
        """The calls to beat for now, if any; the next beats are due an interval later."""
        if now < self.due_at:
            return []
        self.due_at = now + self._interval_s
        return [call for call in calls if self._is_watched(call) and self._is_old(call, now)]

    def lost_at(self, call: Call) -> float:
        """When this call's server has been silent for too long."""
        if not self._is_watched(call):
            return math.inf
        return (call.since if call.heard_at is None else call.heard_at) + self.patience_s

    def _is_watched(self, call: Call) -> bool:
        return not self._is_passive or call.heard_at is not None

    def _is_old(self, call: Call, now: float) -> bool:
        # What has just begun has its first beat with the next ones: the server waits that long.
        return now - call.since >= self._interval_s / 2
