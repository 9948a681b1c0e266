"""Core and sockets of a client together: what arrives is taken, what the core says is done.

Whoever calls holds the client's lock, except for `poll`, `receive` and `deliver`, which take their
time; only one thread at a time may `poll` and `receive`. Reads no clock: `now` is monotonic
seconds.
"""

from __future__ import annotations

from collections.abc import Callable

from zeropool.client.call import Call
from zeropool.client.commands import Connect
from zeropool.client.core import Core
from zeropool.client.guard import Guard
from zeropool.client.link import State
from zeropool.client.wires import Arrival, Wire, Wires


class Engine:
    """One client's core and sockets. ``tell`` is told of calls that have news."""

    def __init__(self, core: Core, tell: Callable[[list[Call]], None]) -> None:
        self.core = core
        self._tell = tell
        self._wires = Wires()
        #: What was read and not dealt with yet.
        self._arrivals: list[Arrival] = []

    def __repr__(self) -> str:
        return f"<Engine {self.core!r} {self._wires!r}>"

    @property
    def is_pressing(self) -> bool:
        """Something is to be done as soon as the sockets allow it."""
        return self.core.servers.is_pressing or self._wires.is_blocked

    # Without the lock

    def poll(self, until: float, now: float) -> list[Wire]:
        """Wait until then for sockets that have something to say."""
        return self._wires.poll(until, now)

    def receive(self, ready: list[Wire]) -> None:
        """Read what lies there; it waits for `take`, whoever comes to call it."""
        for wire in ready:
            if wire.is_connected:
                self._arrivals.append(wire.receive())

    def deliver(self, wire: Wire | None, lock: Guard) -> None:
        """Send what was claimed, and what others add meanwhile."""
        while wire is not None:
            try:
                wire.send(wire.parcel)
            finally:
                # Whoever adds something now looks for who sends it after that, as it is done here:
                # without the lock, and none of the two leaves it to the other.
                wire.is_sending = False
            wire = self._next(wire, lock)

    def _next(self, sent: Wire, lock: Guard) -> Wire | None:
        if sent.rest:
            with lock:
                if sent.rest and self._is_current(sent):
                    self._wires.watch(sent)
                    self._wires.wake()
        for wire in self._wires.all:
            if wire.is_due:
                with lock:
                    return self.claim()
        return None

    def wake(self) -> None:
        """Make `poll` return."""
        self._wires.wake()

    # With the lock

    def claim(self) -> Wire | None:
        """Take what a link has to say, for whoever asks to `deliver`; None where there is none."""
        for wire in self._wires.all:
            if wire.is_due:
                wire.is_sending = True
                wire.parcel = wire.link.take_outgoing()
                return wire
        return None

    @property
    def has_arrivals(self) -> bool:
        """Whoever has read did not come to `take`: something was raised in between."""
        return bool(self._arrivals)

    def take(self, ready: list[Wire], now: float) -> None:
        """Deal with what a poll has brought, and with the time."""
        arrivals = self._arrivals
        self._arrivals = []
        for arrival in arrivals:
            self._take(arrival, now)
        for wire in ready:
            if not wire.is_connected:
                self._conclude(wire, now)
        if self._wires.has_found:
            self._take_found(now)
        if self.core.wake_at <= now and not any(arrival.has_more for arrival in arrivals):
            self._tell(self.core.tick(now))

    def freshen(self, now: float, later_s: float = 0.0) -> None:
        """Take the end of connections that have rested, before anything is sent on them.

        With ``later_s`` they count as having rested for so much longer. Nobody polls meanwhile.
        """
        for wire in self._wires.all:
            if wire.is_connected and self.core.is_stale(wire.link, now + later_s):
                self._take(wire.receive(), now)

    def carry_out(self, now: float, *, is_polled: bool) -> None:
        """Do as the core says."""
        while self.core.has_commands:
            for command in self.core.take_commands():
                if not isinstance(command, Connect):
                    self._wires.disconnect(command.link)
                elif reason := self._wires.connect(command.link):
                    self._tell(self.core.disconnected(command.link, now, reason))
            if is_polled:
                self._wires.wake()
            else:
                self._wires.sweep()

    def sweep(self) -> None:
        """Close what was disconnected; nobody polls now."""
        self._wires.sweep()

    def close(self) -> None:
        """Close all sockets; nobody polls now."""
        self._wires.close()

    def _is_current(self, wire: Wire) -> bool:
        # Somebody may have ended the connection meanwhile.
        return self._wires.wire(wire.link) is wire

    def _take(self, arrival: Arrival, now: float) -> None:
        wire = arrival.wire
        if not self._is_current(wire):
            return
        if wire.rest:
            wire.send_rest()
            self._wires.watch(wire)
        if arrival.data:
            self._tell(self.core.received(wire.link, arrival.data, now))
        if arrival.end and wire.link.state is not State.DOWN and self._is_current(wire):
            self._end(wire, now, arrival.end)

    def _conclude(self, wire: Wire, now: float) -> None:
        """A connection that was being made is made, or not."""
        if wire.is_connected or not self._is_current(wire):
            return
        reason = wire.connection_error()
        if reason:
            self._end(wire, now, reason)
            return
        wire.is_connected = True
        self._wires.watch(wire)
        self.core.connected(wire.link, now)

    def _take_found(self, now: float) -> None:
        for link, reason in self._wires.take_found():
            if link.state is not State.CONNECTING:
                self._wires.disconnect(link)
            elif reason:
                self._tell(self.core.disconnected(link, now, reason))
            else:
                self.core.connected(link, now)

    def _end(self, wire: Wire, now: float, reason: str) -> None:
        self._wires.disconnect(wire.link)
        self._tell(self.core.disconnected(wire.link, now, reason))
