"""A stream's items, one by one, as the server sends them."""

from __future__ import annotations

import sys
from typing import Any, Self

from zeropool.client.answered import decoded
from zeropool.client.call import Call
from zeropool.client.crew import Crew
from zeropool.client.outcomes import Ended, Lost
from zeropool.client.results import value_of


class Stream:
    """An iterator over the items of one call; the call lives until it ends or nobody has it.

    Heartbeats go on while the reader is busy with an item. A stream belongs to the process in
    which it was begun, and may be read by one thread at a time. ``client`` is kept, as one that
    nobody has is closed.
    """

    def __init__(self, client: object, crew: Crew, call: Call) -> None:
        self._client = client
        self._crew = crew
        self._call = call
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<Stream {self._call!r}>"

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:  # noqa: ANN401 - what the server sends
        call = self._call
        if not call.items and not self._is_closed:
            if not self._crew.is_here:
                call.outcome = Lost("the stream was begun in another process")
            elif call.outcome is None:
                self._crew.wait(call)
        if self._is_closed:
            raise StopIteration
        if call.items:
            item = call.items.popleft()
            if call.wants_credit and self._crew.is_here:
                self._crew.read(call)
            return decoded(item)
        if not isinstance(call.outcome, Ended):
            # An error is raised once. A value in the midst of a stream ends it, as in zerorpc.
            try:
                value_of(call, None)
            finally:
                call.outcome = Ended()
        raise StopIteration

    def __del__(self) -> None:
        if self._call.outcome is None and not sys.is_finalizing():
            self._crew.forget(self._call)

    def close(self) -> None:
        """Read no more of it; a thread that waits for an item is told that it is over."""
        self._is_closed = True
        if self._call.outcome is None and self._crew.is_here:
            self._crew.end(self._call)
