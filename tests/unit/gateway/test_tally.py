"""What is counted for each model, and how little a careless model can make of it."""

from __future__ import annotations

from gateway_world import model_info

from zeropool.gateway.tally import MAX_NAME_CHARS, MAX_NAMES, OTHER, TIME_BOUNDS_S, Tally
from zeropool.shared import jobs
from zeropool.shared.jobs import Outcome, Result
from zeropool.shared.wire import event as wire
from zeropool.shared.wire.records import NIL


def test_endless_names_of_exceptions_become_one():
    tally = Tally()
    for number in range(1000):
        tally.ended(f"Error{number}")
    assert len(tally.outcomes) == MAX_NAMES + 1
    assert tally.outcomes["Error0"] == 1
    assert tally.outcomes[OTHER] == 1000 - MAX_NAMES


def test_a_name_that_came_early_is_still_told_apart_when_there_are_too_many():
    tally = Tally()
    for number in range(1000):
        tally.ended(f"Error{number}")
        tally.ended("Error0")
    assert tally.outcomes["Error0"] == 1001


def test_zeropools_own_names_are_never_among_the_others():
    tally = Tally()
    for number in range(1000):
        tally.ended(f"Error{number}")
    tally.ended("OK")
    tally.ended("WorkerLost")
    assert tally.outcomes["OK"] == tally.outcomes["WorkerLost"] == 1


def test_a_long_name_is_cut():
    tally = Tally()
    tally.ended("E" * 10_000)
    tally.ended("E" * 20_000)
    assert tally.outcomes == {"E" * MAX_NAME_CHARS: 2}


# In the gateway


def tally_of(world):
    return world.gateway.dispatcher.queues["double"].tally


def at_most(spread, bound):
    return spread.counts[TIME_BOUNDS_S.index(bound)]


def test_the_queue_and_the_execution_are_timed_apart(world):
    world.worker_up()
    world.call("double_predict", 1)
    # Before its first result, a model's worker gets one task at a time.
    world.call("double_predict", 2, call_id="2")
    world.now = 2.0
    world.answer(busy_s=0.1)
    world.now = 2.25
    world.answer(busy_s=0.1)
    assert tally_of(world).queue_s.spread().sum == 0.0 + 2.0
    assert tally_of(world).execution_s.spread().sum == 2.0 + 0.25
    assert tally_of(world).batch_s.spread().sum == 0.1 + 0.1


def test_what_was_observed_does_not_pile_up(world):
    world.worker_up()
    for number in range(100):
        world.call("double_predict", 1, call_id=f"{number}")
        world.now += 0.02
        world.answer(busy_s=0.001)
        world.advance(world.now)
        assert len(tally_of(world).queue_s) < 10
    assert tally_of(world).queue_s.spread().total == 100


def test_a_call_over_many_rows_waits_once_and_is_executed_in_parts(world):
    world.worker_up(models=[model_info(batches=True, max_batch_size=2)])
    world.call("double_predict_batch", [1, 2, 3, 4])
    while world.held["w1"]:
        world.answer(busy_s=0.001)
    assert tally_of(world).queue_s.spread().total == 1
    assert tally_of(world).execution_s.spread().total == 2
    assert tally_of(world).batch_rows.spread().sum == 4
    assert tally_of(world).outcomes == {"OK": 1}


def test_a_repeated_call_has_waited_once(world):
    world.worker_up()
    world.call("double_predict", 1)
    world.now = 1.0
    world.lose()
    world.worker_up("w2")
    world.now = 1.5
    world.answer("w2")
    assert tally_of(world).queue_s.spread().total == 1
    assert tally_of(world).execution_s.spread().sum == 0.5


def test_a_result_that_comes_too_late_is_not_timed(world):
    world.worker_up()
    world.call("double_predict", 1, timeout_s=1.0)
    world.advance(1.5)
    world.answer()
    assert tally_of(world).execution_s.spread().total == 0
    assert tally_of(world).outcomes == {"DeadlineExceeded": 1}


def test_an_error_that_cannot_be_read_has_the_name_of_all_such_errors(world):
    world.worker_up()
    world.call("double_predict", 1)
    (job,) = world.held["w1"]
    body = wire.encode_reply(b"\xa1r", job.reply_to, wire.ERR, NIL)
    world.from_worker(
        jobs.Results("w1", "gw1", [Result(job.job_id, job.attempt, Outcome.ERROR, body)])
    )
    assert tally_of(world).outcomes == {"RemoteError": 1}


def test_a_call_over_no_rows_is_counted_too(world):
    world.worker_up()
    world.call("double_predict_batch", [])
    assert tally_of(world).outcomes == {"OK": 1}


def test_what_is_refused_at_once_is_counted_by_its_error(world):
    world.worker_up()
    world.call("no_such_method")
    world.call("double_predict_batch", 1, call_id="2")
    assert world.gateway.refused["NameError"] == 1
    assert world.gateway.refused["TypeError"] == 1
