"""When the first half of the requests that came together goes ahead."""

from __future__ import annotations

from itertools import count

from gateway_world import channel, model_info, unary

from zeropool.gateway.head_start import LEAST_CALLS, has_head_start
from zeropool.gateway.placement import PACK_S
from zeropool.gateway.queue import CallQueue

NUMBERS = count()
#: Of a row, such that twice the least number of calls is cheap.
CHEAP_S = PACK_S / 2 / LEAST_CALLS


def queue_of(waiting, name="double", row_s: float | None = CHEAP_S, **limits):
    queue = CallQueue(model_info(name, **limits))
    for _ in range(waiting):
        queue.append(unary(channel(str(next(NUMBERS)))))
    queue.row_s = row_s
    return queue


def test_cheap_calls_have_it():
    assert has_head_start([queue_of(LEAST_CALLS)])


def test_a_few_do_not_pay_for_messages_of_their_own():
    assert not has_head_start([queue_of(LEAST_CALLS - 1)])


def test_calls_of_several_models_count_together():
    assert has_head_start([queue_of(LEAST_CALLS - 1, "a"), queue_of(1, "b"), queue_of(0, "c")])


def test_what_costs_more_is_one_batch_rather_than_two():
    assert not has_head_start([queue_of(LEAST_CALLS, row_s=CHEAP_S * 1.01)])


def test_one_dear_model_is_enough():
    dear = queue_of(1, "b", row_s=PACK_S)
    assert not has_head_start([queue_of(LEAST_CALLS, "a"), dear])
    assert has_head_start([queue_of(LEAST_CALLS, "a"), queue_of(0, "b", row_s=PACK_S)])


def test_what_nobody_has_measured_may_cost_anything():
    assert not has_head_start([queue_of(LEAST_CALLS, row_s=None)])


def test_what_is_more_than_a_batch_is_parted_anyway():
    assert has_head_start([queue_of(LEAST_CALLS, max_batch_size=2 * LEAST_CALLS)])
    assert not has_head_start([queue_of(LEAST_CALLS, max_batch_size=2 * LEAST_CALLS - 1)])
