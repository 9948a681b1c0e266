"""Calls that a model must answer: how each becomes tasks, and its results become a reply.

Three shapes: `Unary` is one task whose result is the finished reply, `Batch` is split into tasks
that are put together again, `Stream` makes tasks only as fast as its caller reads. A call makes
its tasks when the dispatcher has a worker for them, so that a large one holds nothing but its own
argument bytes. No I/O, no clock.
"""

from __future__ import annotations

import abc
from collections import deque
from collections.abc import Callable

import msgspec

from zeropool.gateway.rows import RowCursor, array_header
from zeropool.shared.errors import DeadlineExceeded, PayloadTooLarge, ZeropoolError
from zeropool.shared.jobs import Kind, Outcome, Result, RowError
from zeropool.shared.wire.channel import Channel, State
from zeropool.shared.wire.event import RemoteFailure, failure_name
from zeropool.shared.wire.session import Session

#: Rows that a stream may have with workers or waiting for its caller's credit. Python and Node
#: clients grant 100 at a time; this keeps workers busy while the next grant is on its way.
STREAM_WINDOW_ROWS = 256
#: The same in bytes of items that wait for credit: large predictions count by their size.
STREAM_WINDOW_BYTES = 8 * 1024 * 1024

_EMPTY_ARRAY = b"\x90"


class Task(msgspec.Struct):
    """A part of a call that one worker does in one go. It keeps its id when it is repeated."""

    job_id: int
    call: Call
    kind: Kind
    args: bytes
    rows: int = 1
    first_index: int = 0
    #: Times this task was sent to a worker; tells its results from those of earlier attempts.
    attempt: int = 0
    #: Workers that died while they had it.
    deaths: int = 0
    owner: str = ""
    #: What the dispatcher expects it to cost its worker, in seconds.
    cost_s: float = 0.0
    #: When the latest attempt began.
    given_at: float = 0.0


class Order(msgspec.Struct, frozen=True):
    """What a caller wants of a model, and until when."""

    channel: Channel
    model: str
    #: The packed argument array.
    args: bytes
    accepted_at: float
    #: The model's limit, from the acceptance or the latest progress on.
    limit_s: float
    #: When the caller's own time is over; infinite where it named none.
    due_at: float
    #: Above this, the caller gets an error instead of the reply.
    max_reply_bytes: int


class Call(abc.ABC):
    """One accepted call. It is over when its caller has the reply, or can have none."""

    def __init__(self, order: Order) -> None:
        self.channel = order.channel
        self.model = order.model
        self.accepted_at = order.accepted_at
        #: Arguments, and results that are not sent yet; it changes only in `answered`, `granted`.
        self.held_bytes = len(order.args)
        self.is_over = False
        #: The wire name of the error that ended it, if one did.
        self.error_name = ""
        #: In the model's queue; the dispatcher's own mark.
        self.is_queued = False
        #: Tasks that are with workers.
        self.flying: dict[int, Task] = {}
        self.deadline_at = min(order.accepted_at + order.limit_s, order.due_at)
        self._limit_s = order.limit_s
        self._max_reply_bytes = order.max_reply_bytes
        self._due_at = order.due_at
        #: Made when the first task comes back; few ever do.
        self._returned: deque[Task] | None = None

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self.model} flying={len(self.flying)} "
            f"returned={len(self._returned or ())} over={self.is_over}>"
        )

    @property
    def has_work(self) -> bool:
        """There is a task for a worker now."""
        return not self.is_over and (bool(self._returned) or self._has_fresh())

    def take(self, job_id: int) -> Task:
        """The next task: one that came back, or a fresh one, which gets ``job_id``.

        Raises:
            WrongArguments: the rest of the rows cannot be read; the call cannot go on.
        """
        task = self._returned.popleft() if self._returned else self._fresh(job_id)
        self.flying[task.job_id] = task
        return task

    def put_back(self, task: Task) -> None:
        """A task that was taken comes back unanswered, and is the next to be taken."""
        self.flying.pop(task.job_id, None)
        if self.is_over:
            return
        if self._returned is None:
            self._returned = deque()
        self._returned.appendleft(task)

    def answered(self, task: Task, result: Result, session: Session, now: float) -> None:
        """Take the result of a task that was taken; reply when it was the last one."""
        self.flying.pop(task.job_id, None)
        if self.is_over:
            return
        self._use(task, result, session)
        if not self.is_over:
            self.progress(now)

    def granted(self, session: Session, now: float) -> None:  # noqa: B027 - a hook
        """The caller granted credit; only a stream has use for it."""

    def answer_if_empty(self, session: Session) -> bool:  # noqa: ARG002 - for calls over rows
        """Reply to a call that asks for nothing; there is nothing to dispatch."""
        return False

    def fail(self, error: ZeropoolError, session: Session) -> None:
        """End the call with an error."""
        self.end()
        self.error_name = error.wire_name
        message = str(error)
        failure = RemoteFailure(error.wire_name, message, f"{error.wire_name}: {message}")
        session.fail(self.channel, failure)

    def end(self) -> None:
        """Nobody waits any more, or the reply is on its way: let go of everything held."""
        self.is_over = True
        self._returned = None
        self._forget()

    def progress(self, now: float) -> None:
        """Something happened: the model's limit starts again, the caller's stays."""
        self.deadline_at = min(now + self._limit_s, self._due_at)

    def check_at(self, now: float) -> float:  # noqa: ARG002 - a stream needs it
        """When to look at the deadline again: it may move, but never to before this."""
        return self.deadline_at

    def overdue(self, now: float) -> DeadlineExceeded:
        """What to tell the caller when the deadline has passed."""
        return DeadlineExceeded(f"{self.model}: no result after {now - self.accepted_at:.1f} s")

    def _too_large(self) -> PayloadTooLarge:
        return PayloadTooLarge(f"reply of over max_reply_bytes {self._max_reply_bytes}")

    @abc.abstractmethod
    def _has_fresh(self) -> bool: ...

    @abc.abstractmethod
    def _fresh(self, job_id: int) -> Task: ...

    @abc.abstractmethod
    def _use(self, task: Task, result: Result, session: Session) -> None: ...

    @abc.abstractmethod
    def _forget(self) -> None: ...


class Unary(Call):
    """`Q_predict(data)`: one task, one reply, both passed on as bytes."""

    def __init__(self, order: Order) -> None:
        super().__init__(order)
        self._args: bytes | None = order.args

    def _has_fresh(self) -> bool:
        return self._args is not None

    def _fresh(self, job_id: int) -> Task:
        args, self._args = self._args, None
        return Task(job_id, self, Kind.CALL, args or _EMPTY_ARRAY)

    def _use(self, task: Task, result: Result, session: Session) -> None:  # noqa: ARG002 - the only task
        if len(result.body) > self._max_reply_bytes:
            self.fail(self._too_large(), session)
            return
        self.end()
        if result.outcome is not Outcome.OK:
            self.error_name = failure_name(result.body)
        session.finish(self.channel, result.body)

    def _forget(self) -> None:
        self._args = None


class _Rows(Call):
    """A call over many rows, which makes its tasks from the front of what is left.

    ``task_rows`` says how many rows the next task is to have.
    """

    kind: Kind

    def __init__(self, order: Order, rows: RowCursor, *, task_rows: Callable[[], int]) -> None:
        super().__init__(order)
        self._rows = rows
        self._task_rows = task_rows
        self._missing = rows.total

    def answer_if_empty(self, session: Session) -> bool:
        """As for any call; a call over no rows asks for nothing."""
        if self._missing:
            return False
        self._finish(session)
        return True

    def _has_fresh(self) -> bool:
        return self._rows.left > 0

    def _fresh(self, job_id: int) -> Task:
        count = min(self._task_rows(), self._rows.left)
        first_index = self._rows.total - self._rows.left
        return Task(job_id, self, self.kind, self._rows.next_rows(count), count, first_index)

    def _forget(self) -> None:
        self._rows.discard()

    @abc.abstractmethod
    def _finish(self, session: Session) -> None: ...


class Batch(_Rows):
    """`Q_predict_batch(rows)`: split over the workers, answered as one value in the rows' order."""

    kind = Kind.ROWS

    def __init__(self, order: Order, rows: RowCursor, *, task_rows: Callable[[], int]) -> None:
        super().__init__(order, rows, task_rows=task_rows)
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
        value = b"".join(
            (
                b"\x82\xabpredictions",
                array_header(self._rows.total),
                *(self._bodies[index] for index in sorted(self._bodies)),
                b"\xa6errors",
                msgspec.msgpack.encode(errors),
            )
        )
        self.end()
        session.answer(self.channel, value)

    def _forget(self) -> None:
        super()._forget()
        self._bodies.clear()
        self._errors.clear()


class Stream(_Rows):
    """`Q_predict_stream(rows)`: one item for each row, as each becomes available.

    Rows go to workers only while fewer than `STREAM_WINDOW_ROWS` are with workers or wait for the
    caller's credit. The call is over when its last event is sent: a caller that stops reading
    costs its arguments and that window, and after ``idle_s`` without reading nothing but one event
    that waits for credit.
    """

    kind = Kind.ITEMS

    def __init__(
        self, order: Order, rows: RowCursor, *, task_rows: Callable[[], int], idle_s: float
    ) -> None:
        super().__init__(order, rows, task_rows=task_rows)
        self._idle_s = idle_s
        self._args_bytes = self.held_bytes
        self._flying_rows = 0
        #: Events that waited when the stream began to wait for its caller; 0 while it does not.
        self._idle_backlog = 0

    @property
    def waits_for_caller(self) -> bool:
        """All that may be computed ahead is computed; only credit helps."""
        return not self.flying and not self.has_work

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

    def _use(self, task: Task, result: Result, session: Session) -> None:
        self._flying_rows -= task.rows
        self._missing -= task.rows
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
