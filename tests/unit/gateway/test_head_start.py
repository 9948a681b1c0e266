"""When the first half of the requests that came together goes ahead."""

from __future__ import annotations

from itertools import count, pairwise

import pytest
from gateway_world import batch, channel, model_info, unary, worker

from zeropool.gateway.head_start import LEAST_CALLS, MOST_WHOLE, Habit, has_head_start
from zeropool.gateway.placement import PACK_S
from zeropool.gateway.queue import CallQueue

NUMBERS = count()
#: Of a row, such that twice the least number of calls is cheap.
CHEAP_S = PACK_S / 2 / LEAST_CALLS
BLOCK = 2 * LEAST_CALLS


def queue_of(waiting, row_s: float | None = CHEAP_S, **limits):
    queue = CallQueue(model_info(**limits))
    for _ in range(waiting):
        queue.append(unary(channel(str(next(NUMBERS)))))
    queue.row_s = row_s
    queue.shortest_s = CHEAP_S
    return queue


def busy_worker():
    busy = worker("w2")
    busy.took(1, 0.001, 0.0)
    return busy


def test_cheap_calls_have_it():
    assert has_head_start(queue_of(LEAST_CALLS), [worker()])


def test_a_few_do_not_pay_for_messages_of_their_own():
    assert not has_head_start(queue_of(LEAST_CALLS - 1), [worker()])


def test_without_an_idle_pool_there_is_no_hurry():
    assert not has_head_start(queue_of(LEAST_CALLS), [])
    assert not has_head_start(queue_of(LEAST_CALLS), [worker(), busy_worker()])


def test_what_costs_more_is_one_batch_rather_than_two():
    assert not has_head_start(queue_of(LEAST_CALLS, row_s=CHEAP_S * 1.01), [worker()])


def test_what_nobody_has_measured_may_cost_anything():
    assert not has_head_start(queue_of(LEAST_CALLS, row_s=None), [worker()])


def test_where_no_batch_is_short_two_cost_twice_as_much_however_cheap_a_row_is():
    queue = queue_of(LEAST_CALLS)
    queue.shortest_s = PACK_S * 1.01
    assert not has_head_start(queue, [worker()])


def test_what_is_more_than_a_batch_is_parted_anyway():
    assert has_head_start(queue_of(LEAST_CALLS, max_batch_size=BLOCK), [worker()])
    assert not has_head_start(queue_of(LEAST_CALLS, max_batch_size=BLOCK - 1), [worker()])


def test_what_waits_for_company_is_left_together():
    assert not has_head_start(queue_of(LEAST_CALLS, max_wait_s=0.001), [worker()])


def test_calls_over_rows_are_batches_of_their_own():
    queue = queue_of(LEAST_CALLS)
    queue.append(batch(channel("rows"), [1, 2]))
    assert not has_head_start(queue, [worker()])


# Whose blocks stay apart


@pytest.fixture
def habit():
    return Habit()


def wanted(habit, *blocks):
    """Whether each of the blocks is to be parted; those that are, are."""
    found = []
    for requests in blocks:
        found.append(habit.wants_parting(requests))
        if found[-1]:
            habit.parted(requests)
    return found


def test_a_block_is_parted_from_twice_the_smallest_half_on(habit):
    assert wanted(habit, BLOCK - 1, BLOCK) == [False, True]


def test_blocks_that_stay_apart_are_parted_again_whenever_they_meet(habit):
    half = BLOCK // 2
    assert wanted(habit, BLOCK, half, half, BLOCK, half, BLOCK) == [
        *(True, False, False),
        *(True, False, True),
    ]


def test_a_client_that_comes_back_whole_is_parted_less_and_less_often(habit):
    found = wanted(habit, *[BLOCK] * 500)

    parted = [at for at, is_parted in enumerate(found) if is_parted]
    assert parted[:5] == [0, 2, 6, 14, 30]
    waits = [later - at for at, later in pairwise(parted)]
    assert max(waits) == MOST_WHOLE + 1
    assert repr(habit).startswith("<Habit parted=0 whole_left=")


def test_one_that_stays_apart_for_once_is_trusted_again(habit):
    wanted(habit, *[BLOCK] * 7)
    assert wanted(habit, BLOCK // 2, BLOCK, BLOCK // 2, BLOCK) == [False, True, False, True]


def test_a_block_that_was_not_parted_teaches_nothing(habit):
    assert [habit.wants_parting(BLOCK) for _ in range(3)] == [True, True, True]
