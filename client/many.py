"""Many calls of one method over rows: a window of them in flight, their results one by one.

Rows are taken from their iterable only when a call may begin, so it may be endless. No I/O, no
clock, but for what that iterable does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from zeropool.client.call import Call
from zeropool.client.making import Maker
from zeropool.client.progress import Progress
from zeropool.client.source import Source
from zeropool.client.window import Window

#: The head of an argument array with one element.
ONE: Final = b"\x91"


class Many(Source):
    """The calls, and what came of them.

    Args:
        rows: each one packed; empty where the next one is not there yet.
        maker: of the calls.
        window: of their results.
        progress: is told after each call.
        total: of the rows, where it is known.
        is_raising: a failure is raised when it is its turn, and not a result.
    """

    def __init__(  # noqa: PLR0913 - made in one place only
        self,
        rows: Iterator[bytes],
        maker: Maker,
        window: Window,
        progress: Callable[[Progress], None] | None = None,
        *,
        total: int | None = None,
        is_raising: bool = True,
    ) -> None:
        self._rows = rows
        self._maker = maker
        self._window = window
        self._progress = progress
        self._total = total
        self._is_raising = is_raising
        self._is_exhausted = False
        self._done = 0
        self._failure: Exception | None = None

    def __repr__(self) -> str:
        return f"<Many {self._done} of {self._total} done, {len(self.open)} open>"

    @property
    def open(self) -> list[Call]:
        """Calls in flight."""
        return self._window.open

    @property
    def is_over(self) -> bool:
        """There are no more rows, and all results are taken."""
        return self._is_exhausted and self._window.is_empty

    def next_call(self, now: float) -> Call | None:
        """One more call to make now; None while there is none.

        Raises:
            TypeError: its row has no MessagePack form.
        """
        if self._is_exhausted or not self._window.has_room:
            return None
        row = self._next_row()
        if not row:
            self._is_exhausted = row is None
            return None
        call = self._maker.make(ONE + row, now)
        self._window.begin(call)
        return call

    def _next_row(self) -> bytes | None:
        # A loop takes an element where `next` would be looked up and called.
        for row in self._rows:
            return row
        return None

    def end(self, call: Call) -> None:
        """A call has news; it may be told more than once."""
        if not self._window.holds(call):
            return
        result = self._maker.result_of(call)
        self._window.end(call, result)
        self._done += 1
        if self._progress is not None:
            self._progress(Progress(self._done, self._maker.failures, self._total))

    def take(self) -> list[object]:
        """What may be given out now, as the window gives it; then call `check`.

        A failure is an exception among them, which no answer of a server is. Where failures are
        raised it ends them.
        """
        taken = self._window.take()
        if not self._maker.failures or not self._is_raising:
            return taken
        for place, each in enumerate(taken):
            result = self._window.result_in(each)
            if isinstance(result, Exception):
                self._failure = result
                return taken[:place]
        return taken

    def check(self) -> None:
        """All that was taken is given out: raise the failure that was next.

        Raises:
            zerorpc.RemoteError, zerorpc.TimeoutExpired, zerorpc.LostRemote: there is one.
        """
        if self._failure is not None:
            raise self._failure
