"""The window of calls in flight: how many, and which result is next."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeropool.client.window import Order, Window


def begun(window, calls):
    return [window.begin() for _ in range(calls)]


def test_calls_begin_while_there_is_room():
    window = Window(2, Order.INPUT)
    assert window.is_empty

    assert begun(window, 2) == [0, 1]

    assert not window.has_room
    assert not window.is_empty


def test_results_wait_for_those_of_earlier_calls():
    window = Window(3, Order.INPUT)
    begun(window, 3)

    window.end(2, "c")
    window.end(1, "b")
    assert window.take() == []
    window.end(0, "a")

    assert window.take() == [(0, "a"), (1, "b"), (2, "c")]
    assert window.is_empty


def test_or_they_do_not():
    window = Window(3, Order.ARRIVAL)
    begun(window, 3)

    window.end(2, "c")
    window.end(0, "a")

    assert window.take() == [(2, "c"), (0, "a")]
    assert window.take() == []


def test_a_result_that_is_not_taken_keeps_its_room():
    window = Window(2, Order.INPUT)
    begun(window, 2)

    window.end(1, "b")
    assert not window.has_room
    window.end(0, "a")
    window.take()

    assert window.has_room
    assert window.begin() == 2


def test_a_window_holds_one_call_at_least():
    with pytest.raises(ValueError, match=r"\Aa window of 0 calls: expected 1 or more\Z"):
        Window(0, Order.INPUT)


@given(st.integers(1, 10), st.sampled_from(Order), st.integers(0, 60), st.randoms())
def test_every_result_is_given_out_once_and_in_its_order(size, order, calls, chance):
    window = Window(size, order)
    begun, flying, arrived, taken = 0, [], [], []
    while len(taken) < calls:
        while window.has_room and begun < calls:
            flying.append(window.begin())
            begun += 1
        assert begun - len(taken) <= size
        number = flying.pop(chance.randrange(len(flying)))
        window.end(number, -number)
        arrived.append(number)
        taken += window.take()

    assert window.is_empty
    assert taken == [(number, -number) for number, _ in taken]
    expected = list(range(calls)) if order is Order.INPUT else arrived
    assert [number for number, _ in taken] == expected
