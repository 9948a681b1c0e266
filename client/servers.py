"""The servers of a client: which can be reached, which has the next call, which to try again.

Each has one connection at most, a `Link`. No I/O, no clock. Times are monotonic seconds.
"""

from __future__ import annotations

import math
from typing import Final

from zeropool.client.call import Call
from zeropool.client.link import Link, State
from zeropool.shared.wire.event import MessageIds

#: A server that accepts connections and does not speak is frozen, or no server.
HANDSHAKE_S: Final = 5.0
_UNDER_WAY: Final = (State.CONNECTING, State.OPEN)


class Servers:
    """The links of one client, in the order in which their addresses came."""

    def __init__(self, ids: MessageIds) -> None:
        self.links: list[Link] = []
        self._ids = ids

    def __repr__(self) -> str:
        ready = sum(link.state is State.READY for link in self.links)
        return f"<Servers ready={ready}/{len(self.links)}>"

    @property
    def is_connected(self) -> bool:
        """A server is there."""
        return any(link.state is State.READY for link in self.links)

    @property
    def is_pressing(self) -> bool:
        """Something is to be done as soon as the sockets allow it: shake hands, or send."""
        return any(link.has_outgoing or link.state in _UNDER_WAY for link in self.links)

    @property
    def failure(self) -> str:
        """Why a server cannot be reached, after its endpoint; empty where nothing failed."""
        failures = [f"{link.endpoint}: {link.failure}" for link in self.links if link.failure]
        return failures[0] if failures else ""

    @property
    def open_calls(self) -> int:
        """Calls that were given to a server and have no outcome."""
        return sum(len(link.calls) for link in self.links)

    @property
    def unsent_calls(self) -> int:
        """Requests that the shell has not taken."""
        unsent = 0
        for link in self.links:
            unsent += len(link.unsent)
        return unsent

    def calls(self) -> list[Call]:
        """The calls that were given to a server and have no outcome."""
        return [call for link in self.links for call in link.calls.values()]

    def failure_of(self, call: Call) -> str:
        """Why no server has this call; empty where one has, or nothing failed."""
        return "" if call.link is not None else self.failure

    def add(self, endpoint: str) -> Link:
        """Know one more."""
        link = Link(endpoint, self._ids)
        self.links.append(link)
        return link

    def chosen(self, now: float) -> Link | None:
        """The one that has the next call: the least busy one, of those the least used."""
        if len(self.links) == 1:
            link = self.links[0]
            return link if link.state is State.READY else None
        ready = [link for link in self.links if link.state is State.READY]
        if not ready:
            return None
        return min(ready, key=lambda link: (link.avoid_until > now, len(link.calls), link.requests))

    def has_others_to_try(self, now: float) -> bool:
        """Beside the one that has the next call, one may be connected to again."""
        return len(self.links) > 1 and any(
            link.state is State.DOWN and link.connect_at <= now for link in self.links
        )

    def begin(self, now: float) -> list[Link]:
        """Those to connect to now: they are down, and may be tried again."""
        begun = []
        for link in self.links:
            if link.state is State.DOWN and link.connect_at <= now:
                link.state = State.CONNECTING
                link.give_up_at = now + HANDSHAKE_S
                begun.append(link)
        return begun

    def next_try_at(self) -> float:
        """When one of those that are down may be tried again."""
        at = math.inf
        for link in self.links:
            if link.state is State.DOWN:
                at = min(at, link.connect_at)
        return at
