"""Spent workers go one at a time for each model, and wait for the last one's successor."""

from __future__ import annotations

import math

import pytest
from gateway_world import worker

from zeropool.gateway.fleet import WorkerState
from zeropool.gateway.retirement import REPLACED_WITHIN_S, Retirement


@pytest.fixture
def retirement(fleet):
    return Retirement(fleet)


@pytest.fixture
def ask(fleet, retirement):
    def ask(*names):
        for name in names:
            retirement.asks(fleet.get(name))

    return ask


@pytest.fixture
def leave(fleet, retirement):
    def leave(name, now=0.0):
        retirement.left(fleet.remove(name), now)

    return leave


@pytest.fixture
def leavers(retirement):
    def leavers(now=0.0):
        return [each.worker_id for each in retirement.take_leavers(now)]

    return leavers


def test_nobody_goes_who_did_not_ask(ready, leavers):
    ready("w1", "w2")
    assert leavers() == []


def test_a_worker_that_asks_goes_and_takes_nothing_new(fleet, ready, ask, leavers):
    ready("w1", "w2")
    ask("w1")
    assert leavers() == ["w1"]
    assert fleet.get("w1").state is WorkerState.DRAINING


def test_a_worker_that_is_alone_goes_at_once(ready, ask, leavers):
    ready("w1")
    ask("w1")
    assert leavers() == ["w1"]


def test_who_asks_twice_goes_once(ready, ask, leavers):
    ready("w1", "w2")
    ask("w1", "w1")
    assert leavers() == ["w1"]
    ask("w1")
    assert leavers() == []


def test_of_several_one_goes_at_a_time_in_the_order_of_asking(ready, ask, leave, leavers):
    ready("w1", "w2", "w3")
    ask("w2", "w1", "w3")
    assert leavers() == ["w2"]
    assert leavers() == []
    leave("w2")
    assert leavers() == []
    ready("w4")
    assert leavers() == ["w1"]


def test_nobody_goes_while_another_drains_for_reasons_of_its_own(fleet, ready, ask, leave, leavers):
    ready("w1", "w2")
    fleet.get("w1").state = WorkerState.DRAINING
    ask("w2")
    assert leavers() == []


def test_a_successor_that_is_still_connecting_does_not_count(fleet, ready, ask, leave, leavers):
    ready("w1", "w2")
    ask("w1", "w2")
    leavers()
    leave("w1")
    fleet.add(worker("w3", state=WorkerState.CONNECTING))
    assert leavers() == []
    fleet.get("w3").state = WorkerState.READY
    assert leavers() == ["w2"]


def test_a_successor_that_does_not_come_is_not_waited_for_for_ever(
    retirement, ready, ask, leave, leavers
):
    ready("w1", "w2")
    ask("w1", "w2")
    leavers()
    leave("w1", now=10.0)
    assert retirement.next_deadline() == 10.0 + REPLACED_WITHIN_S
    assert leavers(now=9.9 + REPLACED_WITHIN_S) == []
    assert leavers(now=10.0 + REPLACED_WITHIN_S) == ["w2"]
    assert retirement.next_deadline() == math.inf


def test_nobody_goes_just_after_others_died(ready, ask, leave, leavers):
    ready("w1", "w2", "w3", "w4")
    leave("w1")
    leave("w2")
    ask("w3")
    ready("w5")
    assert leavers() == []
    ready("w6")
    assert leavers() == ["w3"]


def test_what_another_model_lacks_keeps_nobody(ready, ask, leave, leavers):
    ready("w1", "w2", models=("double",))
    ready("w3", "w4", models=("iris",))
    leave("w1")
    ask("w3")
    assert leavers() == ["w3"]
    ask("w2")
    assert leavers() == []


def test_a_worker_with_two_models_waits_for_both(ready, ask, leave, leavers):
    ready("w1", models=("double", "iris"))
    ready("w2", models=("iris",))
    leave("w2")
    ask("w1")
    assert leavers() == []
    ready("w3", models=("iris",))
    assert leavers() == ["w1"]


def test_a_worker_that_was_never_connected_leaves_no_gap(fleet, ready, ask, leave, leavers):
    fleet.add(worker("w1", state=WorkerState.CONNECTING))
    ready("w2")
    leave("w1")
    ask("w2")
    assert leavers() == ["w2"]


def test_who_died_after_asking_is_forgotten(ready, ask, leave, leavers, retirement):
    ready("w1", "w2")
    ask("w1")
    leave("w1")
    ready("w3")
    assert leavers() == []
    assert repr(retirement) == "<Retirement asked=0 vacancies=0>"


def test_without_anybody_who_asks_there_is_nothing_to_wait_for(retirement, ready, leave):
    ready("w1")
    leave("w1")
    assert retirement.next_deadline() == math.inf


def test_nobody_goes_once_the_gateway_drains(retirement, ready, ask, leavers):
    ready("w1", "w2")
    ask("w1")
    retirement.end()
    ask("w2")
    assert leavers() == []
