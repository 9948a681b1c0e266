"""What is awaited or told beside calls: callbacks, connections, the rest of the standby thread.

No I/O, no clock.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from zeropool.client.awaited import Awaited, Listener, Owner

if TYPE_CHECKING:
    from zeropool.client.core import Core
    from zeropool.client.crew import Crew


log = logging.getLogger("zeropool.client")


class Bells:
    """Callbacks of one client: those that await news, and those that are to be run."""

    __slots__ = ("awaiting", "rung")

    def __init__(self) -> None:
        #: How many await news, though no thread waits.
        self.awaiting = 0
        self.rung: deque[Callable[[], None]] = deque()

    def hang(self, callback: Callable[[], None], other: Owner | None) -> Bell:
        """What is to be told of the news, with the lock."""
        self.awaiting += 1
        return Bell(self, callback, other)

    def ring(self, callback: Callable[[], None]) -> None:
        """Have this run once the lock is free; called with it."""
        self.awaiting -= 1
        self.rung.append(callback)

    def run(self) -> None:
        """Run those whose news has come; without the lock, as they may make calls themselves."""
        while self.rung:
            try:
                callback = self.rung.popleft()
            except IndexError:  # another thread has it
                return
            run_callback(callback)


class Bell(Listener):
    """Something to be run when there is news."""

    __slots__ = ("_bells", "_callback")

    def __init__(self, bells: Bells, callback: Callable[[], None], other: Owner | None) -> None:
        super().__init__(other)
        self._bells = bells
        self._callback = callback

    def hear(self) -> None:
        """There is news."""
        self._bells.ring(self._callback)


class Connection(Awaited):
    """A connection that is waited for. Nobody tells of it, so whoever waits looks again."""

    def __init__(self, core: Core) -> None:
        super().__init__()
        self._core = core

    @property
    def has_news(self) -> bool:
        """It is there."""
        return self._core.servers.is_connected


class Relief(Awaited):
    """What the standby thread waits for: that nothing is left for it to do."""

    def __init__(self, crew: Crew) -> None:
        super().__init__()
        self._crew = crew

    @property
    def has_news(self) -> bool:
        """It need not lead any longer."""
        return self._crew.is_relieved


def run_callback(callback: Callable[[], None]) -> None:
    """Run it. It must not end the thread that happens to run it, not even by `sys.exit`."""
    try:
        callback()
    except (Exception, SystemExit):
        log.exception("a callback of a call failed")
