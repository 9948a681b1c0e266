"""When a worker can take one more task."""

from __future__ import annotations

import pytest
from gateway_world import worker
from hypothesis import given
from hypothesis import strategies as st

from zeropool.gateway.fleet import MAX_AHEAD, MAX_BACKLOG_S, STALLED_AFTER_S, WorkerState


def test_an_idle_worker_can_always_take_a_task():
    assert worker(credit=0).can_take(1e9)


@pytest.mark.parametrize("state", [WorkerState.CONNECTING, WorkerState.DRAINING])
def test_a_worker_that_is_not_ready_takes_nothing(state):
    assert not worker(state=state).can_take(0.0)


def test_a_worker_takes_work_ahead_until_its_credit_is_used():
    busy = worker(credit=2)
    busy.took(1, 0.001, 0.0)
    assert busy.can_take(0.0)
    busy.took(1, 0.001, 0.0)
    assert not busy.can_take(0.0)


def test_a_worker_takes_work_ahead_until_it_is_busy_for_long_enough():
    busy = worker()
    busy.took(1, MAX_BACKLOG_S * 0.9, 0.0)
    assert busy.can_take(0.0)
    busy.took(1, MAX_BACKLOG_S * 0.2, 0.0)
    assert not busy.can_take(0.0)


def test_a_stalled_worker_takes_nothing_until_something_comes_from_it():
    busy = worker()
    busy.took(1, 0.001, 1.0)
    busy.took(1, 0.001, 1.0)
    assert not busy.can_take(1.0 + STALLED_AFTER_S)
    busy.gave(1, 0.001, 1.06)
    assert busy.can_take(1.06)


def test_work_that_comes_to_an_idle_worker_starts_its_time_anew():
    busy = worker()
    busy.took(1, 0.001, 5.0)
    assert busy.can_take(5.01)


def test_an_idle_worker_has_no_backlog_left_from_rounding():
    busy = worker()
    busy.took(1, 0.1, 0.0)
    busy.took(1, 0.2, 0.0)
    busy.gave(1, 0.2, 0.0)
    busy.gave(1, 0.1, 0.0)
    assert busy.backlog_s == 0.0


def test_only_ready_workers_hold_a_model(fleet):
    fleet.add(worker("w1"))
    fleet.add(worker("w2", state=WorkerState.DRAINING))
    fleet.add(worker("w3", models=("other",)))
    assert [each.worker_id for each in fleet.holding("double")] == ["w1"]
    assert repr(fleet) == "<Fleet connecting=0 ready=2 draining=1>"


def test_a_worker_that_is_gone_is_not_known(fleet):
    fleet.add(worker("w1"))
    assert fleet.remove("w1").worker_id == "w1"
    assert fleet.remove("w1") is None
    assert fleet.get("w1") is None
    assert len(fleet) == 0


def test_its_repr_says_how_it_is_getting_on():
    assert repr(worker()) == "<Worker w1 ready pid=7 held_rows=0 answered_rows=0>"


def test_what_comes_in_order_is_seen_up_to_the_last():
    sender = worker()
    assert [sender.sees(number) for number in (1, 2, 3)] == [True, True, True]
    assert sender.seen == 3


def test_what_is_missing_is_not_passed_over():
    sender = worker()
    assert all(sender.sees(number) for number in (1, 3, 4))
    assert sender.seen == 1
    assert sender.sees(2)
    assert sender.seen == 4


def test_what_comes_again_is_known():
    sender = worker()
    for number in (1, 3):
        sender.sees(number)
    assert [sender.sees(number) for number in (1, 3)] == [False, False]


def test_what_has_no_number_is_always_new():
    sender = worker()
    assert all(sender.sees(0) for _ in range(2))
    assert sender.seen == 0


def test_numbers_that_are_made_up_take_no_memory():
    sender = worker()
    for number in range(2, 2 * MAX_AHEAD):
        sender.sees(number)
    assert len(sender.ahead) == MAX_AHEAD


@given(st.permutations(range(1, 9)), st.lists(st.integers(1, 8)))
def test_in_whatever_order_they_come_each_is_new_once(numbers, again):
    sender = worker()
    assert all(sender.sees(number) for number in numbers)
    assert not any(sender.sees(number) for number in again)
    assert (sender.seen, sender.ahead) == (8, set())


def test_of_a_worker_that_is_not_there_nothing_was_seen(fleet, ready):
    ready("w1")
    fleet.get("w1").sees(1)
    assert (fleet.seen_of("w1"), fleet.seen_of("w2")) == (1, 0)
