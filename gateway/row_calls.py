"""Calls over many rows: cut into tasks, and put together again or sent row by row.

`Batch` is one reply in the rows' order, `Stream` makes tasks only as fast as its caller reads. No
I/O, no clock.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Final

import msgspec

from zeropool.gateway.calls import Call, Order, Task
from zeropool.gateway.rows import RowCursor, reading_bytes
from zeropool.shared.errors import DeadlineExceeded, ZeropoolError
from zeropool.shared.heads import array_head
from zeropool.shared.jobs import Kind, Result, RowError
from zeropool.shared.wire.channel import State
from zeropool.shared.wire.session import Session

#: Rows of a batch's tasks until the first of them is answered: rows of one kind may cost a thousand
#: times what those of another do (`predict_columns`), by which the pace was learnt.
FIRST_TASK_ROWS: Final = 1_024
#: Rows that a stream may have with workers or waiting for its caller's credit. Python and Node
#: clients grant 100 at a time; this keeps workers busy while the next grant is on its way.
STREAM_WINDOW_ROWS: Final = 256
#: The same in bytes of items that wait for credit: large predictions count by their size.
STREAM_WINDOW_BYTES: Final = 8 * 1024 * 1024


class _Rows(Call):
    """A call over many rows, which makes its tasks from the front of what is left."""

    def __init__(self, order: Order, kind: Kind, rows: RowCursor) -> None:
        super().__init__(order)
        self._kind = kind
        self._rows = rows
        self._missing = rows.total
        self._flying: dict[int, Task] = {}
        self.record_bytes += reading_bytes(order.args_bytes)

    def answer_if_empty(self, session: Session) -> bool:
        """As for any call; a call over no rows asks for nothing."""
        if self._missing:
            return False
        self._finish(session)
        return True

    @property
    def flying(self) -> list[Task]:
        """As for any call."""
        return list(self._flying.values())

    def _sent(self, task: Task) -> None:
        self._flying[task.job_id] = task

    def _back(self, task: Task) -> None:
        self._flying.pop(task.job_id, None)

    def _has_fresh(self) -> bool:
        return self._rows.left > 0

    def _fresh(self, job_id: int) -> Task:
        count = min(self._most_rows(), self._rows.left)
        first_index = self._rows.total - self._rows.left
        return Task(job_id, self, self._kind, self._rows.next_rows(count), count, first_index)

    def _forget(self) -> None:
        self._rows.discard()

    @abc.abstractmethod
    def _most_rows(self) -> int:
        """How many rows the next task is to have."""

    @abc.abstractmethod
    def _finish(self, session: Session) -> None: ...


class Batch(_Rows):
    """`Q_predict_batch(rows)`: split over the workers, answered as one value in the rows' order.

    ``task_rows`` says how many rows the next task should have.
    """

    def __init__(self, order: Order, rows: RowCursor, *, task_rows: Callable[[], int]) -> None:
        super().__init__(order, Kind.ROWS, rows)
        self._task_rows = task_rows
        self._reply_bytes = 0
        self._bodies: dict[int, bytes] = {}
        self._errors: list[tuple[int, RowError]] = []

    def _use(self, task: Task, result: Result, session: Session) -> None:
        self._bodies[task.first_index] = result.body
        self._errors.extend((task.first_index + error.offset, error) for error in result.errors)
        self._missing -= task.rows
        size_bytes = len(result.body) + sum(
            len(error.name) + len(error.message) for error in result.errors
        )
        self._reply_bytes += size_bytes
        self.held_bytes += size_bytes
        if self._reply_bytes > self._max_reply_bytes:
            self.fail(self._too_large(), session)
        elif self._missing == 0:
            self._finish(session)

    def _finish(self, session: Session) -> None:
        errors = [
            {"index": index, "name": error.name, "message": error.message}
            for index, error in sorted(self._errors, key=lambda found: found[0])
        ]
        parts = [
            b"\x82\xabpredictions",
            array_head(self._rows.total),
            *[self._bodies[index] for index in sorted(self._bodies)],
            b"\xa6errors",
            msgspec.msgpack.encode(errors),
        ]
        self.end()
        session.answer_in_parts(self.channel, parts)

    def _most_rows(self) -> int:
        rows = self._task_rows()
        return rows if self._bodies else min(rows, FIRST_TASK_ROWS)

    def _forget(self) -> None:
        super()._forget()
        self._bodies.clear()
        self._errors.clear()


class Stream(_Rows):
    """`Q_predict_stream(rows)`: one item for each row, as each becomes available.

    ``task_rows`` says how many rows the next task should have, from what an item takes in bytes.
    Rows go to workers only while fewer than `STREAM_WINDOW_ROWS` are with workers or wait for the
    caller's credit. The call is over when its last event is sent: a caller that stops reading costs
    its arguments and that window, and after ``idle_s`` without reading nothing but one event that
    waits for credit.
    """

    def __init__(
        self, order: Order, rows: RowCursor, *, task_rows: Callable[[int], int], idle_s: float
    ) -> None:
        super().__init__(order, Kind.ITEMS, rows)
        self._task_rows = task_rows
        self._idle_s = idle_s
        self._args_bytes = self.held_bytes
        self._flying_rows = 0
        #: What an item of the last task took; 0 until there is one.
        self._item_bytes = 0
        #: Events that waited when the stream began to wait for its caller; 0 while it does not.
        self._idle_backlog = 0

    @property
    def waits_for_caller(self) -> bool:
        """All that may be computed ahead is computed; only credit helps."""
        return not self._flying and not self.has_work

    def progress(self, now: float) -> None:
        """As for any call; but while only the caller is awaited, the idle limit counts."""
        super().progress(now)
        self._idle_backlog = 0
        if self.waits_for_caller:
            self._idle_backlog = self.channel.backlog
            self.deadline_at = min(now + self._idle_s, self._due_at)

    def check_at(self, now: float) -> float:
        """As for any call; but the idle limit can begin at any time."""
        return min(self.deadline_at, now + self._idle_s)

    def overdue(self, now: float) -> DeadlineExceeded:
        """As for any call; but it may be the caller who is late."""
        if self._idle_backlog and now < self._due_at:
            return DeadlineExceeded(f"{self.model}: the caller read nothing for {self._idle_s} s")
        return super().overdue(now)

    def take(self, job_id: int) -> Task:
        """As for any call."""
        task = super().take(job_id)
        self._flying_rows += task.rows
        return task

    def put_back(self, task: Task) -> None:
        """As for any call."""
        self._flying_rows -= task.rows
        super().put_back(task)

    def granted(self, session: Session, now: float) -> None:
        """The caller reads on: what waited for credit was sent as far as the credit went."""
        if self._missing == 0:
            self._finish(session)
        self._count_held()
        if not self.is_over and self.channel.backlog < self._idle_backlog:
            self.progress(now)

    def fail(self, error: ZeropoolError, session: Session) -> None:
        """End the stream with an error; items that the caller has not asked for are let go."""
        if not self.channel.is_open:
            # All items are sent and `STREAM_DONE` waits for credit; that it may do.
            self.end()
            return
        session.discard_waiting(self.channel)
        super().fail(error, session)

    def _has_fresh(self) -> bool:
        if not super()._has_fresh():
            return False
        if self.held_bytes - self._args_bytes >= STREAM_WINDOW_BYTES:
            return False
        return self._flying_rows + self.channel.backlog < STREAM_WINDOW_ROWS

    def _most_rows(self) -> int:
        return self._task_rows(self._item_bytes)

    def _use(self, task: Task, result: Result, session: Session) -> None:
        self._flying_rows -= task.rows
        self._missing -= task.rows
        self._item_bytes = max(1, sum(map(len, result.items)) // task.rows)
        for index, item in enumerate(result.items, task.first_index):
            is_fine = len(item) <= self._max_reply_bytes
            session.send_item(self.channel, item if is_fine else self._item_too_large(index))
        if self._missing == 0:
            self._finish(session)
        self._count_held()

    def _finish(self, session: Session) -> None:
        """Say that the stream is complete once every item is sent; end when that is said."""
        if self.channel.is_open and not self.channel.backlog:
            session.end_stream(self.channel)
        if self.channel.state is State.CLOSED:
            self.end()

    def _item_too_large(self, index: int) -> bytes:
        error = self._too_large()
        failed = {"index": index, "error": {"name": error.wire_name, "message": str(error)}}
        return msgspec.msgpack.encode(failed)

    def _count_held(self) -> None:
        # At most the window and one task: what it costs is bounded.
        self.held_bytes = self._args_bytes + sum(map(len, self.channel.waiting or ()))
