"""When a worker can take one more task."""

from __future__ import annotations

import pytest
from gateway_world import worker

from zeropool.gateway.fleet import MAX_BACKLOG_S, STALLED_AFTER_S, WorkerState


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
