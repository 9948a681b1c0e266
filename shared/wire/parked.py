"""Ends of calls that wait for their callers' credit: bounded for each client and in all.

Knows how much waits for whom, and which of them is too much. Refuses to know what they say. No I/O,
no clock.
"""

from __future__ import annotations

from typing import Final

from zeropool.shared.wire.channel import Channel
from zeropool.shared.wire.records import Client

#: What the records of one channel cost beside its payloads, as measured for calls.
CHANNEL_BYTES: Final = 1_024
#: What becomes free when too much waits in all, as a part of the bound.
ROOM_PART: Final = 8


class Parked:
    """All channels whose terminal event waits.

    Args:
        max_client_bytes: what may wait for one client, if all may have as much.
        max_total_bytes: what may wait for all of them.
    """

    def __init__(self, max_client_bytes: int, max_total_bytes: int) -> None:
        self.held_bytes = 0
        self._max_client_bytes = min(max_client_bytes, max_total_bytes)
        self._max_total_bytes = max_total_bytes
        self._bytes: dict[Client, int] = {}
        #: Of each client, oldest first: sets that keep their order.
        self._channels: dict[Client, dict[Channel, None]] = {}

    def __repr__(self) -> str:
        return f"<Parked clients={len(self._bytes)} bytes={self.held_bytes}>"

    def add(self, channel: Channel) -> None:
        """The terminal event of a channel waits; say with `excess` what is too much now."""
        client = channel.client
        channel.parked_bytes = CHANNEL_BYTES + sum(map(len, channel.waiting or ()))
        self.held_bytes += channel.parked_bytes
        self._bytes[client] = self._bytes.get(client, 0) + channel.parked_bytes
        self._channels.setdefault(client, {})[channel] = None

    def remove(self, channel: Channel) -> None:
        """It waits no longer."""
        client = channel.client
        self.held_bytes -= channel.parked_bytes
        self._bytes[client] -= channel.parked_bytes
        channels = self._channels[client]
        del channels[channel]
        if not channels:
            del self._channels[client], self._bytes[client]

    def excess(self, client: Client) -> list[Channel]:
        """The channels to give up after one of this client's was added.

        Over its own bound a client loses what came last. Over the bound for all, those for whom the
        most waits lose it, until an eighth is free: to look for them costs a look at each client,
        and is not to be done for every reply.
        """
        if self._bytes[client] > self._max_client_bytes:
            return [next(reversed(self._channels[client]))]
        excess: list[Channel] = []
        if self.held_bytes > self._max_total_bytes:
            left_bytes = self.held_bytes
            enough_bytes = self._max_total_bytes - self._max_total_bytes // ROOM_PART
            for most in sorted(self._bytes, key=self._bytes_of, reverse=True):
                if left_bytes <= enough_bytes:
                    break
                left_bytes -= self._bytes[most]
                excess += self._channels[most]
        return excess

    def _bytes_of(self, client: Client) -> int:
        return self._bytes[client]

    def check_invariants(self, channels: list[Channel]) -> None:
        """It knows those of all open channels whose end waits, and what they hold."""
        waiting = [channel for channel in channels if channel.parked_bytes]
        parked_bytes = sum(channel.parked_bytes for channel in waiting)
        if not parked_bytes == self.held_bytes == sum(self._bytes.values()):
            raise RuntimeError(f"{self!r}: {parked_bytes} bytes are parked")
        known = [channel for each in self._channels.values() for channel in each]
        if set(known) != set(waiting) or not all(self._channels.values()):
            raise RuntimeError(f"{self!r}: {len(waiting)} channels are parked")
        if self._bytes.keys() != self._channels.keys():
            raise RuntimeError(f"{self!r}: {len(self._channels)} clients have channels")
