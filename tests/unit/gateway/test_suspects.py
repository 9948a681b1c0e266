"""Tasks that outlived a worker run alone, and do not keep the others from working."""

from __future__ import annotations

import pytest
from gateway_world import channel, unary

from zeropool.gateway.suspects import Suspects


@pytest.fixture
def suspects():
    return Suspects()


def a_task(name="1"):
    return unary(channel(name)).take(1)


def test_a_suspect_goes_to_an_idle_worker(suspects, fleet, ready):
    ready("w1", "w2")
    fleet.get("w1").took(1, 0.001, 0.0)
    task = a_task()
    task.owner = "dead"
    suspects.add(task)
    assert [(given, to.worker_id) for given, to in suspects.placed(fleet, 0.0)] == [(task, "w2")]
    assert (task.owner, len(suspects.tasks), suspects.reserved) == ("", 0, None)


def test_one_busy_worker_is_kept_for_those_that_wait(suspects, fleet, ready):
    ready("w1", "w2")
    fleet.get("w1").took(2, 0.001, 0.0)
    fleet.get("w2").took(1, 0.001, 0.0)
    suspects.add(a_task("1"))
    suspects.add(a_task("2"))
    assert list(suspects.placed(fleet, 0.0)) == []
    assert suspects.reserved is fleet.get("w2")
    assert repr(suspects).startswith("<Suspects tasks=2 reserved=<Worker w2")


def test_a_stalled_worker_is_kept_last(suspects, fleet, ready):
    ready("w1", "w2")
    fleet.get("w1").took(1, 0.001, 0.0)
    fleet.get("w2").took(2, 0.001, 10.0)
    suspects.add(a_task())
    assert list(suspects.placed(fleet, 10.0)) == []
    assert suspects.reserved is fleet.get("w2")


def test_a_suspect_whose_call_is_over_is_forgotten(suspects, fleet, ready):
    ready("w1")
    task = a_task()
    suspects.add(task)
    task.call.end()
    assert list(suspects.placed(fleet, 0.0)) == []
    assert len(suspects.tasks) == 0


def test_without_workers_suspects_wait(suspects, fleet):
    suspects.add(a_task())
    assert list(suspects.placed(fleet, 0.0)) == []
    assert (len(suspects.tasks), suspects.reserved) == (1, None)
