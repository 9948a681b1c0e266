"""What was sent to one gateway and may not have arrived: results, until the gateway tells of them.

A connection that breaks loses what lies in the buffers of both ends, and no socket says what that
was. So every Results message has a number, the gateway tells the highest up to which it has seen
all, and what is above is sent again over the next connection. No I/O, no clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Final

from zeropool.shared import jobs

#: Results that are kept for one gateway: two batches, a worker's credit, of 64 replies of half a
#: MiB. A connection that breaks with more than that on its way loses the oldest of it.
MAX_KEPT_BYTES: Final = 64 * 1024 * 1024

#: Results that travel in one message, unless a single one is larger: while a gateway takes one, it
#: serves nobody else. It hangs up on a worker whose frame is larger than it takes: 464 MiB, with
#: its default limits.
MAX_MESSAGE_BYTES: Final = 4 * 1024 * 1024

#: Stands for a frame that was let go.
_LET_GO: Final = b""


def portions(
    results: list[jobs.Result], max_bytes: int = MAX_MESSAGE_BYTES
) -> Iterator[list[jobs.Result]]:
    """Cut results into messages, in their order; usually into one."""
    portion: list[jobs.Result] = []
    size_bytes = 0
    for result in results:
        result_bytes = len(result.body) + sum(map(len, result.items))
        if portion and size_bytes + result_bytes > max_bytes:
            yield portion
            portion, size_bytes = [], 0
        portion.append(result)
        size_bytes += result_bytes
    yield portion


class Outbox:
    """The numbered frames that one gateway has not told of, oldest first."""

    def __init__(self, max_bytes: int = MAX_KEPT_BYTES) -> None:
        #: Number of the last frame; the first one has number 1.
        self.last = 0
        self.kept_bytes = 0
        self._max_bytes = max_bytes
        self._frames: deque[bytes] = deque()
        self._let_go = 0
        self._unsure_up_to = 0

    def __len__(self) -> int:
        return len(self._frames)

    def __repr__(self) -> str:
        return f"<Outbox last={self.last} unseen={len(self)} kept_bytes={self.kept_bytes}>"

    def add(self, frame: bytes) -> None:
        """Keep a frame that is being sent, with the number after `last`.

        Over the limit, the oldest are let go; the newest is kept whatever its size.
        """
        self.last += 1
        self._frames.append(frame)
        self.kept_bytes += len(frame)
        while self.kept_bytes > self._max_bytes and self._let_go < len(self._frames) - 1:
            self.kept_bytes -= len(self._frames[self._let_go])
            self._frames[self._let_go] = _LET_GO
            self._let_go += 1

    def seen(self, number: int) -> None:
        """The gateway has seen all up to this number."""
        if number > self.last:
            # It cannot mean us.
            return
        for _ in range(len(self._frames) - (self.last - number)):
            self.kept_bytes -= len(self._frames.popleft())
            self._let_go = max(self._let_go - 1, 0)

    def reconnected(self) -> None:
        """The connection has come up again: what went over the last one may be lost."""
        self._unsure_up_to = self.last

    def take_unsure(self) -> list[tuple[int, bytes | None]]:
        """What went over an earlier connection and has not been seen, to be sent again.

        Numbers with their frames; None for one that was let go.
        """
        first = self.last - len(self._frames) + 1
        count = self._unsure_up_to - first + 1
        self._unsure_up_to = 0
        unsure = islice(enumerate(self._frames, first), max(count, 0))
        return [(number, frame or None) for number, frame in unsure]

    def forget(self) -> None:
        """The gateway has a new incarnation, to which none of this means anything."""
        self.seen(self.last)
