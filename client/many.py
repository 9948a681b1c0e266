"""Many calls of one method over rows: a window of them in flight, their results one by one.

Rows are taken from their iterable only when a call may begin, so it may be endless. No I/O, no
clock, but for what that iterable does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Sized
from typing import Literal, TypedDict

import msgspec
from msgspec import UNSET, UnsetType

from zeropool.client.call import Call
from zeropool.client.given import count
from zeropool.client.making import Maker, Manner
from zeropool.client.tables import each_of
from zeropool.client.window import Order, Window
from zeropool.shared.methods import CALL_SUFFIX

#: What becomes of a failure: it is raised, and ends everything, or stands in its result's place.
OnError = Literal["raise", "return"]
#: Workers are fed by some dozens of calls in flight; more make larger batches, and longer waits.
DEFAULT_WINDOW = 64
#: The head of an argument array with one element.
ONE = b"\x91"


class Progress(msgspec.Struct, frozen=True, gc=False):
    """How far many calls are."""

    #: Calls with a result, failures among them.
    done: int
    failed: int
    #: Of all rows; None where nobody knows.
    total: int | None


class Many:
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
        self._failed = 0
        #: Calls in flight, with their numbers.
        self.open: dict[Call, int] = {}

    def __repr__(self) -> str:
        return f"<Many {self._done} of {self._total} done, {len(self.open)} open>"

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
        row = next(self._rows, None)
        if not row:
            self._is_exhausted = row is None
            return None
        call = self._maker.make(ONE + row, now)
        self.open[call] = self._window.begin()
        return call

    def end(self, call: Call) -> None:
        """A call has news; it may be told more than once."""
        number = self.open.pop(call, None)
        if number is None:
            return
        result = self._maker.result_of(call)
        self._window.end(number, result)
        self._done += 1
        self._failed += isinstance(result, Exception)
        if self._progress is not None:
            self._progress(Progress(self._done, self._failed, self._total))

    def take(self) -> list[tuple[int, object]]:
        """The results that may be given out now, with the numbers of their rows.

        A failure is an exception among them, which no answer of a server is; see `shown`.
        """
        return self._window.take()

    def shown(self, result: object) -> object:
        """A result as its reader is to have it.

        Raises:
            zerorpc.RemoteError, zerorpc.TimeoutExpired, zerorpc.LostRemote: it is a failure.
        """
        if self._is_raising and isinstance(result, Exception):
            raise result
        return result


class ManyOptions(TypedDict, total=False):
    """What may be said of many calls."""

    #: Names for the columns of an array, new ones for those of a frame.
    columns: Sequence[str] | None
    #: Most calls whose results were not taken.
    window: int
    #: "raise" a failure, which ends it all, or "return" it as the row's result.
    errors: OnError
    #: Is told after each call.
    progress: Callable[[Progress], None] | None
    #: Of each call, as the client's.
    timeout: float | UnsetType | None


def many_of(  # noqa: PLR0913 - as `ManyOptions`
    model: str,
    rows: object,
    manner: Manner,
    order: Order,
    *,
    columns: Sequence[str] | None = None,
    window: int = DEFAULT_WINDOW,
    errors: OnError = "raise",
    progress: Callable[[Progress], None] | None = None,
    timeout: float | UnsetType | None = UNSET,
) -> Many:
    """A model's predictions for rows, as a user asks for them.

    Raises:
        TypeError, ValueError: there are no rows, or an option is none.
    """
    return Many(
        each_of(rows, columns),
        manner.maker(model + CALL_SUFFIX, timeout),
        Window(count(window), order),
        progress,
        total=len(rows) if isinstance(rows, Sized) else None,
        is_raising=is_raised(errors),
    )


def is_raised(errors: str) -> bool:
    """Tell what becomes of failures.

    Raises:
        ValueError: this says neither.
    """
    if errors not in ("raise", "return"):
        raise ValueError(f'errors={errors!r}: expected "raise" or "return"')
    return errors == "raise"
