"""The rows of one call, as bytes: how they are cut into tasks without being read.

Knows msgpack's structure. Refuses to know what a row holds. No I/O, no clock.
"""

from __future__ import annotations

import msgpack

from zeropool.shared.arguments import check_count
from zeropool.shared.errors import WrongArguments
from zeropool.shared.wire.event import DECODE_ERRORS

#: A batch is not split finer than this: below, the cost of a task outweighs what it carries.
MIN_TASK_ROWS = 16


class RowCursor:
    """Reads the one array of rows in an argument array piece by piece, without building the rows.

    Raises:
        WrongArguments: ``args`` is no argument array with exactly one array of rows in it.
    """

    def __init__(self, args: bytes, method: str) -> None:
        self._method = method
        self._bytes = args
        # A fresh unpacker for each call; skip() builds nothing, whatever the rows claim to be.
        self._unpacker = msgpack.Unpacker(max_buffer_size=max(len(args), 1))
        try:
            self._unpacker.feed(args)
            given = self._unpacker.read_array_header()
        except DECODE_ERRORS as error:
            raise WrongArguments(f"{method}(): arguments are not an array") from error
        check_count(given, method, ("rows",))
        try:
            self.left: int = self._unpacker.read_array_header()
        except DECODE_ERRORS as error:
            raise WrongArguments(f"{method}(): 'rows' should be an array of rows") from error
        self.total = self.left

    def next_rows(self, count: int) -> bytes:
        """The next ``count`` rows as a packed array.

        Raises:
            WrongArguments: the bytes end early or are no msgpack.
        """
        start = self._unpacker.tell()
        try:
            for _ in range(count):
                self._unpacker.skip()
        except DECODE_ERRORS as error:
            row = self.total - self.left
            raise WrongArguments(
                f"{self._method}(): malformed msgpack in or after row {row}"
            ) from error
        self.left -= count
        return array_header(count) + self._bytes[start : self._unpacker.tell()]

    def discard(self) -> None:
        """Let go of the bytes; there are no more rows."""
        self.left = 0
        self._bytes = b""
        # By default, it would reserve a megabyte.
        self._unpacker = msgpack.Unpacker(max_buffer_size=1)


def array_header(count: int) -> bytes:
    """The bytes that begin an array of ``count`` values."""
    packer = msgpack.Packer()
    header: bytes = packer.pack_array_header(count)
    return header


def task_rows(total: int, workers: int, max_batch_size: int) -> int:
    """Rows for each task of a call: an even share for every worker, within bounds."""
    share = -(-total // max(workers, 1))
    return max(1, min(max_batch_size, max(MIN_TASK_ROWS, share)))
