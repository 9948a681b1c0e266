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


class Listener(Owner):
    """One of several who are told of the same news: each knows the next one, `other`."""

    __slots__ = ("other",)

    def __init__(self, other: Owner | None) -> None:
        super().__init__()
        self.other = other

    def tell(self, awaited: Awaited) -> None:
        """There is news for this one and all that follow."""
        each: Owner | None = self
        while isinstance(each, Listener):
            # Who has heard may be somebody else's at once.
            following = each.other
            each.hear()
            each = following
        if each is not None:
            each.tell(awaited)

    def hear(self) -> None:
        """There is news for this one."""
        raise NotImplementedError

    def leave(self, awaited: Awaited) -> None:
        """Be told of this no more; those that follow are, as before."""
        owner: Owner | None = awaited.owner
        if owner is self:
            awaited.owner = self.other
            return
        while isinstance(owner, Listener):
            if owner.other is self:
                owner.other = self.other
                return
            owner = owner.other
