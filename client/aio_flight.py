"""Many calls for one asyncio task: made as their source asks for them, and waited for together."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from types import TracebackType
from typing import Self

from zeropool.client.aio_feed import Feed
from zeropool.client.aio_wires import Wires
from zeropool.client.call import Call
from zeropool.client.source import Source


class AsyncFlight:
    """The owner of the calls; what is in flight at the end of its block is given up."""

    def __init__(self, wires: Wires, source: Source, feed: Feed | None = None) -> None:
        self._feed = feed
        self._wires = wires
        self._source = source
        self._news: deque[Call] = deque()
        self._waiter: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<AsyncFlight of {self._source}>"

    async def __aenter__(self) -> Self:
        if self._feed is not None:
            self._feed.start(self._wake)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for call in self._source.open:
            self._wires.give_up(call)
        if self._feed is not None:
            await self._feed.stop()

    async def goes_on(self) -> bool:
        """Make the calls that are due, and wait for news or rows; False where nothing is left."""
        source, wires, news = self._source, self._wires, self._news
        now = time.monotonic()
        while (call := source.next_call(now)) is not None:
            call.owner = self
            wires.submit(call, now)
        if source.is_over:
            return False
        if not news:
            self._waiter = wires.loop.create_future()
            await self._waiter
        while news:
            call = news.popleft()
            if call.outcome is None:
                # The first item of a stream, where one value was asked for.
                wires.give_up(call)
            source.end(call)
        return True

    # As a future's, for whoever tells of news.

    def done(self) -> bool:
        """It never is."""
        return False

    def set_result(self, call: Call) -> None:
        """A call has news."""
        self._news.append(call)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
