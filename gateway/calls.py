"""Calls that a model must answer: how each becomes tasks, and its results become a reply.

`Unary` is one task whose result is the finished reply; calls over many rows are in ``row_calls``.
A call makes its tasks when the dispatcher has a worker for them, so that a large one holds nothing
but its own argument bytes. No I/O, no clock.
"""

from __future__ import annotations

import abc
from collections import deque
from typing import Final

from zeropool.gateway.budget import CALL_BYTES, Account
from zeropool.shared.errors import DeadlineExceeded, PayloadTooLarge, ZeropoolError
from zeropool.shared.jobs import Kind, Outcome, Result
from zeropool.shared.wire.channel import Channel
from zeropool.shared.wire.event import failure_name
from zeropool.shared.wire.records import RemoteFailure
from zeropool.shared.wire.session import Session

_EMPTY_ARRAY: Final = b"\x90"
# Bound once: looking a member up on its enum costs 0.15 µs on Python 3.11, as much as a call.
_CALL: Final = Kind.CALL
_OK: Final = Outcome.OK


class Task:
    """A part of a call that one worker does in one go. It keeps its id when it is repeated."""

    def __init__(  # noqa: PLR0913, PLR0917 - a record
        self,
        job_id: int,
        call: Call,
        kind: Kind,
        args: bytes,
        rows: int = 1,
        first_index: int = 0,
    ) -> None:
        self.job_id = job_id
        self.call = call
        self.kind = kind
        self.args = args
        self.rows = rows
        self.first_index = first_index
        #: Times this task was sent to a worker; tells its results from those of earlier attempts.
        self.attempt = 0
        #: Workers that died while they had it.
        self.deaths = 0
        self.owner = ""
        #: What it takes of its worker's credit: its rows, but no more than one batch.
        self.held_rows = 1
        #: What the dispatcher expects it to cost its worker, in seconds.
        self.cost_s = 0.0
        #: When the latest attempt began.
        self.given_at = 0.0


class Order:
    """What a caller wants of a model, and until when."""

    def __init__(  # noqa: PLR0913, PLR0917 - a record
        self,
        channel: Channel,
        model: str,
        packed: bytes,
        accepted_at: float,
        limit_s: float,
        due_at: float,
        max_reply_bytes: int,
        args_at: int = 0,
    ) -> None:
        self.channel = channel
        self.model = model
        #: What ends with the packed argument array, and where that begins.
        self.packed = packed
        self.args_at = args_at
        self.accepted_at = accepted_at
        #: The model's limit, from the acceptance or the latest progress on.
        self.limit_s = limit_s
        #: When the caller's own time is over; infinite where it named none.
        self.due_at = due_at
        #: Above this, the caller gets an error instead of the reply.
        self.max_reply_bytes = max_reply_bytes

    @property
    def args_bytes(self) -> int:
        """The size of the argument array; `CALL_BYTES` has room for the head before it."""
        return len(self.packed) - self.args_at


class Call(abc.ABC):
    """One accepted call. It is over when its caller has the reply, or can have none."""

    def __init__(self, order: Order) -> None:
        #: What the gateway's own records of it take for as long as it is open.
        self.record_bytes = CALL_BYTES
        self.is_over = False
        #: The wire name of the error that ended it, if one did.
        self.error_name = ""
        #: In the model's queue; the queue's own mark.
        self.is_queued = False
        #: Where its bytes are counted, from its acceptance on.
        self.account: Account | None = None
        #: A worker has had, or has, a part of it.
        self.has_begun = False
        #: Made when the first task comes back; few ever do.
        self._returned: deque[Task] | None = None
        self.channel = order.channel
        self.client = order.channel.client
        self.model = order.model
        self.accepted_at = order.accepted_at
        #: Arguments, and results that are not sent yet; it changes only in `answered`, `granted`.
        self.held_bytes = order.args_bytes
        self.deadline_at = min(order.accepted_at + order.limit_s, order.due_at)
        # Not the order itself, which holds the arguments: an ended call may be referred to yet.
        self._limit_s = order.limit_s
        self._due_at = order.due_at
        self._max_reply_bytes = order.max_reply_bytes

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self.model} flying={len(self.flying)} "
            f"returned={len(self._returned or ())} over={self.is_over}>"
        )

    @property
    def has_work(self) -> bool:
        """There is a task for a worker now."""
        return not self.is_over and (bool(self._returned) or self._has_fresh())

    @property
    @abc.abstractmethod
    def flying(self) -> list[Task]:
        """Tasks that are with workers, in the order of their way there."""

    def take(self, job_id: int) -> Task:
        """The next task: one that came back, or a fresh one, which gets ``job_id``.

        Raises:
            WrongArguments: the rest of the rows cannot be read; the call cannot go on.
        """
        task = self._returned.popleft() if self._returned else self._fresh(job_id)
        self.has_begun = True
        self._sent(task)
        return task

    def put_back(self, task: Task) -> None:
        """A task that was taken comes back unanswered, and is the next to be taken, if any is."""
        self._back(task)
        if self.is_over:
            return
        if self._returned is None:
            self._returned = deque()
        self._returned.appendleft(task)

    def answered(self, task: Task, result: Result, session: Session, now: float) -> None:
        """Take the result of a task that was taken; reply when it was the last one."""
        self._back(task)
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
        """Nobody waits any more, or the reply is on its way: let go of everything held.

        Also of the arguments of tasks that are with workers, which may yet be for long.
        """
        self.is_over = True
        self._returned = None
        for task in self.flying:
            task.args = b""
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
        return PayloadTooLarge(f"reply exceeds max_reply_bytes {self._max_reply_bytes}")

    @abc.abstractmethod
    def _sent(self, task: Task) -> None: ...

    @abc.abstractmethod
    def _back(self, task: Task) -> None: ...

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
        # That of one row is never but the end of something.
        self._args: bytes | None = order.packed
        self._task: Task | None = None

    @property
    def flying(self) -> list[Task]:
        """The task, while it is with a worker."""
        return [] if self._task is None else [self._task]

    @property
    def has_work(self) -> bool:
        """There is a task for a worker now: the one that it has."""
        return not self.is_over and (self._args is not None or bool(self._returned))

    def _sent(self, task: Task) -> None:
        self._task = task

    def _back(self, task: Task) -> None:  # noqa: ARG002 - the only task
        self._task = None

    def _has_fresh(self) -> bool:
        return self._args is not None

    def _fresh(self, job_id: int) -> Task:
        args, self._args = self._args, None
        return Task(job_id, self, _CALL, args or _EMPTY_ARRAY)

    def _use(self, task: Task, result: Result, session: Session) -> None:  # noqa: ARG002 - the only task
        body = result.body
        if len(body) > self._max_reply_bytes:
            self.fail(self._too_large(), session)
            return
        self.end()
        if result.outcome is not _OK:
            self.error_name = failure_name(body)
        session.finish(self.channel, body)

    def _forget(self) -> None:
        self._args = None
