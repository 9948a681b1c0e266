"""Credit on one channel: how many data events may be sent, and how many were allowed to come.

No I/O, no clock. OK, ERR, STREAM and STREAM_DONE cost one credit each; control events are free.
Source: zerorpc-python 0.6.3, bufferedchannel.py.
"""

from __future__ import annotations

from typing import Final

#: Each side may send one data event before it is granted any.
INITIAL_CREDIT: Final = 1
#: bufferedchannel.py: slots a reader reserves.
DEFAULT_SLOTS: Final = 100


class SendCredit:
    """What the peer allows us to send. Grants add up, also negative ones; none is discarded."""

    __slots__ = ("available",)

    def __init__(self) -> None:
        self.available = INITIAL_CREDIT

    def grant(self, slots: int) -> None:
        """Add what the peer granted."""
        self.available += slots

    def take(self) -> bool:
        """Spend one credit; False when there is none."""
        if self.available <= 0:
            return False
        self.available -= 1
        return True


class ReadWindow:
    """What we allow the peer to send: granted when the consumer reads, never before."""

    __slots__ = ("reserved", "slots")

    def __init__(self, slots: int = DEFAULT_SLOTS, reserved: int = INITIAL_CREDIT) -> None:
        self.slots = slots
        self.reserved = reserved

    def arrived(self) -> None:
        """A data event used one of the reserved slots."""
        self.reserved -= 1

    def refill(self, unread: int) -> int:
        """How many slots to grant now that the consumer wants more, 0 for none yet.

        ``unread`` events still wait for the consumer; they keep their slots.
        """
        open_slots = self.reserved + unread
        if open_slots * 2 > self.slots:
            return 0
        grant = self.slots - open_slots
        self.reserved += grant
        return grant
