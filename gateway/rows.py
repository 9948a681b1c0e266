"""The rows of one call, as bytes: how they are cut into tasks without being read.

Knows msgpack's structure. Refuses to know what a row holds. No I/O, no clock.
"""

from __future__ import annotations

from collections import deque
from itertools import repeat, starmap
from typing import Final

import msgpack

from zeropool.shared.arguments import check_count
from zeropool.shared.errors import WrongArguments
from zeropool.shared.heads import array_head
from zeropool.shared.jobs import MAX_JOB_ROWS
from zeropool.shared.layout import layout_of
from zeropool.shared.model import ModelInfo
from zeropool.shared.wire.event import DECODE_ERRORS

#: A batch is not split finer than this: below, the cost of a task outweighs what it carries.
MIN_TASK_ROWS: Final = 16
#: Unless it takes this long: then what the task costs beside its rows does not matter.
MAX_SMALL_TASK_S: Final = 0.010
#: One of a batch may be so long, where rows are cheap, however few a model predicts at a time: each
#: task costs about 0.1 ms of gateway and worker. Who calls meanwhile waits so much longer.
LARGE_TASK_S: Final = 0.002
#: A task is to take no more than this part of the model's time limit, which is for a prediction.
TASKS_IN_TIME: Final = 4
#: What the items of one task of a stream should take. They travel in one message: while the gateway
#: reads a megabyte, takes it apart and sends it on, it serves nobody else. And pieces of memory of
#: that size are used again, where malloc gives larger ones back each time.
STREAM_TASK_BYTES: Final = 128 * 1024
#: Rows of a stream's tasks until the first of them is answered, when nothing tells that size.
FIRST_STREAM_TASK_ROWS: Final = 16
#: A task that is expected to take longer is not made smaller for the size of its items.
CHEAP_TASK_S: Final = 0.001
#: What a row costs at least, to divide by.
MIN_ROW_S: Final = 1e-9
#: The headers of two arrays, each of at most 5 bytes.
MAX_HEAD_BYTES: Final = 10
#: An unpacker's stack of 1,024 open containers and its object; msgpack-python 1.2, measured.
UNPACKER_BYTES: Final = 43_000
#: So much is passed over by an unpacker at once, which makes a copy of it.
PIECE_BYTES: Final = 65_536
#: To look whether rows are alike costs about as much as to read thirty of them.
MIN_ALIKE_ROWS: Final = 64


def reading_bytes(args_bytes: int) -> int:
    """What reading the rows of an argument array costs beside it: an unpacker, and its copy."""
    return UNPACKER_BYTES + args_bytes


class RowCursor:
    """Reads the one array of rows in an argument array piece by piece, without building the rows.

    A piece of which all rows are laid out like its first is told by a look at their type bytes
    (0.02 µs for a row of four numbers); of any other, each row is read (0.15 µs). What is behind
    the last row is not looked at.

    Args:
        packed: ends with the argument array, which begins at ``args_at``.

    Raises:
        WrongArguments: there is no argument array with exactly one array of rows in it.
    """

    def __init__(self, packed: bytes, method: str, args_at: int = 0) -> None:
        self._method = method
        self._bytes = packed
        #: Made with the first rows that are read, as it is much larger than most arguments; and the
        #: bytes that it has not been told of since.
        self._unpacker: msgpack.Unpacker | None = None
        self._untold_bytes = 0
        head = _unpacker(packed[args_at : args_at + MAX_HEAD_BYTES])
        try:
            given = head.read_array_header()
        except DECODE_ERRORS as error:
            raise WrongArguments(f"{method}(): arguments are not an array") from error
        check_count(given, method, ("rows",))
        try:
            self.left: int = head.read_array_header()
        except DECODE_ERRORS as error:
            raise WrongArguments(f"{method}(): 'rows' should be an array of rows") from error
        self.total = self.left
        #: Where the next row begins.
        self._at: int = args_at + head.tell()

    def next_rows(self, count: int) -> bytes:
        """The next ``count`` rows as a packed array.

        Raises:
            WrongArguments: the bytes end early or are no msgpack.
        """
        start = self._at
        if count < MIN_ALIKE_ROWS or not self._pass_alike(count):
            self._read(count)
        self.left -= count
        end = self._at
        rows = b"".join((array_head(count), memoryview(self._bytes)[start:end]))
        if not self.left:
            self.discard()
        return rows

    def _pass_alike(self, count: int) -> bool:
        """Move on by so many rows, if all of them are laid out like the next one."""
        layout = layout_of(self._bytes, self._at)
        if layout is None or not layout.is_shared_by(self._bytes, self._at, count):
            return False
        self._at += count * layout.length
        self._untold_bytes += count * layout.length
        return True

    def _read(self, count: int) -> None:
        """Move on by so many rows, whatever they look like."""
        if self._unpacker is None:
            start = self._at
            self._unpacker = _unpacker(memoryview(self._bytes)[start:])
            self._untold_bytes = 0
        else:
            self._pass_untold(self._unpacker)
        # Not all versions count here what `read_bytes` took.
        began_at = self._unpacker.tell()
        try:
            # skip() builds nothing, whatever the rows claim to be. A loop in C: three quarters of
            # the time of one in Python.
            deque(starmap(self._unpacker.skip, repeat((), count)), maxlen=0)
        except DECODE_ERRORS as error:
            row = self.total - self.left
            raise WrongArguments(
                f"{self._method}(): malformed msgpack in or after row {row}"
            ) from error
        self._at += self._unpacker.tell() - began_at

    def _pass_untold(self, unpacker: msgpack.Unpacker) -> None:
        """Let the unpacker follow: what it passes it returns, so a piece at a time."""
        while self._untold_bytes > 0:
            piece_bytes = min(self._untold_bytes, PIECE_BYTES)
            unpacker.read_bytes(piece_bytes)
            self._untold_bytes -= piece_bytes

    def discard(self) -> None:
        """Let go of the bytes; there are no more rows."""
        self.left = 0
        self._bytes = b""
        self._unpacker = None


def _unpacker(data: bytes | memoryview) -> msgpack.Unpacker:
    # A fresh one for each call; by default, it would reserve a megabyte.
    unpacker = msgpack.Unpacker(max_buffer_size=max(len(data), 1))
    unpacker.feed(data)
    return unpacker


def task_rows(info: ModelInfo, row_s: float | None, total: int, workers: int) -> int:
    """Rows for the next task of a stream: an even share for every worker, within bounds.

    ``row_s`` is what a row costs, None where it is not known: then a model without
    `predict_batch`, which may take any time for each, gets one at a time.
    """
    share = _share(total, workers)
    if row_s is None:
        return min(share, info.max_batch_size if info.batches else 1, MAX_JOB_ROWS)
    worth_it = max(1, min(MIN_TASK_ROWS, int(MAX_SMALL_TASK_S / max(row_s, MIN_ROW_S))))
    return min(max(worth_it, share), info.max_batch_size, _rows_in_time(info, row_s), MAX_JOB_ROWS)


def stream_task_rows(
    info: ModelInfo, row_s: float | None, total: int, workers: int, item_bytes: int
) -> int:
    """The same where an item takes so many bytes, 0 where that is not known yet.

    Batches that take a model long are as large as ever: a part of one may take it as long.
    """
    rows = task_rows(info, row_s, total, workers)
    if row_s is None or (info.batches and rows * row_s > CHEAP_TASK_S):
        return rows
    most = STREAM_TASK_BYTES // item_bytes if item_bytes else FIRST_STREAM_TASK_ROWS
    return max(1, min(rows, most))


def batch_task_rows(info: ModelInfo, row_s: float | None, total: int, workers: int) -> int:
    """The same for a batch, of which nobody sees a part: several predictions may be one task."""
    rows = task_rows(info, row_s, total, workers)
    if row_s is None:
        return rows
    large = int(LARGE_TASK_S / max(row_s, MIN_ROW_S))
    return max(rows, min(large, _share(total, workers), _rows_in_time(info, row_s), MAX_JOB_ROWS))


def _share(total: int, workers: int) -> int:
    return max(1, -(-total // max(workers, 1)))


def _rows_in_time(info: ModelInfo, row_s: float) -> int:
    return max(1, int(info.timeout_s / TASKS_IN_TIME / max(row_s, MIN_ROW_S)))
