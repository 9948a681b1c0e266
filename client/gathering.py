"""What became of many calls that one thread waits for together. No I/O, no clock.

Apart from `pending`, because that is not compiled, as users may subclass what is in it.
"""

from __future__ import annotations

from collections import deque

from zeropool.client.awaited import Awaited, Owner
from zeropool.client.call import Call


class Answers(Owner):
    """Calls that are awaited, and what stands for those that are answered, in their order."""

    def __init__(self) -> None:
        super().__init__()
        self._answered: deque[object] = deque()
        self._awaited: dict[Awaited, object] = {}

    def __len__(self) -> int:
        return len(self._awaited) + len(self._answered)

    @property
    def has_news(self) -> bool:
        """One is answered."""
        return bool(self._answered)

    def add(self, call: Call, pending: object) -> None:
        """Wait for this call, too; before it is sent."""
        call.owner = self
        self._awaited[call] = pending

    def tell(self, awaited: Awaited) -> None:
        """One has news."""
        self._answered.append(self._awaited.pop(awaited))
        self.pass_news()

    def take(self) -> object:
        """What stands for the one that is answered next."""
        return self._answered.popleft()
