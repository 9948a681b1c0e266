"""Which worker gets which task, and what happens when either goes wrong.

One queue for each model; a task goes to the least loaded worker that holds the model and has
credit; the ledger keeps it until its result arrives. Replies leave through the session. No I/O,
no clock.
"""

from __future__ import annotations

from typing import Final

from zeropool.gateway.admission import Admission
from zeropool.gateway.budget import Budget
from zeropool.gateway.calls import Call, Task
from zeropool.gateway.deadlines import Deadlines
from zeropool.gateway.fleet import MAX_BACKLOG_S, Fleet, Worker
from zeropool.gateway.head_start import has_head_start
from zeropool.gateway.ledger import Ledger
from zeropool.gateway.placement import Placement
from zeropool.gateway.queue import CallQueue
from zeropool.gateway.suspects import Suspects
from zeropool.gateway.tally import CALLER_LOST, OK
from zeropool.gateway.turns import Turns
from zeropool.shared.errors import Overloaded, WorkerLost, ZeropoolError
from zeropool.shared.jobs import Job, Kind, Outcome, Result, Results
from zeropool.shared.model import ModelInfo
from zeropool.shared.wire.channel import Channel, State
from zeropool.shared.wire.records import Client
from zeropool.shared.wire.session import Session

#: A worker is given up when it was silent for this many of the model's limits and the grace. A
#: batch that fails is predicted again row by row, so that two limits can pass in one go.
OVERDUE_AFTER_LIMITS: Final = 2
OVERDUE_GRACE_S: Final = 10.0
# Bound once: looking a member up on its enum costs 0.15 µs on Python 3.11, as much as a call.
_CALL: Final = Kind.CALL
_RETURNED: Final = Outcome.RETURNED
_CLOSED: Final = State.CLOSED


class Dispatcher:
    """All accepted calls and the tasks made of them."""

    def __init__(
        self, session: Session, fleet: Fleet, budget: Budget, *, max_attempts: int
    ) -> None:
        self.ledger = Ledger()
        self.queues: dict[str, CallQueue] = {}
        self.redispatched = 0
        self._session = session
        self._fleet = fleet
        self._budget = budget
        self._admission = Admission(fleet, budget)
        self._max_attempts = max_attempts
        self._calls: dict[Channel, Call] = {}
        self._deadlines = Deadlines()
        self._last_id = 0
        self._cancellations: dict[str, list[int]] = {}
        self._suspects = Suspects()
        self._turns = Turns()

    def __repr__(self) -> str:
        return (
            f"<Dispatcher calls={len(self._calls)} flying={len(self.ledger)} "
            f"waiting={self.waiting} {self._budget!r}>"
        )

    @property
    def open_calls(self) -> int:
        """Accepted calls without a reply."""
        return len(self._calls)

    @property
    def held_bytes(self) -> int:
        """What the open calls hold: arguments, results, and the records of each."""
        return sum(call.held_bytes + call.record_bytes for call in self._calls.values())

    @property
    def waiting(self) -> int:
        """Calls that wait for a worker, over all models."""
        return sum(queue.waiting for queue in self.queues.values())

    def know(self, info: ModelInfo) -> None:
        """Learn of a model, or of new limits of a known one."""
        queue = self.queues.get(info.qualified_name)
        if queue is None:
            self.queues[info.qualified_name] = CallQueue(info)
        else:
            queue.learn(info)

    # Calls

    def check_room(self, queue: CallQueue, client: Client, size_bytes: int, left_s: float) -> None:
        """See whether one more call may be accepted that has ``left_s`` until its deadline.

        Raises:
            Overloaded: it would have to wait too long, or there is no room for it.
        """
        try:
            self._admission.check(queue, client, size_bytes, left_s)
        except Overloaded:
            queue.tally.ended(Overloaded.wire_name)
            raise

    def submit(self, call: Call) -> None:
        """Accept a call: from here on it gets exactly one reply, unless its caller vanishes."""
        queue = self.queues[call.model]
        if queue.is_full and (displaced := queue.give_way(call.client)) is not None:
            # Its client has the most calls in the queue, and this one the fewest.
            self._fail(displaced, self._admission.no_place(queue, displaced.client))
        self._calls[call.channel] = call
        call.account = self._budget.take(call.client, call.held_bytes + call.record_bytes)
        self._deadlines.add(call, self._new_id(), call.accepted_at)
        queue.append(call)

    def caller_granted(self, channel: Channel, now: float) -> None:
        """A caller reads on: its stream may go on too."""
        call = self._calls.get(channel)
        if call is None:
            return
        held_bytes = call.held_bytes
        call.granted(self._session, now)
        self._count(call, call.held_bytes - held_bytes)
        if call.is_over:
            self._forget(call, call.error_name or OK)
        elif call.has_work:
            self.queues[call.model].append(call)

    def caller_lost(self, channel: Channel) -> None:
        """A caller is gone: what it wanted is not started any more."""
        call = self._calls.get(channel)
        if call is not None:
            call.end()
            self._forget(call, CALLER_LOST)

    def fail_all(self, error: ZeropoolError) -> None:
        """Answer every open call with an error."""
        for call in list(self._calls.values()):
            self._fail(call, error)

    # Workers

    def has_head_start(self) -> bool:
        """Tell whether idle workers are to get what waits, while as many calls more are taken."""
        waiting = [queue for queue in self.queues.values() if queue.waiting]
        if len(waiting) != 1:
            # Calls of several models are several batches anyway.
            return False
        (queue,) = waiting
        return has_head_start(queue, self._fleet.holding(queue.name))

    def dispatch(self, now: float) -> dict[str, list[Job]]:
        """Give waiting calls to workers that can soon start them: jobs by worker id."""
        waiting = self._turns.waiting(list(self.queues.values()))
        if not waiting and not self._suspects.tasks:
            return {}
        jobs: dict[str, list[Job]] = {}
        if self._suspects.tasks:
            for task, worker in self._suspects.placed(self._fleet, now):
                job = self._assign(task, self.queues[task.call.model], worker, MAX_BACKLOG_S, now)
                jobs.setdefault(worker.worker_id, []).append(job)
        for queue in waiting:
            self._dispatch_model(queue, jobs, now)
        return jobs

    def _dispatch_model(self, queue: CallQueue, jobs: dict[str, list[Job]], now: float) -> None:
        workers = self._fleet.holding(queue.name)
        if self._suspects.tasks:
            workers = [each for each in workers if each is not self._suspects.reserved]
        free = Placement(queue, workers, now=now)
        while free and queue.waiting:
            call = queue.pop()
            if call is None:
                return
            if call.deadline_at <= now:
                # Its caller granted no time at all.
                self._fail(call, call.overdue(now))
                continue
            task = self._take(call)
            if task is None:
                continue
            queue.charge(call, task.rows)
            cost_s = queue.cost_s(task.rows)
            worker = free.choose(cost_s)
            job = self._assign(task, queue, worker, cost_s, now)
            jobs.setdefault(worker.worker_id, []).append(job)
            if call.has_work:
                queue.append(call)
            free.took(worker)

    def _take(self, call: Call) -> Task | None:
        try:
            return call.take(self._new_id())
        except ZeropoolError as error:
            self._fail(call, error)
            return None

    def _new_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def _assign(
        self, task: Task, queue: CallQueue, worker: Worker, cost_s: float, now: float
    ) -> Job:
        call = task.call
        task.cost_s, task.given_at = cost_s, now
        self.ledger.sent(task, worker.worker_id)
        if task.attempt == 1 and not task.first_index:
            queue.tally.waited(now - call.accepted_at)
        task.held_rows = min(task.rows, queue.max_batch_size)
        worker.took(task.held_rows, task.cost_s, now)
        is_call = task.kind is _CALL
        return Job(
            task.job_id,
            task.attempt,
            task.kind,
            call.model,
            task.args,
            max(call.deadline_at - now, 0.0),
            call.channel.channel_id if is_call else b"",
            call.channel.version if is_call else 0,
            task.first_index,
            task.rows,
        )

    def take_results(self, message: Results, worker: Worker, now: float) -> None:
        """Settle the tasks that a worker answered or returned."""
        returned: list[Task] = []
        is_news = False
        for result in message.results:
            task = self.ledger.settle(result, worker.worker_id)
            if task is None:
                continue
            is_news = True
            worker.gave(task.held_rows, task.cost_s, now)
            if result.outcome is _RETURNED:
                returned.append(task)
            elif task.call.is_over:
                task.call.put_back(task)
            else:
                self._answered(task, result, now)
        if is_news:
            self._learn_pace(message, worker)
        # Each goes to the front of its queue: the last one first keeps their order.
        for task in reversed(returned):
            self._retry(task)

    def _learn_pace(self, message: Results, worker: Worker) -> None:
        # Only from who has done something: on the pace hangs who is refused.
        queue = self.queues.get(message.model)
        rows, busy_s = message.rows, message.busy_s
        if queue is not None and queue.observe(rows, busy_s):
            worker.answered_rows += rows
            worker.busy_s += busy_s

    def _answered(self, task: Task, result: Result, now: float) -> None:
        call = task.call
        queue = self.queues[call.model]
        queue.tally.executed(now - task.given_at)
        held_bytes = call.held_bytes
        call.answered(task, result, self._session, now)
        if call.held_bytes != held_bytes:
            self._count(call, call.held_bytes - held_bytes)
        if call.is_over:
            self._forget(call, call.error_name or OK)
        elif call.held_bytes > held_bytes and self._budget.is_exceeded:
            self._fail(call, self._admission.no_memory(call, queue))
        elif call.has_work:
            queue.append(call)

    def worker_lost(self, worker_id: str) -> None:
        """A worker died: what it had moves to others, or ends with `WorkerLost`."""
        for task in self.ledger.owner_lost(worker_id):
            task.deaths += 1
            call = task.call
            if call.is_over:
                call.put_back(task)
            elif not self.queues[call.model].retry_safe:
                error = f"worker {worker_id} died; {call.model} is not retried"
                self._fail(call, WorkerLost(error))
            elif task.deaths >= self._max_attempts:
                error = f"{task.deaths} workers died while they had this call"
                self._fail(call, WorkerLost(error))
            else:
                self.redispatched += 1
                self._suspects.add(task)
        self._cancellations.pop(worker_id, None)

    def worker_left(self, worker_id: str) -> None:
        """A worker said goodbye: what it had on its way, it has not started."""
        for task in reversed(self.ledger.owner_lost(worker_id)):
            self._retry(task)
        self._cancellations.pop(worker_id, None)

    def reclaim(self, now: float) -> None:
        """Take back what stalled workers cannot have started: others may be free for it.

        A worker is given work ahead where its model is known as fast; a call that takes long for
        once must not keep that. Should a result come after all, it is dropped as stale.
        """
        for worker in self._fleet:
            oldest = self.ledger.oldest_of(worker.worker_id)
            if oldest is None or not worker.is_stalled(now):
                continue
            if any(self.queues[model].max_wait_s for model in worker.models):
                # Its oldest task may wait for company while a younger one runs.
                continue
            queue = self.queues[oldest.call.model]
            rows = queue.max_batch_size if queue.batches else 1
            for task in reversed(self.ledger.surely_waiting(worker.worker_id, rows)):
                if self.queues[task.call.model].retry_safe:
                    self.ledger.take_back(task)
                    worker.lost(task.held_rows, task.cost_s)
                    self._cancellations.setdefault(worker.worker_id, []).append(task.job_id)
                    self._retry(task)

    def overdue_workers(self, now: float) -> list[str]:
        """Workers that must have answered or died: their results were lost on the way.

        A prediction that passes its limit ends its process, so a living worker says something
        within the limit of what it runs.
        """
        return [
            worker.worker_id
            for worker in self._fleet
            if (oldest := self.ledger.oldest_of(worker.worker_id)) is not None
            and now - worker.progress_at
            > self.queues[oldest.call.model].timeout_s * OVERDUE_AFTER_LIMITS + OVERDUE_GRACE_S
        ]

    def _retry(self, task: Task) -> None:
        call = task.call
        if task.deaths and not call.is_over:
            # It came back unstarted, and is as suspect as before.
            self._suspects.add(task)
            return
        call.put_back(task)
        if call.has_work:
            self.queues[call.model].prepend(call)

    # Time

    def next_deadline(self) -> float:
        """When the first open call may run out of time. May be early, never late."""
        return self._deadlines.next_deadline()

    def tick(self, now: float) -> None:
        """End the calls whose time has run out."""
        while (call := self._deadlines.pop_overdue(now)) is not None:
            self._fail(call, call.overdue(now))

    @property
    def has_cancellations(self) -> bool:
        """There is something for `take_cancellations`."""
        return bool(self._cancellations)

    def take_cancellations(self) -> dict[str, list[int]]:
        """Ids of jobs that workers need not start any more, by worker id."""
        cancellations, self._cancellations = self._cancellations, {}
        return cancellations

    # The one place where calls end

    def _fail(self, call: Call, error: ZeropoolError) -> None:
        call.fail(error, self._session)
        self._forget(call, call.error_name or OK)

    def _forget(self, call: Call, outcome: str) -> None:
        for task in call.flying:
            if task.owner:
                self._cancellations.setdefault(task.owner, []).append(task.job_id)
        del self._calls[call.channel]
        self._count(call, -call.held_bytes - call.record_bytes)
        queue = self.queues[call.model]
        queue.tally.ended(outcome)
        if call.is_queued:
            queue.ended(call)
        self._deadlines.ended(len(self._calls))

    def _count(self, call: Call, size_bytes: int) -> None:
        if call.account is not None:
            self._budget.change(call.account, size_bytes)

    def check_invariants(self) -> None:
        """Facts that hold between any two calls of this class."""
        self.ledger.check_invariants()
        for queue in self.queues.values():
            queue.check_invariants()
        for call in self._calls.values():
            if call.is_over:
                raise RuntimeError(f"{self!r}: {call!r} is over and still open")
            if call.has_work and not call.is_queued:
                raise RuntimeError(f"{self!r}: {call!r} has work and is in no queue")
            if call.channel.state is _CLOSED:
                raise RuntimeError(f"{self!r}: {call!r} is open on a closed channel")
        for worker in self._fleet:
            if worker.held_rows < 0:
                raise RuntimeError(f"{worker!r}: answered more than it was given")
            if bool(worker.held_rows) != bool(self.ledger.owned_by(worker.worker_id)):
                raise RuntimeError(f"{worker!r}: holds rows that the ledger does not know")
