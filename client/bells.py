"""What is awaited or told beside calls: callbacks, connections, the rest of the standby thread.

No I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from zeropool.client.awaited import Awaited, Owner

if TYPE_CHECKING:
    from zeropool.client.core import Core
    from zeropool.client.crew import Crew


class Bell(Owner):
    """Something to be run when there is news."""

    __slots__ = ("_callback", "_crew", "_other")

    def __init__(self, crew: Crew, callback: Callable[[], None], other: Owner | None) -> None:
        super().__init__()
        self._crew = crew
        self._callback = callback
        self._other = other

    def tell(self, awaited: Awaited) -> None:
        """There is news."""
        self._crew.answer_bell(self._callback)
        if self._other is not None:
            self._other.tell(awaited)


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
