"""One call of a client, from its arguments to its outcome. No I/O, no clock.

A record that the core writes and whoever waits reads: times are monotonic seconds, values stay
msgpack bytes until somebody wants them.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec

from zeropool.shared.wire.flow import DEFAULT_SLOTS, ReadWindow
from zeropool.shared.wire.records import RemoteFailure

if TYPE_CHECKING:
    from zeropool.client.link import Link
    from zeropool.client.retry import Tries


class Answered(msgspec.Struct, frozen=True, gc=False):
    """The call ended well. ``args`` is the packed argument array of the answer."""

    args: bytes


class Ended(msgspec.Struct, frozen=True, gc=False):
    """The stream is complete."""


class Failed(msgspec.Struct, frozen=True, gc=False):
    """The server answered with an error."""

    failure: RemoteFailure


class Lost(msgspec.Struct, frozen=True, gc=False):
    """The server fell silent, the connection broke, or the client was closed."""

    reason: str


class Expired(msgspec.Struct, frozen=True, gc=False):
    """There was no answer in time."""


Outcome = Answered | Ended | Failed | Lost | Expired


class Call(msgspec.Struct, eq=False):
    """One call. Its owner makes it and reads it; all else is the core's to write."""

    method: str
    #: The packed array of arguments.
    args: bytes
    #: When its caller gives it up, unless an answer or an item has come.
    deadline: float = math.inf
    #: Whether the server is told how much time there is.
    sends_deadline: bool = False
    #: Most items of a stream that wait for their reader here.
    slots: int = DEFAULT_SLOTS
    #: How often to repeat it; None: not at all.
    tries: Tries | None = None
    #: The shell's own: whom to tell. The core never looks at it.
    owner: Any = None

    #: How it ended; None while it has not. A stream's items come before it.
    outcome: Outcome | None = None
    #: Items that have arrived and were not taken; None until the first one.
    items: deque[bytes] | None = None
    is_stream: bool = False
    #: The connection that it went to; None while it waits for one.
    link: Link | None = None
    channel_id: bytes = b""
    window: ReadWindow | None = None
    since: float = 0.0
    heard_at: float | None = None
    #: When to try again; 0 unless it waits for that.
    repeat_at: float = 0.0

    def __repr__(self) -> str:
        unread = len(self.items) if self.items else 0
        return f"<Call {self.method} outcome={self.outcome} unread={unread}>"

    @property
    def has_news(self) -> bool:
        """There is an outcome, or an item to take."""
        return self.outcome is not None or bool(self.items)

    @property
    def wants_credit(self) -> bool:
        """The server may be allowed to send more items."""
        if self.window is None or self.outcome is not None:
            return False
        unread = len(self.items) if self.items else 0
        return 2 * (self.window.reserved + unread) <= self.window.slots
