"""What threads wait for, and who is told of its news. No I/O, no clock, no thread.

Classes and no protocols: what is compiled then calls their methods by their places.
"""

from __future__ import annotations

from typing import Any


class Awaited:
    """What somebody waits for. Its `owner` is told of the next news, once."""

    __slots__ = ("owner",)

    def __init__(self) -> None:
        #: An `Owner`, or None; a shell that does not wait by threads has owners of its own.
        self.owner: Any = None

    @property
    def has_news(self) -> bool:
        """Who waits need not go on."""
        return False


class Owner(Awaited):
    """Who is told, by the thread that leads and holds the lock. Somebody may wait for it, too."""

    __slots__ = ()

    def tell(self, awaited: Awaited) -> None:
        """There is news."""
        raise NotImplementedError

    def pass_news(self) -> None:
        """Tell whoever waits for this."""
        owner: Owner | None = self.owner
        if owner is not None:
            self.owner = None
            owner.tell(self)
