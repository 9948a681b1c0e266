"""One batch of rows as calls of `Q_predict_batch`: cut into pieces, and put together again.

A gateway takes a request as a whole, and others wait meanwhile; so a large batch goes in pieces of
bounded size, a few of them in flight. A piece that is still too large for its server is halved. No
I/O, no clock.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any, Final

import msgspec

from zeropool.client.batch_answer import BatchAnswer
from zeropool.client.call import Call
from zeropool.client.making import Maker
from zeropool.client.many import ONE
from zeropool.client.outcomes import Failed
from zeropool.client.results import named
from zeropool.client.source import Source
from zeropool.client.tables import Rows
from zeropool.shared.errors import PayloadTooLarge, ProtocolError

#: A gateway's `max_request_bytes` is 64 MiB unless it is told otherwise; a worker builds no more
#: than 250,000 maps and arrays for one task.
PIECE_BYTES: Final = 8 * 1024 * 1024
PIECE_ROWS: Final = 25_000
#: One travels, one is computed, one is on its way back, one waits so that no worker does.
PIECES_IN_FLIGHT: Final = 4


class Batch(Source):
    """The rows, and what came of them.

    Args:
        rows: all of them.
        maker: of the calls.
        piece_rows: most rows of one call.
        piece_bytes: the same in bytes; one row may have more.
        is_raising: failures are raised, and not part of the result. From the first one on, no
            more pieces are begun.
    """

    def __init__(
        self,
        rows: Rows,
        maker: Maker,
        *,
        piece_rows: int = PIECE_ROWS,
        piece_bytes: int = PIECE_BYTES,
        is_raising: bool = True,
    ) -> None:
        self._rows = rows
        self._maker = maker
        self._piece_rows = piece_rows
        self._piece_bytes = piece_bytes
        self._is_raising = is_raising
        self._next = 0
        self._halves: deque[tuple[int, int]] = deque()
        self._results: list[Any] = [None] * len(rows)
        self._failed: dict[int, Exception] = {}
        #: Calls in flight, with the first and the last but one of their rows.
        self._ranges: dict[Call, tuple[int, int]] = {}

    def __repr__(self) -> str:
        return (
            f"<Batch rows={len(self._results)} failed={len(self._failed)} open={len(self._ranges)}>"
        )

    @property
    def open(self) -> list[Call]:
        """Calls in flight."""
        return list(self._ranges)

    @property
    def is_over(self) -> bool:
        """Every row has its result, or a failure is to be raised and nothing is in flight."""
        is_begun = not self._halves and self._next >= len(self._rows)
        return not self._ranges and (is_begun or self._is_stopped)

    @property
    def _is_stopped(self) -> bool:
        return self._is_raising and bool(self._failed)

    def next_call(self, now: float) -> Call | None:
        """One more call to make now; None while there is none.

        Raises:
            TypeError: a row has no MessagePack form.
        """
        if len(self._ranges) >= PIECES_IN_FLIGHT or self._is_stopped:
            return None
        if self._halves:
            start, stop = self._halves.popleft()
            packed = self._rows.packed(start, stop)
        elif self._next < len(self._rows):
            start = self._next
            stop, packed = self._cut(start)
            self._next = stop
        else:
            return None
        call = self._maker.make(ONE + packed, now)
        self._ranges[call] = (start, stop)
        return call

    def _cut(self, start: int) -> tuple[int, bytes]:
        while True:
            stop = min(start + self._piece_rows, len(self._rows))
            packed = self._rows.packed(start, stop)
            if len(packed) <= self._piece_bytes or stop - start == 1:
                return stop, packed
            parts = math.ceil(len(packed) / self._piece_bytes)
            # For the next pieces, too: rows of one batch are as a rule of about the same size.
            self._piece_rows = min(stop - start - 1, math.ceil((stop - start) / parts))

    def end(self, call: Call) -> None:
        """A call has news; it may be told more than once."""
        if call not in self._ranges:
            return
        start, stop = self._ranges.pop(call)
        if _is_too_large(call) and stop - start > 1:
            middle = (start + stop) // 2
            self._halves.extend(((start, middle), (middle, stop)))
            return
        result = self._maker.result_of(call)
        if isinstance(result, Exception):
            self._fail(range(start, stop), result)
        else:
            self._fill(start, stop, result)

    def _fill(self, start: int, stop: int, value: object) -> None:
        method = self._maker.method
        try:
            answer = msgspec.convert(value, BatchAnswer)
        except msgspec.ValidationError as wrong:
            self._fail(range(start, stop), ProtocolError(f"{method}: {wrong}"))
            return
        count = len(answer.predictions)
        if count != stop - start:
            reason = f"{method}: {count} predictions for {stop - start} rows"
            self._fail(range(start, stop), ProtocolError(reason))
            return
        self._results[start:stop] = answer.predictions
        for found in answer.errors:
            if 0 <= found.index < count:
                index = start + found.index
                told = f"row {index}: {found.name}: {found.message}"
                error = named("RemoteError")(found.name, found.message, told)
                self._fail(range(index, index + 1), error)

    def _fail(self, indexes: range, error: Exception) -> None:
        for index in indexes:
            self._results[index] = self._failed[index] = error

    def result(self) -> list[Any]:
        """The predictions in the rows' order; where one failed, its exception.

        Raises:
            zerorpc.RemoteError, zerorpc.TimeoutExpired, zerorpc.LostRemote: that of the first row
                that is known to have failed, if failures are raised.
        """
        if self._is_raising and self._failed:
            raise self._failed[min(self._failed)]
        return self._results


def _is_too_large(call: Call) -> bool:
    outcome = call.outcome
    return isinstance(outcome, Failed) and outcome.failure.name == PayloadTooLarge.wire_name
