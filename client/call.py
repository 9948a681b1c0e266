"""One call of a client, from its arguments to its outcome. No I/O, no clock.

A record that the core writes and whoever waits reads: times are monotonic seconds, values stay
msgpack bytes until somebody wants them.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

from zeropool.client.awaited import Awaited
from zeropool.client.outcomes import Outcome
from zeropool.shared.wire.flow import DEFAULT_SLOTS, ReadWindow

if TYPE_CHECKING:
    from zeropool.client.link import Link
    from zeropool.client.retry import Tries


class Call(Awaited):
    """One call. Its owner makes it and reads it; all else is the core's to write.

    Args:
        method: its name.
        args: the packed array of arguments.
        deadline: when its caller gives it up, unless an answer or an item has come.
        sends_deadline: the server is told how much time there is.
        tries: how often to repeat it; None: not at all.
        slots: most items of a stream that wait for their reader here.
    """

    __slots__ = (
        "args",
        "channel_id",
        "deadline",
        "heard_at",
        "is_stream",
        "items",
        "link",
        "method",
        "number",
        "outcome",
        "repeat_at",
        "sends_deadline",
        "since",
        "slots",
        "tries",
        "window",
    )

    def __init__(  # noqa: PLR0913 - made in one place only
        self,
        method: str,
        args: bytes,
        deadline: float = math.inf,
        *,
        sends_deadline: bool = False,
        tries: Tries | None = None,
        slots: int = DEFAULT_SLOTS,
    ) -> None:
        #: The shell's own: whom to tell. The core never looks at it.
        self.owner = None
        self.method = method
        self.args = args
        self.deadline = deadline
        self.sends_deadline = sends_deadline
        self.slots = slots
        self.tries = tries
        #: The owner's own: which of its calls it is.
        self.number = 0
        #: How it ended; None while it has not. A stream's items come before it.
        self.outcome: Outcome | None = None
        #: Items that have arrived and were not taken; None until the first one.
        self.items: deque[bytes] | None = None
        self.is_stream = False
        #: The connection that it went to; None while it waits for one.
        self.link: Link | None = None
        self.channel_id = b""
        self.window: ReadWindow | None = None
        self.since = 0.0
        self.heard_at: float | None = None
        #: When to try again; 0 unless it waits for that.
        self.repeat_at = 0.0

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
