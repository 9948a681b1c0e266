"""Which jobs a worker runs together, and which it never starts."""

import math
from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from zeropool.shared.jobs import Job, Kind
from zeropool.workers.batcher import Batcher, BatchLimits

LONG_S = 300.0


def job(job_id, model="iris", kind=Kind.CALL, remaining_s=LONG_S):
    return Job(job_id, 1, kind, model, b"\x91\x01", remaining_s)


def ids(jobs):
    return [job.job_id for job in jobs]


@pytest.fixture
def batcher():
    """Three models: up to 3 rows at once, up to 2 rows after a wait, one row at a time."""
    return Batcher(
        {
            "iris": BatchLimits(max_rows=3, max_wait_s=0.0),
            "patient": BatchLimits(max_rows=2, max_wait_s=0.5),
            "single": BatchLimits(max_rows=1, max_wait_s=0.0),
        }
    )


def test_nothing_is_due_where_nothing_waits(batcher):
    assert batcher.next_batch(now=0.0) is None
    assert batcher.next_deadline() == math.inf
    assert len(batcher) == 0


def test_what_is_there_forms_a_batch(batcher):
    batcher.add("g", [job(1)], now=0.0)
    batcher.add("g", [job(2)], now=0.0)

    batch = batcher.next_batch(now=0.0)

    assert (batch.model, batch.gateway, ids(batch.jobs)) == ("iris", "g", [1, 2])
    assert batch.expired == []
    assert batcher.next_batch(now=0.0) is None


def test_a_batch_has_no_more_rows_than_the_model_takes(batcher):
    for job_id in range(7):
        batcher.add("g", [job(job_id)], now=0.0)

    batches = [ids(batcher.next_batch(now=0.0).jobs) for _ in range(3)]

    assert batches == [[0, 1, 2], [3, 4, 5], [6]]


def test_the_oldest_call_waits_for_company(batcher):
    batcher.add("g", [job(1, "patient")], now=10.0)

    assert batcher.next_batch(now=10.4) is None
    assert batcher.next_deadline() == 10.5
    assert ids(batcher.next_batch(now=10.5).jobs) == [1]


def test_a_full_batch_waits_no_longer(batcher):
    batcher.add("g", [job(1, "patient")], now=10.0)
    batcher.add("g", [job(2, "patient")], now=10.1)

    assert batcher.next_deadline() == 10.0
    assert ids(batcher.next_batch(now=10.1).jobs) == [1, 2]


def test_the_rest_of_a_full_batch_waits_from_its_own_arrival(batcher):
    for job_id, now in ((1, 10.0), (2, 10.1), (3, 10.2)):
        batcher.add("g", [job(job_id, "patient")], now=now)
    batcher.next_batch(now=10.2)

    assert batcher.next_batch(now=10.5) is None
    assert batcher.next_deadline() == 10.7


def test_the_model_whose_oldest_job_came_first_goes_first(batcher):
    batcher.add("g", [job(1, "single")], now=0.0)
    batcher.add("g", [job(2, "iris")], now=0.0)
    batcher.add("g", [job(3, "single")], now=0.0)

    batches = [batcher.next_batch(now=0.0) for _ in range(3)]

    assert [(batch.model, ids(batch.jobs)) for batch in batches] == [
        ("single", [1]),
        ("iris", [2]),
        ("single", [3]),
    ]


def test_a_model_that_waits_for_company_does_not_hold_up_another(batcher):
    batcher.add("g", [job(1, "patient")], now=0.0)
    batcher.add("g", [job(2, "iris")], now=0.1)

    assert ids(batcher.next_batch(now=0.1).jobs) == [2]
    assert batcher.next_deadline() == 0.5


@pytest.mark.parametrize("kind", [Kind.ROWS, Kind.ITEMS])
def test_a_task_of_many_rows_is_a_batch_of_its_own_and_waits_for_nobody(batcher, kind):
    batcher.add("g", [job(1, "patient", kind)], now=0.0)
    batcher.add("g", [job(2, "patient", kind)], now=0.0)

    assert ids(batcher.next_batch(now=0.0).jobs) == [1]
    assert ids(batcher.next_batch(now=0.0).jobs) == [2]


def test_calls_and_tasks_of_many_rows_keep_their_order(batcher):
    batcher.add("g", [job(1)], now=0.0)
    batcher.add("g", [job(2, kind=Kind.ROWS)], now=0.0)
    batcher.add("g", [job(3)], now=0.0)

    assert ids(batcher.next_batch(now=0.0).jobs) == [1, 3]
    assert ids(batcher.next_batch(now=0.0).jobs) == [2]


def test_two_gateways_never_share_a_batch(batcher):
    batcher.add("g1", [job(1)], now=0.0)
    batcher.add("g2", [job(1)], now=0.0)

    batches = [batcher.next_batch(now=0.0) for _ in range(2)]

    assert [(batch.gateway, ids(batch.jobs)) for batch in batches] == [("g1", [1]), ("g2", [1])]


def test_an_expired_job_is_not_started_and_takes_nobodys_place(batcher):
    batcher.add("g", [job(1, remaining_s=1.0)], now=0.0)
    for job_id in (2, 3, 4):
        batcher.add("g", [job(job_id)], now=0.0)

    batch = batcher.next_batch(now=1.0)

    assert ids(batch.expired) == [1]
    assert ids(batch.jobs) == [2, 3, 4]


def test_a_batch_may_hold_expired_jobs_only(batcher):
    batcher.add("g", [job(1, remaining_s=0.0)], now=0.0)

    batch = batcher.next_batch(now=0.0)

    assert (ids(batch.jobs), ids(batch.expired)) == ([], [1])


def test_cancel_removes_what_is_named_and_has_not_started(batcher):
    for job_id in (1, 2, 3):
        batcher.add("g", [job(job_id)], now=0.0)
    batcher.add("other", [job(2)], now=0.0)

    assert ids(batcher.cancel("g", {2, 3, 99})) == [2, 3]

    assert len(batcher) == 2
    assert ids(batcher.next_batch(now=0.0).jobs) == [1]
    assert batcher.next_batch(now=0.0).gateway == "other"


def test_what_is_cancelled_holds_up_nobody(batcher):
    batcher.add("g", [job(1, "patient")], now=0.0)
    batcher.cancel("g", {1})

    assert batcher.next_deadline() == math.inf
    assert batcher.next_batch(now=9.0) is None


def test_the_jobs_of_a_gateway_that_is_gone_are_forgotten(batcher):
    batcher.add("gone", [job(1)], now=0.0)
    batcher.add("gone", [job(2, kind=Kind.ROWS)], now=0.0)
    batcher.add("here", [job(3)], now=0.0)

    assert sorted(ids(batcher.forget_gateway("gone"))) == [1, 2]

    assert len(batcher) == 1


def test_all_jobs_come_back_by_gateway(batcher):
    batcher.add("g1", [job(1)], now=0.0)
    batcher.add("g1", [job(2, "single")], now=0.0)
    batcher.add("g2", [job(3)], now=0.0)

    returned = batcher.empty()

    assert {gateway: sorted(ids(jobs)) for gateway, jobs in returned.items()} == {
        "g1": [1, 2],
        "g2": [3],
    }
    assert batcher.empty() == {}


def test_jobs_of_models_that_it_does_not_know_come_back(batcher):
    jobs = [job(1), job(2, "rose"), job(3), job(4, "rose", kind=Kind.ROWS)]

    assert ids(batcher.add("g", jobs, now=0.0)) == [2, 4]

    assert ids(batcher.next_batch(now=0.0).jobs) == [1, 3]


def test_jobs_that_came_together_start_in_their_order_whatever_their_models(batcher):
    models = ["single", "single", "iris", "single", "iris"]
    batcher.add("g", [job(job_id, model) for job_id, model in enumerate(models)], now=0.0)

    batches = [ids(batcher.next_batch(now=0.0).jobs) for _ in range(4)]

    assert batches == [[0], [1], [2, 4], [3]]


def test_of_jobs_that_came_together_some_expire_and_the_rest_fills_the_batch(batcher):
    spans_s = [9.0, 1.0, 9.0, 1.0, 9.0, 1.0]
    jobs = [job(job_id, remaining_s=span_s) for job_id, span_s in enumerate(spans_s)]
    batcher.add("g", jobs, now=0.0)

    batch = batcher.next_batch(now=1.0)

    assert (ids(batch.jobs), ids(batch.expired)) == ([0, 2, 4], [1, 3])
    assert ids(batcher.next_batch(now=1.0).expired) == [5]


def test_a_batch_takes_from_several_messages_and_leaves_the_rest_of_one(batcher):
    batcher.add("g", [job(1), job(2)], now=0.0)
    batcher.add("g", [job(3), job(4)], now=0.1)
    batcher.next_batch(now=0.1)

    assert ids(batcher.cancel("g", {3, 4})) == [4]
    assert len(batcher) == 0


def test_what_is_cancelled_of_a_message_leaves_the_others_in_their_places(batcher):
    batcher.add("g", [job(1), job(2), job(3), job(4, "single"), job(5)], now=0.0)

    assert ids(batcher.cancel("g", {1, 3})) == [1, 3]

    batches = [ids(batcher.next_batch(now=0.0).jobs) for _ in range(2)]
    assert batches == [[2, 5], [4]]


@pytest.mark.parametrize(("kind", "rows"), [(Kind.CALL, 3), (Kind.ROWS, 7)])
def test_a_batch_counts_the_rows_of_its_jobs(batcher, kind, rows):
    jobs = [Job(job_id, 1, kind, "iris", b"", LONG_S, rows=7) for job_id in range(3)]
    batcher.add("g", jobs, now=0.0)

    assert batcher.next_batch(now=0.0).rows == rows


def test_its_repr_counts(batcher):
    batcher.add("g", [job(1)], now=0.0)
    batcher.add("g", [job(2)], now=0.0)
    batcher.add("g", [job(3, "single")], now=0.0)

    assert repr(batcher) == "<Batcher jobs=3 lines=2>"


LIMITS = {
    "at_once": BatchLimits(max_rows=3, max_wait_s=0.0),
    "patient": BatchLimits(max_rows=2, max_wait_s=2.0),
}


@dataclass
class Waiting:
    """What the model knows of one job that has not come out."""

    gateway: str
    job: Job
    arrived_at: float

    @property
    def line(self):
        return (self.job.model, self.gateway, self.job.kind is Kind.CALL)


class BatcherMachine(RuleBasedStateMachine):
    """Every job comes out once, in a batch, expired or removed, and in order within its line."""

    def __init__(self):
        super().__init__()
        self.batcher = Batcher(LIMITS)
        self.now = 0.0
        self.waiting = {}
        self.next_id = 0

    @rule(
        gateway=st.sampled_from(["g1", "g2"]),
        kinds=st.lists(
            st.tuples(
                st.sampled_from(sorted(LIMITS)),
                st.sampled_from([Kind.CALL, Kind.CALL, Kind.ROWS, Kind.ITEMS]),
                st.sampled_from([0.0, 1.0, 3.0, 300.0]),
            ),
            max_size=6,
        ),
    )
    def add(self, gateway, kinds):
        first_id = self.next_id + 1
        self.next_id += len(kinds)
        added = [job(job_id, *kind) for job_id, kind in enumerate(kinds, first_id)]
        for each in added:
            self.waiting[each.job_id] = Waiting(gateway, each, self.now)
        assert self.batcher.add(gateway, added, self.now) == []

    @rule(step_s=st.sampled_from([0.0, 0.5, 1.0, 5.0]))
    def wait(self, step_s):
        self.now += step_s

    @rule()
    def run(self):
        due_at = self.batcher.next_deadline()
        batch = self.batcher.next_batch(self.now)
        assert (batch is not None) == (due_at is not None and due_at <= self.now)
        if batch is None:
            return
        together = sorted(batch.jobs + batch.expired, key=lambda job: job.job_id)
        line = self.waiting[together[0].job_id].line
        in_line = [id_ for id_, waiting in self.waiting.items() if waiting.line == line]
        assert ids(together) == in_line[: len(together)]
        assert ids(batch.jobs) == sorted(ids(batch.jobs))
        rows = LIMITS[batch.model].max_rows if line[2] else 1
        assert len(batch.jobs) <= rows
        assert len(batch.jobs) == rows or len(together) == len(in_line)
        for popped in together:
            waiting = self.waiting.pop(popped.job_id)
            assert waiting.job is popped
            assert (batch.model, batch.gateway) == (popped.model, waiting.gateway)
            is_late = waiting.arrived_at + popped.remaining_s <= self.now
            assert is_late == (popped in batch.expired)

    @rule(gateway=st.sampled_from(["g1", "g2"]), job_ids=st.sets(st.integers(1, 30)))
    def cancel(self, gateway, job_ids):
        removed = self.batcher.cancel(gateway, job_ids)
        self.take_out(removed, lambda w: w.gateway == gateway and w.job.job_id in job_ids)

    @rule(gateway=st.sampled_from(["g1", "g2"]))
    def forget(self, gateway):
        self.take_out(self.batcher.forget_gateway(gateway), lambda w: w.gateway == gateway)

    @rule()
    def empty(self):
        returned = self.batcher.empty()
        for gateway, jobs in returned.items():
            assert {self.waiting[job.job_id].gateway for job in jobs} == {gateway}
        self.take_out([job for jobs in returned.values() for job in jobs], lambda _: True)

    def take_out(self, removed, is_meant):
        meant = {id_ for id_, waiting in self.waiting.items() if is_meant(waiting)}
        assert sorted(ids(removed)) == sorted(meant)
        for job_id in meant:
            del self.waiting[job_id]

    @invariant()
    def nothing_is_lost(self):
        assert len(self.batcher) == len(self.waiting)
        assert (self.batcher.next_deadline() == math.inf) == (not self.waiting)

    @invariant()
    def nobody_waits_longer_than_the_model_allows(self):
        waits = [
            w.arrived_at + (LIMITS[w.job.model].max_wait_s if w.line[2] else 0.0)
            for w in self.waiting.values()
        ]
        assert not waits or self.batcher.next_deadline() <= min(waits)


TestBatcherMachine = BatcherMachine.TestCase
TestBatcherMachine.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)


def test_it_is_full_while_no_line_has_room_for_what_may_come(batcher):
    assert not batcher.is_full
    batcher.add("g", [job(1, "single")], now=0.0)
    batcher.add("g", [job(2, kind=Kind.ROWS)], now=0.0)
    assert batcher.is_full
    batcher.add("g", [job(3)], now=0.0)
    assert not batcher.is_full
    batcher.add("g", [job(4)], now=0.0)
    batcher.add("g", [job(5)], now=0.0)
    assert batcher.is_full
    while batcher.next_batch(now=0.0) is not None:
        pass
    assert not batcher.is_full
