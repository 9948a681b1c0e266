"""Rows one by one, packed as they are due. No I/O, no clock, but for what their iterable does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from zeropool.client.foreign import ENCODER

#: In the place of a row that is still awaited.
NOT_YET: Final = object()

#: What says that a value has no MessagePack form.
ENCODE_ERRORS: Final = (TypeError, OverflowError, UnicodeEncodeError)
_encode: Final = ENCODER.encode
# By a name of its own, as one of Python's is looked up each time.
_next: Final = next


class EachPacked:
    """An iterator over the packed rows of an iterable, which may be endless.

    Where it gives `NOT_YET`, there is no row now, and an empty one stands for it.

    Args:
        rows: the rows.
        start: the number of the first, for errors.
    """

    def __init__(self, rows: Iterable[object], start: int) -> None:
        self._rows = rows
        self._index = start
        #: Asked for with the first row, as a generator does it.
        self._iterator: Iterator[object] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        """The next row.

        Raises:
            TypeError: it has no MessagePack form; the message names its number and column.
            StopIteration: there are no more.
        """
        if self._iterator is None:
            self._iterator = iter(self._rows)
        row = _next(self._iterator)
        if row is NOT_YET:
            return b""
        try:
            packed = _encode(row)
        except ENCODE_ERRORS as error:
            raise explained([row], self._index, error) from error
        self._index += 1
        return packed


def explained(rows: Sequence[object], start: int, error: Exception) -> Exception:
    """The same error with the row's number, and the name of its column where it has one."""
    for index, row in enumerate(rows, start):
        fields = row.items() if isinstance(row, dict) else [(None, row)]
        for name, value in fields:
            try:
                _encode(value)
            except ENCODE_ERRORS as found:
                column = "" if name is None else f", column {name!r}"
                return TypeError(f"row {index}{column}: {found}")
    return error
