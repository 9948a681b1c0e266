"""Ownership and attempts: whose result ends a task."""

from __future__ import annotations

import pytest
from gateway_world import unary

from zeropool.gateway.calls import Task
from zeropool.gateway.ledger import Ledger, Stale
from zeropool.shared.jobs import Kind, Outcome, Result, RowError


@pytest.fixture
def task():
    return Task(7, unary(), Kind.CALL, b"\x91\x01")


def answer(attempt):
    return Result(7, attempt, Outcome.OK, b"\x01")


def test_the_owners_result_for_the_present_attempt_ends_a_task(ledger, task):
    ledger.sent(task, "w1")
    assert ledger.settle(answer(1), "w1") is task
    assert len(ledger) == 0


def test_a_second_result_is_stale(ledger, task):
    ledger.sent(task, "w1")
    ledger.settle(answer(1), "w1")
    assert ledger.settle(answer(1), "w1") is None
    assert ledger.stale == {Stale.UNKNOWN_JOB: 1}


def test_a_result_from_another_worker_is_stale(ledger, task):
    ledger.sent(task, "w1")
    assert ledger.settle(answer(1), "w2") is None
    assert ledger.stale == {Stale.WRONG_OWNER: 1}
    assert ledger.owned_by("w1") == 1


def test_whose_the_job_is_comes_before_the_form_of_the_result(ledger, task):
    ledger.sent(task, "w1")
    assert ledger.settle(Result(7, 1, Outcome.OK), "w2") is None
    assert ledger.stale == {Stale.WRONG_OWNER: 1}


def test_a_result_of_an_earlier_attempt_is_stale_even_from_its_owner(ledger, task):
    ledger.sent(task, "w1")
    ledger.owner_lost("w1")
    ledger.sent(task, "w1")
    assert ledger.settle(answer(1), "w1") is None
    assert ledger.stale == {Stale.WRONG_ATTEMPT: 1}
    assert ledger.settle(answer(2), "w1") is task


def test_a_lost_owners_tasks_come_back_in_the_order_in_which_they_were_sent(ledger):
    tasks = [Task(job_id, unary(), Kind.CALL, b"\x90") for job_id in (3, 1, 2)]
    for task in tasks:
        ledger.sent(task, "w1")
    assert ledger.owner_lost("w1") == tasks
    assert ledger.owner_lost("w1") == []


def test_only_the_lost_owners_tasks_come_back(ledger, task):
    other = Task(8, unary(), Kind.CALL, b"\x90")
    ledger.sent(task, "w1")
    ledger.sent(other, "w2")
    assert ledger.owner_lost("w1") == [task]
    assert repr(ledger) == "<Ledger tasks=1 owners=1 stale=0>"


@pytest.mark.parametrize(
    ("kind", "result"),
    [
        (Kind.CALL, Result(7, 1, Outcome.OK)),
        (Kind.CALL, Result(7, 1, Outcome.ERROR, items=(b"\x01",))),
        (Kind.ITEMS, Result(7, 1, Outcome.OK, items=(b"\x01",))),
        (Kind.ITEMS, Result(7, 1, Outcome.OK, b"\x01\x02")),
        (Kind.ROWS, Result(7, 1, Outcome.OK, items=(b"\x01", b"\x02"))),
        (Kind.ROWS, Result(7, 1, Outcome.OK, b"\xc0\xc0", (), (RowError(2, "E", ""),))),
        (Kind.ROWS, Result(7, 1, Outcome.OK, b"\xc0\xc0", (), (RowError(-1, "E", ""),))),
    ],
)
def test_a_result_that_does_not_have_the_form_of_its_job_is_counted(ledger, kind, result):
    ledger.sent(Task(7, unary(), kind, b"\x92\x01\x02", rows=2), "w1")
    assert ledger.settle(result, "w1") is None
    assert ledger.stale == {Stale.WRONG_FORM: 1}
    assert ledger.owned_by("w1") == 1


@pytest.mark.parametrize(
    ("kind", "result"),
    [
        (Kind.CALL, Result(7, 1, Outcome.OK, b"\x01")),
        (Kind.ITEMS, Result(7, 1, Outcome.OK, items=(b"\x01", b"\x02"))),
        (Kind.ROWS, Result(7, 1, Outcome.OK, b"\x01\xc0", (), (RowError(1, "E", ""),))),
        (Kind.ROWS, Result(7, 1, Outcome.RETURNED)),
    ],
)
def test_a_result_in_the_right_form_ends_its_job(ledger, kind, result):
    ledger.sent(Task(7, unary(), kind, b"\x92\x01\x02", rows=2), "w1")
    assert ledger.settle(result, "w1") is not None
    assert not ledger.stale
    assert len(ledger) == 0


def test_the_invariants_notice_a_task_under_a_wrong_name(task):
    ledger = Ledger()
    ledger.sent(task, "w1")
    task.owner = "w2"
    with pytest.raises(RuntimeError, match=r"w1 has \[\('w2', 7\)\]"):
        ledger.check_invariants()


def test_the_invariants_notice_a_task_that_was_not_counted(task):
    ledger = Ledger()
    ledger.sent(task, "w1")
    del ledger._by_owner["w1"]
    with pytest.raises(RuntimeError, match=r"its owners have \[\]"):
        ledger.check_invariants()
