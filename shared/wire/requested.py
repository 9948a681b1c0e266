"""The signal that every call begins with.

Apart from the other ones, because it is compiled where there is a compiler: a record of msgspec's
costs five times as much to read, and is needed only where bytes become records.
"""

from __future__ import annotations

from zeropool.shared.wire.channel import Channel
from zeropool.shared.wire.event_scan import Event


class Requested:
    """Server role: a peer opened a channel."""

    __slots__ = ("channel", "event")

    def __init__(self, channel: Channel, event: Event) -> None:
        self.channel = channel
        self.event = event

    def __repr__(self) -> str:
        return f"<Requested {self.event!r}>"
