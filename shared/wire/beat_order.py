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
