"""Open channels in the order in which their heartbeats are due. No I/O, no clock.

A linked list, whose links the channels carry: every call enters it and leaves it, long before its
first heartbeat as a rule, and from anywhere. A dict that keeps its order costs ten times as much,
and looks for its first entry among those that have left.
"""

from __future__ import annotations

from zeropool.shared.wire.channel import Channel


class BeatOrder:
    """The channels of one session. The owner adds each with a later heartbeat than all others."""

    def __init__(self) -> None:
        self.first: Channel | None = None
        self._last: Channel | None = None
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __repr__(self) -> str:
        return f"<BeatOrder channels={self._count}>"

    def add(self, channel: Channel) -> None:
        """A channel whose heartbeat is due last."""
        last = self._last
        channel.earlier = last
        if last is None:
            self.first = channel
        else:
            last.later = channel
        self._last = channel
        self._count += 1

    def remove(self, channel: Channel) -> None:
        """A channel that is in it leaves."""
        earlier, later = channel.earlier, channel.later
        if earlier is None:
            self.first = later
        else:
            earlier.later = later
        if later is None:
            self._last = earlier
        else:
            later.earlier = earlier
        channel.earlier = channel.later = None
        self._count -= 1

    def check_invariants(self) -> None:
        """The links lead through all of them, both ways, and heartbeats are due in their order."""
        earlier: Channel | None = None
        channel, steps = self.first, 0
        while channel is not None and steps < self._count:
            is_in_turn = earlier is None or earlier.beat_at <= channel.beat_at
            if channel.earlier is not earlier or not is_in_turn:
                raise RuntimeError(f"{self!r}: {channel!r} is in a wrong place")
            earlier, channel, steps = channel, channel.later, steps + 1
        if channel is not None or steps != self._count or self._last is not earlier:
            raise RuntimeError(f"{self!r}: {steps} steps do not lead from the first to the last")
