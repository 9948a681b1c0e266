"""How a call becomes a task, and its result a reply."""

from __future__ import annotations

import sys

from gateway_world import (
    batch,
    order,
    pack,
    sent,
    take_all,
    unary,
    unpack,
)

from zeropool.gateway.calls import Unary
from zeropool.shared.errors import WorkerLost
from zeropool.shared.jobs import Kind, Outcome, Result
from zeropool.shared.wire import event as wire

#: A name of the test's own, and the argument of `getrefcount`.
REFERENCES_OF_A_TEST = 2


def test_a_unary_call_is_one_task_with_the_callers_own_bytes(channel):
    call = unary(channel, ("any", {"x": 1}))
    (task,) = take_all(call)
    assert (task.kind, unpack(task.args), task.rows) == (Kind.CALL, ["any", {"x": 1}], 1)


def test_a_unary_calls_result_is_passed_on_as_it_is(session, channel):
    call = unary(channel)
    task = call.take(1)
    reply = wire.encode_ok(b"\xa1r", channel.channel_id, pack(2))
    call.answered(task, Result(1, 1, Outcome.OK, reply), session, 1.0)
    assert session.take_outgoing() == [((b"client",), reply)]
    assert call.is_over
    assert call.error_name == ""


def test_a_task_that_comes_back_keeps_its_id(channel):
    call = unary(channel)
    task = call.take(5)
    call.put_back(task)
    assert call.take(6) is task
    assert task.job_id == 5


def test_tasks_that_come_back_are_the_next_to_be_taken(channel):
    call = batch(channel, [1, 2, 3, 4, 5, 6])
    first, second = call.take(1), call.take(2)
    call.put_back(second)
    call.put_back(first)
    assert [task.first_index for task in take_all(call)] == [0, 2, 4]


def test_a_call_that_is_over_has_no_work(session, channel):
    call = unary(channel)
    task = call.take(1)
    call.fail(WorkerLost("gone"), session)
    call.put_back(task)
    assert not call.has_work
    call.answered(task, Result(1, 1, Outcome.OK, b"late"), session, 1.0)
    assert sent(session) == [("ERR", ["WorkerLost", "gone", "WorkerLost: gone"])]
    assert repr(call) == "<Unary double flying=0 returned=0 over=True>"


def test_an_ended_call_holds_no_arguments_though_it_is_referred_to(channel):
    wanted = order(channel, ("x" * 1000,))
    args = wanted.packed
    call = Unary(wanted)
    del wanted
    held = sys.getrefcount(args)

    call.end()

    # The one reference that went was the call's: the heap of deadlines keeps ended calls a while.
    assert sys.getrefcount(args) == held - 1
    assert sys.getrefcount(args) == REFERENCES_OF_A_TEST


def test_a_grant_means_nothing_to_a_unary_call(session, channel, grant):
    call = unary(channel, limit_s=10.0)
    grant(call, 100, now=9.0)
    assert call.deadline_at == 10.0


def test_the_callers_time_shortens_the_models_limit(channel):
    assert unary(channel, limit_s=10.0, due_at=5.0).deadline_at == 5.0


def test_the_callers_time_never_lengthens_the_models_limit(channel):
    assert unary(channel, limit_s=10.0, due_at=50.0).deadline_at == 10.0


def test_a_unary_calls_reply_may_be_too_large(session, channel):
    call = unary(channel, max_reply_bytes=3)
    task = call.take(1)
    call.answered(task, Result(1, 1, Outcome.OK, b"four"), session, 1.0)
    message = "reply exceeds max_reply_bytes 3"
    assert sent(session) == [("ERR", ["PayloadTooLarge", message, f"PayloadTooLarge: {message}"])]
