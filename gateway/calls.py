"""Calls that a model must answer: how each becomes tasks, and its results become a reply.

Three shapes: `Unary` is one task whose result is the finished reply, `Batch` is split into tasks
that are put together again, `Stream` makes tasks only as fast as its caller reads. A call makes
its tasks when the dispatcher has a worker for them, so that a large one holds nothing but its own
argument bytes. No I/O, no clock.
"""

from __future__ import annotations

import abc
from collections import deque

import msgpack
import msgspec

from zeropool.shared.arguments import check_count
from zeropool.shared.errors import PayloadTooLarge, WrongArguments, ZeropoolError
from zeropool.shared.jobs import Kind, Result, RowError
from zeropool.shared.wire.channel import Channel
from zeropool.shared.wire.event import DECODE_ERRORS, NIL, RemoteFailure
from zeropool.shared.wire.session import Session

#: A batch is not split finer than this: below, the cost of a task outweighs what it carries.
MIN_TASK_ROWS = 16
#: Rows that a stream may have with workers or waiting for its caller's credit. Python and Node
#: clients grant 100 at a time; this keeps workers busy while the next grant is on its way.
STREAM_WINDOW_ROWS = 256

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


class Call(abc.ABC):
    """One accepted call. It is over when its caller has the reply, or can have none."""

    def __init__(
        self, channel: Channel, model: str, args: bytes, *, now: float, limit_s: float, due_at: float
    ) -> None:
        self.channel = channel
        self.model = model
        self.accepted_at = now
        self.held_bytes = len(args)
        self.is_over = False
        #: The wire name of the error that ended it, if one did.
        self.error_name = ""
        #: In the model's queue; the dispatcher's own mark.
        self.is_queued = False
        #: Tasks that are with workers.
        self.flying: dict[int, Task] = {}
        self.deadline_at = min(now + limit_s, due_at)
        self._limit_s = limit_s
        self._due_at = due_at
        self._returned: deque[Task] = deque()

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self.model} flying={len(self.flying)} "
            f"returned={len(self._returned)} over={self.is_over}>"
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
        """A task that was taken comes back unanswered."""
        self.flying.pop(task.job_id, None)
        if not self.is_over:
            self._returned.append(task)

    def answered(self, task: Task, result: Result, session: Session, now: float) -> None:
        """Take the result of a task that was taken; reply when it was the last one."""
        self.flying.pop(task.job_id, None)
        if self.is_over:
            return
        self._use(task, result, session)
        if not self.is_over:
            self.progress(now)

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
        self._returned.clear()
        self._forget()

    def progress(self, now: float) -> None:
        """Something happened: the model's limit starts again, the caller's stays."""
        self.deadline_at = min(now + self._limit_s, self._due_at)

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

    def __init__(self, channel: Channel, model: str, args: bytes, **times: float) -> None:
        super().__init__(channel, model, args, **times)
        self._args: bytes | None = args

    def _has_fresh(self) -> bool:
        return self._args is not None

    def _fresh(self, job_id: int) -> Task:
        args, self._args = self._args, None
        return Task(job_id, self, Kind.CALL, args or _EMPTY_ARRAY)

    def _use(self, task: Task, result: Result, session: Session) -> None:
        self.end()
        session.finish(self.channel, result.body)

    def _forget(self) -> None:
        self._args = None


class RowCursor:
    """Reads a packed array of rows piece by piece, without building the rows.

    Raises:
        WrongArguments: `args` is no argument array with exactly one array of rows in it.
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
            self.left = self._unpacker.read_array_header()
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
        return _array_header(count) + self._bytes[start : self._unpacker.tell()]

    def discard(self) -> None:
        """Let go of the bytes; there are no more rows."""
        self.left = 0
        self._bytes = b""
        self._unpacker = msgpack.Unpacker()


def _array_header(count: int) -> bytes:
    packer = msgpack.Packer()
    header: bytes = packer.pack_array_header(count)
    return header


class _Rows(Call):
    """A call over many rows, which makes its tasks from the front of what is left."""

    kind: Kind

    def __init__(
        self, channel: Channel, model: str, args: bytes, rows: RowCursor, task_rows: int, **times: float
    ) -> None:
        super().__init__(channel, model, args, **times)
        self._rows = rows
        self._task_rows = task_rows
        self._missing = rows.total

    def answer_if_empty(self, session: Session) -> bool:
        """Reply to a call over no rows at once: there is nothing to dispatch."""
        if self._missing:
            return False
        self._finish(session)
        return True

    def _has_fresh(self) -> bool:
        return self._rows.left > 0

    def _fresh(self, job_id: int) -> Task:
        count = min(self._task_rows, self._rows.left)
        first_index = self._rows.total - self._rows.left
        return Task(job_id, self, self.kind, self._rows.next_rows(count), count, first_index)

    def _forget(self) -> None:
        self._rows.discard()

    @abc.abstractmethod
    def _finish(self, session: Session) -> None: ...


class Batch(_Rows):
    """`Q_predict_batch(rows)`: split over the workers, answered as one value in the rows' order."""

    kind = Kind.ROWS

    def __init__(
        self,
        channel: Channel,
        model: str,
        args: bytes,
        rows: RowCursor,
        *,
        task_rows: int,
        max_reply_bytes: int,
        **times: float,
    ) -> None:
        super().__init__(channel, model, args, rows, task_rows, **times)
        self._max_reply_bytes = max_reply_bytes
        self._reply_bytes = 0
        self._bodies: dict[int, bytes] = {}
        self._errors: list[tuple[int, RowError]] = []

    def _use(self, task: Task, result: Result, session: Session) -> None:
        self._bodies[task.first_index] = result.body
        self._errors.extend((task.first_index + error.offset, error) for error in result.errors)
        self._missing -= task.rows
        self._reply_bytes += len(result.body)
        if self._reply_bytes > self._max_reply_bytes:
            limit = self._max_reply_bytes
            self.fail(PayloadTooLarge(f"reply of over max_reply_bytes {limit}"), session)
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
                _array_header(self._rows.total),
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
    caller's credit. A caller that stops reading thus costs its arguments and that window, and
    after ``idle_s`` without credit nothing but an error that waits for credit.
    """

    kind = Kind.ITEMS

    def __init__(
        self,
        channel: Channel,
        model: str,
        args: bytes,
        rows: RowCursor,
        *,
        task_rows: int,
        idle_s: float,
        **times: float,
    ) -> None:
        super().__init__(channel, model, args, rows, task_rows, **times)
        self._idle_s = idle_s
        self._flying_rows = 0

    @property
    def waits_for_caller(self) -> bool:
        """All that may be computed ahead is computed; only credit helps."""
        return not self.flying and not self.has_work

    def progress(self, now: float) -> None:
        """As for any call; but while only the caller is awaited, the idle limit counts."""
        super().progress(now)
        if self.waits_for_caller:
            self.deadline_at = min(now + self._idle_s, self._due_at)

    def take(self, job_id: int) -> Task:
        """As for any call."""
        task = super().take(job_id)
        self._flying_rows += task.rows
        return task

    def put_back(self, task: Task) -> None:
        """As for any call."""
        self._flying_rows -= task.rows
        super().put_back(task)

    def fail(self, error: ZeropoolError, session: Session) -> None:
        """End the stream with an error; items that the caller has not asked for are let go."""
        session.discard_waiting(self.channel)
        super().fail(error, session)

    def _has_fresh(self) -> bool:
        if not super()._has_fresh():
            return False
        return self._flying_rows + self.channel.backlog < STREAM_WINDOW_ROWS

    def _use(self, task: Task, result: Result, session: Session) -> None:
        self._flying_rows -= task.rows
        self._missing -= task.rows
        for item in result.items:
            session.send_item(self.channel, item)
        if self._missing == 0:
            self._finish(session)

    def _finish(self, session: Session) -> None:
        self.end()
        session.end_stream(self.channel)


def task_rows(total: int, workers: int, max_batch_size: int) -> int:
    """Rows for each task of a call: an even share for every worker, within bounds."""
    share = -(-total // max(workers, 1))
    return max(1, min(max_batch_size, max(MIN_TASK_ROWS, share)))

