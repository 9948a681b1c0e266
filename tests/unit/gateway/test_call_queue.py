"""Order and count of the calls that wait, and what is known of a model's pace."""

from __future__ import annotations

import pytest
from gateway_world import channel, model_info, unary

from zeropool.gateway.fleet import MAX_BACKLOG_S
from zeropool.gateway.queue import CallQueue


@pytest.fixture
def queue():
    queue = CallQueue(model_info(max_queue=3))
    yield queue
    queue.check_invariants()


def calls(count):
    return [unary(channel(str(n))) for n in range(count)]


def test_the_first_call_in_is_the_first_out(queue):
    first, second = calls(2)
    queue.append(first)
    queue.append(second)
    assert [queue.pop(), queue.pop(), queue.pop()] == [first, second, None]


def test_a_call_whose_task_came_back_goes_first(queue):
    first, second = calls(2)
    queue.append(first)
    queue.prepend(second)
    assert queue.pop() is second


def test_a_call_is_in_the_queue_once(queue):
    (call,) = calls(1)
    queue.append(call)
    queue.append(call)
    queue.prepend(call)
    assert queue.waiting == 1


def test_a_call_that_ends_leaves_the_count_at_once(queue):
    first, second = calls(2)
    queue.append(first)
    queue.append(second)
    first.end()
    queue.ended(first)
    assert queue.waiting == 1
    assert queue.pop() is second


def test_a_call_that_ends_elsewhere_does_not_touch_the_count(queue):
    first, second = calls(2)
    queue.append(first)
    second.end()
    queue.ended(second)
    assert queue.waiting == 1


def test_a_call_without_work_is_passed_over(queue):
    first, second = calls(2)
    queue.append(first)
    queue.append(second)
    first.take(1)
    assert queue.pop() is second
    assert queue.waiting == 0


def test_it_is_full_at_max_queue(queue):
    for call in calls(3):
        assert not queue.is_full
        queue.append(call)
    assert queue.is_full


def test_ended_calls_do_not_pile_up(queue):
    (living,) = calls(1)
    queue.append(living)
    for call in calls(10_000):
        queue.append(call)
        call.end()
        queue.ended(call)
        assert len(queue._calls) <= 2 * 1 + 64 + 1
    assert queue.pop() is living


def test_before_any_result_a_task_costs_all_that_a_worker_may_hold(queue):
    assert queue.cost_s(1) == MAX_BACKLOG_S
    assert queue.retry_after_s(4) == 1.0


def test_older_batches_fade_from_the_pace_and_each_counts_by_its_rows(queue):
    queue.observe(10, 0.010)
    assert queue.cost_s(2) == pytest.approx(0.002)
    queue.observe(1, 0.010)
    assert queue.row_s == pytest.approx((0.8 * 0.010 + 0.010) / (0.8 * 10 + 1))
    for _ in range(50):
        queue.observe(1, 0.5)
    assert queue.row_s == pytest.approx(0.5, rel=0.01)


def test_a_refused_caller_is_told_to_wait_for_what_is_ahead(queue):
    for call in calls(3):
        queue.append(call)
    queue.observe(1, 2.0)
    assert queue.retry_after_s(2) == pytest.approx(3.0)
    assert queue.retry_after_s(0) == pytest.approx(6.0)


def test_the_invariants_notice_a_wrong_count(queue):
    queue.waiting = 1
    with pytest.raises(RuntimeError, match="0 calls are in the queue"):
        queue.check_invariants()
    queue.waiting = 0


def test_what_a_refused_caller_is_told_stays_within_bounds(queue):
    queue.observe(1, 0.001)
    assert queue.retry_after_s(1) == 0.05
    queue.append(*calls(1))
    queue.observe(1, 1e6)
    assert queue.retry_after_s(1) == 30.0
    assert repr(queue).startswith("<CallQueue double waiting=1")
