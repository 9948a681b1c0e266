"""Dispatcher and ledger against a ledger in the test's own words.

The test knows who has which attempt of which task, and how often a task's worker has died. Results
come right, twice, from the wrong worker or for the wrong attempt; workers die, leave and stall.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from gateway_world import batch, model_info, open_channel, result_of, returned, unary, worker
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from zeropool.gateway.budget import Budget
from zeropool.gateway.dispatcher import Dispatcher
from zeropool.gateway.fleet import Fleet
from zeropool.gateway.ledger import Stale
from zeropool.shared.jobs import Job, Results
from zeropool.shared.wire import event as wire
from zeropool.shared.wire.event import MessageIds
from zeropool.shared.wire.session import Role, Session

MAX_ATTEMPTS = 3
CREDIT = 4
#: "once" must not be repeated when a worker dies.
MODELS = ("double", "once")

picks = st.integers(0, 1000)


@dataclass
class Held:
    """One attempt of one task, with the worker that has it."""

    owner: str
    job: Job
    #: The channel of its call.
    call: object


class DispatcherMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.session = Session(Role.SERVER, MessageIds(0))
        self.fleet = Fleet()
        self.dispatcher = Dispatcher(
            self.session, self.fleet, Budget(10**9), max_attempts=MAX_ATTEMPTS
        )
        for name in MODELS:
            self.dispatcher.know(model_info(name, retry_safe=name != "once", timeout_s=50.0))
        self.now = 0.0
        self.born = 0
        self.calls: dict[bytes, object] = {}
        self.ended: dict[bytes, str] = {}
        #: By job id: who has it now.
        self.held: dict[int, Held] = {}
        self.attempts: dict[int, int] = {}
        self.deaths: dict[int, int] = {}
        self.stale = 0

    # Callers

    def submit(self, make, model, *args, **facts):
        channel = open_channel(self.session, f"c{len(self.calls)}", self.now)
        call = make(channel, *args, model=model, accepted_at=self.now, limit_s=50.0, **facts)
        self.calls[channel.channel_id] = call
        self.dispatcher.submit(call)

    @rule(model=st.sampled_from(MODELS), value=picks)
    def call(self, model, value):
        self.submit(unary, model, args=(value,))

    @rule(model=st.sampled_from(MODELS), count=st.integers(1, 9))
    def call_batch(self, model, count):
        self.submit(batch, model, list(range(count)))

    @precondition(lambda self: self.calls)
    @rule(pick=picks)
    def caller_is_lost(self, pick):
        call = list(self.calls.values())[pick % len(self.calls)]
        if not call.is_over:
            self.dispatcher.caller_lost(call.channel)
            self.session.close(call.channel)

    # Workers

    @rule()
    def worker_comes(self):
        self.born += 1
        self.fleet.add(worker(f"w{self.born}", credit=CREDIT, models=MODELS))

    def some_worker(self, pick):
        return list(self.fleet)[pick % len(self.fleet)].worker_id

    @rule()
    def dispatch(self):
        for job_ids in self.dispatcher.take_cancellations().values():
            for job_id in job_ids:
                held = self.held.get(job_id)
                if held is not None and self.is_taken_back(held):
                    del self.held[job_id]
        for worker_id, given in self.dispatcher.dispatch(self.now).items():
            for job in given:
                self.sent(worker_id, job)

    def is_taken_back(self, held):
        """A job was cancelled: because its attempt is over, or only its call is."""
        job_ids = self.dispatcher.ledger.jobs_of(held.owner, len(self.attempts))
        return not held.call.is_over or held.job.job_id not in job_ids

    def sent(self, owner, job):
        assert job.job_id not in self.held, "one task, two workers"
        assert job.attempt > self.attempts.get(job.job_id, 0)
        assert self.fleet.get(owner) is not None
        deaths = self.deaths.get(job.job_id, 0)
        assert deaths < (1 if job.model == "once" else MAX_ATTEMPTS)
        if deaths:
            assert not self.held_by(owner), "a suspect in company"
        call = next(
            call
            for call in self.calls.values()
            if job.job_id in [task.job_id for task in call.flying]
        )
        assert not call.is_over
        self.attempts[job.job_id] = job.attempt
        self.held[job.job_id] = Held(owner, job, call)

    def held_by(self, owner):
        return [held for held in self.held.values() if held.owner == owner]

    def report(self, owner, result, rows=1):
        message = Results(owner, "gw1", [result], "double", rows, 0.0001 * rows)
        self.dispatcher.take_results(message, self.fleet.get(owner), self.now)

    @precondition(lambda self: self.held)
    @rule(pick=picks, make=st.sampled_from([result_of, returned]))
    def worker_answers(self, pick, make):
        self.dispatch()
        if self.held:
            held = self.held.pop(list(self.held)[pick % len(self.held)])
            self.report(held.owner, make(held.job), held.job.rows)

    @precondition(lambda self: self.held)
    @rule(pick=picks, attempt=st.sampled_from([-1, 1, 5]))
    def result_of_another_attempt(self, pick, attempt):
        self.dispatch()
        for held in list(self.held.values())[pick % 3 :][:1]:
            result = result_of(held.job)
            changed = type(result)(
                result.job_id, result.attempt + attempt, result.outcome, result.body
            )
            self.is_dropped(held.owner, changed, Stale.WRONG_ATTEMPT)

    @precondition(lambda self: self.held and len(self.fleet) > 1)
    @rule(pick=picks)
    def result_of_another_worker(self, pick):
        self.dispatch()
        for held in list(self.held.values())[pick % 3 :][:1]:
            others = [each for each in self.fleet if each.worker_id != held.owner]
            if others:
                other = others[pick % len(others)].worker_id
                self.is_dropped(other, result_of(held.job), Stale.WRONG_OWNER)

    @precondition(lambda self: len(self.fleet))
    @rule(pick=picks)
    def result_of_no_job(self, pick):
        job = Job(10**6 + pick, 1, 0, "double", b"\x91\x01", 1.0)
        self.is_dropped(self.some_worker(pick), result_of(job), Stale.UNKNOWN_JOB)

    def is_dropped(self, owner, result, reason):
        before = self.dispatcher.ledger.stale[reason], self.dispatcher.open_calls
        self.report(owner, result)
        assert self.dispatcher.ledger.stale[reason] == before[0] + 1
        assert self.dispatcher.open_calls == before[1]

    @precondition(lambda self: len(self.fleet))
    @rule(pick=picks)
    def worker_dies(self, pick):
        self.dispatch()
        name = self.some_worker(pick)
        self.fleet.remove(name)
        self.dispatcher.worker_lost(name)
        for held in self.held_by(name):
            del self.held[held.job.job_id]
            self.deaths[held.job.job_id] = self.deaths.get(held.job.job_id, 0) + 1

    @precondition(lambda self: len(self.fleet))
    @rule(pick=picks)
    def worker_leaves(self, pick):
        self.dispatch()
        name = self.some_worker(pick)
        self.fleet.remove(name)
        self.dispatcher.worker_left(name)
        for held in self.held_by(name):
            del self.held[held.job.job_id]

    # Time

    @rule(span_s=st.sampled_from([0.001, 0.06, 5.0, 60.0]))
    def time_passes(self, span_s):
        self.now += span_s
        self.dispatcher.tick(self.now)
        self.dispatcher.reclaim(self.now)
        self.dispatch()

    # What always holds

    @invariant()
    def the_books_agree(self):
        self.dispatcher.check_invariants()

    @invariant()
    def every_call_has_one_end(self):
        for _, payload in self.session.take_outgoing():
            event = wire.decode_event(payload)
            assert event.name in wire.TERMINAL
            assert event.response_to not in self.ended
            self.ended[event.response_to] = event.name
        for channel_id in self.ended:
            assert self.calls[channel_id].is_over

    def teardown(self):
        """One worker that does its work: every call has its end, and nothing is left."""
        for each in list(self.fleet):
            self.fleet.remove(each.worker_id)
            self.dispatcher.worker_left(each.worker_id)
        self.held.clear()
        self.worker_comes()
        self.dispatch()
        while self.held:
            self.worker_answers(0, result_of)
            self.dispatch()
        self.every_call_has_one_end()
        assert self.dispatcher.open_calls == 0
        assert self.dispatcher.waiting == 0
        assert len(self.dispatcher.ledger) == 0
        assert self.dispatcher.held_bytes == 0


DispatcherMachine.TestCase.settings = settings(
    max_examples=150, stateful_step_count=40, derandomize=True, deadline=None, database=None
)
test_every_task_has_one_owner_and_every_call_one_end = DispatcherMachine.TestCase


@pytest.fixture
def overdue_batch():
    """A batch whose time is about to be over, while a worker has two of its tasks."""
    machine = DispatcherMachine()
    machine.worker_comes()
    machine.call_batch(count=5, model="double")
    machine.dispatch()
    machine.worker_answers(make=result_of, pick=0)
    machine.dispatch()
    yield machine
    machine.the_books_agree()
    machine.teardown()


def test_what_was_taken_back_of_a_call_that_is_over_is_no_company(overdue_batch):
    overdue_batch.worker_comes()
    overdue_batch.time_passes(span_s=60.0)
    overdue_batch.call(model="double", value=0)
    overdue_batch.worker_dies(pick=1)
    overdue_batch.worker_answers(make=result_of, pick=0)
    overdue_batch.dispatch()
    assert [held.owner for held in overdue_batch.held.values()] == ["w1"]


def test_what_was_taken_back_of_a_call_that_is_over_is_nobodys(overdue_batch):
    overdue_batch.time_passes(span_s=60.0)
    overdue_batch.result_of_another_attempt(attempt=-1, pick=1)
    assert len(overdue_batch.held) == 1
