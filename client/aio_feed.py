"""Rows of an asynchronous iterable, for a source that takes them when they are there."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, Callable, Iterator
from typing import Final

from zeropool.client.packing import NOT_YET

#: Rows that are taken before a call is due for them: one switch of tasks for so many.
AHEAD: Final = 16


class Feed:
    """An iterator over the rows that are there; `NOT_YET` where the next one is not.

    Whatever the iterable raises is raised in its place.
    """

    def __init__(self, rows: AsyncIterable[object]) -> None:
        self._rows = rows
        self._ready: deque[object] = deque()
        self._is_complete = False
        self._error: BaseException | None = None
        self._has_room = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Feed ready={len(self._ready)} is_complete={self._is_complete}>"

    def __iter__(self) -> Iterator[object]:
        return self

    def __next__(self) -> object:
        self._has_room.set()
        if self._ready:
            return self._ready.popleft()
        if self._error is not None:
            raise self._error
        if self._is_complete:
            raise StopIteration
        return NOT_YET

    def start(self, tell: Callable[[], None]) -> None:
        """Begin to take rows; ``tell`` is called when there are some, or no more."""
        self._task = asyncio.get_running_loop().create_task(self._take(tell))

    async def _take(self, tell: Callable[[], None]) -> None:
        try:
            async for row in self._rows:
                self._ready.append(row)
                if len(self._ready) == 1:
                    tell()
                while len(self._ready) >= AHEAD:
                    self._has_room.clear()
                    await self._has_room.wait()
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # Not of this task: something that the iterable awaits was cancelled.
            self._error = error
        except Exception as error:  # noqa: BLE001 - the iterable's own
            self._error = error
        self._is_complete = True
        tell()

    async def stop(self) -> None:
        """Take no more; the iterable learns of it."""
        if self._task is not None:
            self._task.cancel()
            # Whoever is cancelled here need not wait for what the iterable has yet to do.
            await asyncio.wait([self._task])
