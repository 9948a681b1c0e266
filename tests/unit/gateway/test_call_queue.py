"""Order and count of the calls that wait, and what is known of a model's pace."""

from __future__ import annotations

import math

import pytest
from gateway_world import batch, channel, model_info, pack, unary
from hypothesis import given
from hypothesis import strategies as st

from zeropool.gateway.fleet import MAX_BACKLOG_S
from zeropool.gateway.queue import MAX_IDLE_LINES, MAX_TURN_ROWS, TURN_S, CallQueue
from zeropool.shared.wire.channel import Channel
from zeropool.shared.wire.heartbeat import Pulse

ME = b"client"


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
        assert sum(len(line.calls) for line in queue._lines.values()) <= 2 * 1 + 64 + 1
    assert queue.pop() is living


def test_before_any_result_a_task_costs_all_that_a_worker_may_hold(queue):
    assert queue.cost_s(1) == MAX_BACKLOG_S
    assert queue.retry_after_s(ME, 4) == 1.0


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
    assert queue.retry_after_s(ME, 2) == pytest.approx(3.0)
    assert queue.retry_after_s(ME, 0) == pytest.approx(6.0)


def test_the_invariants_notice_a_wrong_count(queue):
    queue.waiting = 1
    with pytest.raises(RuntimeError, match="0 calls of 0 clients are in the queue"):
        queue.check_invariants()
    queue.waiting = 0


def test_what_a_refused_caller_is_told_stays_within_bounds(queue):
    queue.observe(1, 0.001)
    assert queue.retry_after_s(ME, 1) == 0.05
    queue.append(*calls(1))
    queue.observe(1, 1e5)
    assert queue.retry_after_s(ME, 1) == 30.0
    assert repr(queue).startswith("<CallQueue double waiting=1 clients=1")


def test_a_pace_that_cannot_be_is_not_learnt(queue):
    for rows, busy_s in [(0, 0.1), (-1, 0.1), (2**31, 0.1), (1, -0.1), (1, 1e6), (1, math.nan)]:
        assert not queue.observe(rows, busy_s)
    assert queue.row_s is None
    assert queue.observe(1, 0.0)


# Clients


def from_client(name, number=0, make=unary, *args):
    return make(Channel((name.encode(),), pack(number), 3, Pulse(0.0), 5.0), *args)


def client_of(call):
    return call.channel.client.decode()


@pytest.fixture
def large():
    queue = CallQueue(model_info(max_queue=1000))
    yield queue
    queue.check_invariants()


def popped(queue, count):
    return "".join(client_of(queue.pop()) for _ in range(count))


def test_clients_take_turns(large):
    for number in range(4):
        large.append(from_client("a", number))
    for number in range(2):
        large.append(from_client("b", number))
    assert popped(large, 6) == "abab" + "aa"


def test_each_clients_own_calls_stay_in_order(large):
    first, second = from_client("a", 1), from_client("a", 2)
    for call in (first, from_client("b", 1), second):
        large.append(call)
    assert [large.pop(), large.pop(), large.pop()][::2] == [first, second]


def test_who_comes_late_has_no_claim_to_what_others_had_before(large):
    for number in range(100):
        large.append(from_client("a", number))
    assert popped(large, 50) == "a" * 50
    for number in range(10):
        large.append(from_client("b", number))
    assert popped(large, 10).count("b") == 5


def test_who_was_away_has_no_claim_either(large):
    large.append(from_client("b"))
    assert large.pop()
    for number in range(60):
        large.append(from_client("a", number))
    assert popped(large, 50) == "a" * 50
    for number in range(1, 10):
        large.append(from_client("b", number))
    assert popped(large, 10).count("b") == 5


def test_a_task_of_many_rows_counts_as_many_turns(large):
    rows = from_client("a", 0, batch, list(range(40)), 10)
    large.append(rows)
    for number in range(12):
        large.append(from_client("b", number))
    call = large.pop()
    assert call is rows
    large.charge(call, call.take(1).rows)
    large.append(call)
    assert popped(large, 10) == "b" * 10
    assert "a" in popped(large, 2)


def test_a_call_that_came_back_goes_before_the_others_of_its_client(large):
    first, second = from_client("a", 1), from_client("a", 2)
    large.append(second)
    large.prepend(first)
    assert large.pop() is first


def test_in_a_full_queue_the_longest_line_gives_way_to_a_shorter_one(queue):
    calls = [from_client("a", number) for number in range(3)]
    for call in calls:
        queue.append(call)
    assert queue.has_place_for(b"b")
    assert queue.give_way(b"b") is calls[-1]
    assert not queue.has_place_for(b"a")


def test_nobody_gives_way_to_a_client_that_has_its_share(queue):
    for name in "abb":
        queue.append(from_client(name, name))
    assert not queue.has_place_for(b"a")
    assert not queue.has_place_for(b"b")


def test_what_has_begun_gives_way_to_nobody(queue):
    for number in range(3):
        call = from_client("a", number)
        call.put_back(call.take(number))
        queue.append(call)
    assert not queue.has_place_for(b"b")
    assert queue.give_way(b"b") is None


def test_the_wait_of_a_client_depends_on_its_own_line(large):
    for number in range(100):
        large.append(from_client("a", number))
    assert large.wait_s(b"a", 2) == 0.0
    large.observe(1, 1.0)
    assert large.wait_s(b"a", 2) == pytest.approx(50.0)
    assert large.wait_s(b"b", 2) == pytest.approx(0.5)


# Turns of several rows


CHEAP_S = TURN_S / 100


def come(queue, name, count=1):
    for number in range(count):
        queue.append(from_client(name, number))


def test_where_rows_are_cheap_a_turn_is_several(large):
    large.observe(100, 100 * CHEAP_S)
    for name in "ab":
        come(large, name, 12)

    assert popped(large, 24) == "a" * 8 + "b" * 8 + "a" * 4 + "b" * 4


@pytest.mark.parametrize(
    ("row_s", "rows"), [(0.0, 8), (0.0003, 3), (0.0005, 2), (0.0006, 1), (9, 1)]
)
def test_a_turn_is_as_many_rows_as_are_worth_a_millisecond_and_one_at_least(large, row_s, rows):
    large.observe(1000, 1000 * row_s)
    for name in "ab":
        come(large, name, 9)

    assert popped(large, rows + 1) == "a" * rows + "b"


def test_a_client_that_has_nothing_more_gives_up_the_rest_of_its_turn(large):
    large.observe(100, 100 * CHEAP_S)
    come(large, "a", 3)
    come(large, "b", 12)

    assert popped(large, 9) == "aaa" + "b" * 6


def test_who_has_had_less_than_a_turn_waits_for_nobodys_turn(large):
    large.observe(100, 100 * CHEAP_S)
    come(large, "polite")
    for name in "ab":
        come(large, name, 100)
    assert popped(large, 20) == "polite" + "a" * 8 + "b" * 8 + "a" * 3
    come(large, "polite")

    assert popped(large, 7) == "polite" + "a" * 5 + "b"


@pytest.mark.parametrize("others", [1, 4, 16, 64])
@pytest.mark.parametrize("names", ["same", "new"])
def test_one_that_seldom_calls_waits_for_a_turn_at_most_however_many_others_ask(others, names):
    queue = CallQueue(model_info(max_queue=100_000))
    queue.observe(100, 100 * CHEAP_S)
    for number in range(others):
        come(queue, f"other{number}", 40)
    for call in range(100):
        # Less than its share; at first, until all have had their turn.
        for _ in range(others + call % 13 if call else others * int(MAX_TURN_ROWS)):
            come(queue, client_of(queue.pop()))
        name = "polite" if names == "same" else f"polite{call}"
        come(queue, name)
        waited = 0
        while (served := client_of(queue.pop())) != name:
            come(queue, served)
            waited += 1
        assert waited <= MAX_TURN_ROWS


def test_who_comes_and_goes_gets_no_more_than_its_share(large):
    large.observe(100, 100 * CHEAP_S)
    come(large, "a", 1000)
    come(large, "quick")
    served = []
    for _ in range(400):
        served.append(popped(large, 1))
        if served[-1] == "quick":
            come(large, "quick")

    assert abs(served.count("quick") - served.count("a")) <= 2 * MAX_TURN_ROWS


def test_a_stream_of_new_clients_does_not_keep_others_from_their_turns(large):
    large.observe(100, 100 * CHEAP_S)
    come(large, "a", 100)
    come(large, "b", 100)
    popped(large, 20)
    served = ""
    for number in range(40):
        come(large, f"new{number}")
        served += popped(large, 2)

    assert served.count("a") > 10
    assert served.count("b") > 10


@given(st.lists(st.sampled_from("abc."), max_size=300), st.sampled_from([0.0, 0.0003, 1.0]))
def test_of_two_that_wait_all_the_time_neither_gets_far_ahead(steps, row_s):
    queue = CallQueue(model_info(max_queue=10_000))
    queue.observe(1000, 1000 * row_s)
    for name in "xy":
        come(queue, name, 300)
    given_to = dict.fromkeys("xyabc", 0)
    for step in steps:
        if step == ".":
            given_to[client_of(queue.pop())] += 1
            assert abs(given_to["x"] - given_to["y"]) <= MAX_TURN_ROWS
        else:
            come(queue, step)
    queue.check_invariants()


def test_clients_that_come_and_go_leave_nothing_behind(large):
    large.append(from_client("a"))
    for number in range(1000):
        call = from_client(f"c{number}")
        large.append(call)
        large.ended(call)
    assert len(large._lines) <= 2 * 1 + MAX_IDLE_LINES + 1
    for number in range(1000):
        large.append(from_client(f"d{number}"))
        assert large.pop()
    assert len(large._lines) <= 2 * 1 + MAX_IDLE_LINES + 1
    assert len(large._turns) <= len(large._lines)


def test_the_invariants_notice_a_line_that_never_gets_its_turn(large):
    large.append(from_client("a"))
    large._turns.clear()
    large._lines[b"a"].is_listed = False
    with pytest.raises(RuntimeError, match="never gets its turn"):
        large.check_invariants()
    large._lines.clear()
    large.waiting = large._active = 0


def test_the_shortest_batch_is_remembered_and_slowly_forgotten(queue):
    assert queue.shortest_s == float("inf")
    queue.observe(64, 0.004)
    queue.observe(1, 0.001)
    queue.observe(64, 0.004)
    assert 0.001 < queue.shortest_s < 0.00102
    for _ in range(500):
        queue.observe(64, 0.004)
    assert queue.shortest_s == 0.004
