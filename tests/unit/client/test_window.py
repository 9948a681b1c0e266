"""The window of calls in flight: how many, and which result is next."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeropool.client.call import Call
from zeropool.client.window import Order, window_of


def begun(window, count):
    calls = [Call("m", b"\x90") for _ in range(count)]
    for call in calls:
        window.begin(call)
    return calls


def test_calls_begin_while_there_is_room():
    window = window_of(2, Order.INPUT)
    assert window.is_empty

    calls = begun(window, 2)

    assert [call.number for call in calls] == [0, 1]
    assert window.open == calls
    assert not window.has_room
    assert not window.is_empty


def test_results_wait_for_those_of_earlier_calls():
    window = window_of(3, Order.INPUT)
    first, second, third = begun(window, 3)

    window.end(third, "c")
    window.end(second, "b")
    assert window.take() == []
    assert window.open == [first]
    window.end(first, "a")

    assert window.take() == ["a", "b", "c"]
    assert window.is_empty


def test_or_they_do_not():
    window = window_of(3, Order.ARRIVAL)
    first, second, third = begun(window, 3)

    window.end(third, "c")
    window.end(first, "a")

    assert window.open == [second]
    assert window.take() == [(2, "c"), (0, "a")]
    assert window.take() == []


def test_a_result_that_is_not_taken_keeps_its_room():
    window = window_of(2, Order.INPUT)
    first, second = begun(window, 2)

    window.end(second, "b")
    assert not window.has_room
    window.end(first, "a")
    window.take()

    assert window.has_room
    assert [call.number for call in begun(window, 1)] == [2]


@pytest.mark.parametrize("order", Order)
def test_a_call_is_held_until_it_has_a_result(order):
    window = window_of(4, order)
    first, second = begun(window, 2)
    assert window.holds(first)

    window.end(first, "a")
    assert not window.holds(first)
    window.take()

    assert not window.holds(first)
    assert window.holds(second)


def test_a_window_holds_one_call_at_least():
    with pytest.raises(ValueError, match=r"\Aa window of 0 calls: expected 1 or more\Z"):
        window_of(0, Order.INPUT)


@given(st.integers(1, 10), st.sampled_from(Order), st.integers(0, 60), st.randoms())
def test_every_result_is_given_out_once_and_in_its_order(size, order, calls, chance):
    window = window_of(size, order)
    count, flying, arrived, taken = 0, [], [], []
    while len(taken) < calls:
        while window.has_room and count < calls:
            flying += begun(window, 1)
            count += 1
        assert count - len(taken) <= size
        assert sorted(window.open, key=flying.index) == flying
        call = flying.pop(chance.randrange(len(flying)))
        window.end(call, -call.number)
        arrived.append((call.number, -call.number))
        taken += window.take()

    assert window.is_empty
    in_order = [-number for number in range(calls)]
    assert taken == (in_order if order is Order.INPUT else arrived)
    assert [window.result_in(each) for each in taken] == [
        each if order is Order.INPUT else each[1] for each in taken
    ]
