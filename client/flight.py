"""Many calls for one thread: made as their source asks for them, and waited for together."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Final, Self, cast

from zeropool.client.awaited import Awaited, Owner
from zeropool.client.call import Call
from zeropool.client.crew import Crew
from zeropool.client.results import named
from zeropool.client.source import Source

_monotonic: Final = time.monotonic


class Flight(Owner):
    """The owner of the calls; what is in flight at the end of its block is given up.

    Heartbeats go on while whoever reads the results is busy with one.
    """

    def __init__(self, crew: Crew, source: Source) -> None:
        super().__init__()
        self._crew = crew
        self._source = source
        self._news: list[Awaited] = []

    def __repr__(self) -> str:
        return f"<Flight of {self._source}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for call in self._source.open:
            self._crew.forget(call)

    def goes_on(self) -> bool:
        """Make the calls that are due, and wait for news of any; False where nothing is left.

        Raises:
            zerorpc.LostRemote: this is a fork of the process in which it was begun.
        """
        source, crew = self._source, self._crew
        if not crew.is_here:
            raise named("LostRemote")("the calls were begun in another process")
        now = _monotonic()
        calls: list[Call] = []
        while (call := source.next_call(now)) is not None:
            call.owner = self
            calls.append(call)
        if calls:
            # The rows may have taken their time.
            crew.make(calls, _monotonic())
        if source.is_over:
            return False
        if self._news:
            crew.attend()
        else:
            crew.wait(self)
        # Whoever leads may tell of more meanwhile; that is for the next time.
        news = self._news[:]
        for awaited in news:
            call = cast("Call", awaited)
            if call.outcome is None:
                # The first item of a stream, where one value was asked for.
                crew.forget(call)
            source.end(call)
        del self._news[: len(news)]
        return True

    # For whoever leads

    @property
    def has_news(self) -> bool:
        """Of a call."""
        return bool(self._news)

    def tell(self, awaited: Awaited) -> None:
        """A call has news."""
        self._news.append(awaited)
        self.pass_news()
