"""Who wakes whom of the threads that wait; their locks tell who is awake."""

import pytest

from zeropool.client.awaited import Awaited
from zeropool.client.seats import Seats

NEWS = Awaited()


@pytest.fixture
def seats():
    return Seats()


def awake(*taken):
    return [not seat.lock.locked() for seat in taken]


def test_news_wakes_one_thread_and_that_one_the_next(seats):
    first, second, third = (seats.take(None) for _ in range(3))
    for seat in (first, second):
        seat.tell(NEWS)

    seats.wake()
    assert awake(first, second, third) == [True, False, False]
    seats.wake()
    assert awake(first, second, third) == [True, False, False]

    assert seats.pass_on()
    assert awake(first, second, third) == [True, True, False]
    assert not seats.pass_on()
    assert len(seats) == 1


def test_one_that_is_told_twice_is_woken_once(seats):
    seat = seats.take(None)
    seat.tell(NEWS)
    seat.tell(NEWS)

    seats.wake()

    assert awake(seat) == [True]
    assert not seats.pass_on()


def test_who_waited_for_the_same_is_told_too(seats):
    other = seats.take(None)

    seats.take(other).tell(NEWS)
    seats.wake()
    seats.pass_on()

    assert awake(other) == [True]


def test_a_seat_is_had_by_the_next_thread_once_its_own_is_awake(seats):
    other = seats.take(None)
    seat = seats.take(other)
    seat.tell(NEWS)
    seats.wake()
    seats.pass_on()
    seat.lock.acquire()
    seats.give_back(seat)

    again = seats.take(None)

    assert again is seat
    assert awake(again) == [False]
    assert again.other is None
    again.tell(NEWS)
    assert len(seats) == 0


def test_the_longest_waiting_one_is_appointed(seats):
    first, second = (seats.take(None) for _ in range(2))

    assert seats.appoint()

    assert awake(first, second) == [True, False]
    assert first.is_leader
    assert not second.is_leader


def test_one_that_has_news_is_not_appointed(seats):
    told, untold = (seats.take(None) for _ in range(2))
    told.tell(NEWS)

    seats.appoint()

    assert untold.is_leader
    assert not seats.appoint()


def test_one_that_leaves_is_not_woken(seats):
    leaving = seats.take(None)

    assert not seats.leave(leaving)
    leaving.tell(NEWS)
    seats.wake()

    assert awake(leaving) == [False]
    assert not seats.is_rising


def test_one_that_leaves_before_its_turn_breaks_no_chain(seats):
    first, leaving, last = (seats.take(None) for _ in range(3))
    for seat in (first, leaving, last):
        seat.tell(NEWS)
    seats.wake()

    assert not seats.leave(leaving)

    assert seats.pass_on()
    assert awake(first, leaving, last) == [True, False, True]


def test_one_that_leaves_as_it_is_woken_has_to_pass_it_on(seats):
    leaving = seats.take(None)
    leaving.tell(NEWS)
    seats.wake()

    assert seats.leave(leaving)


def test_one_that_leaves_as_it_is_appointed_has_nothing_to_pass_on(seats):
    leaving = seats.take(None)
    seats.appoint()

    assert not seats.leave(leaving)
    assert leaving.is_leader


# Several for the same


def chain(seats, awaited, length):
    taken = []
    for _ in range(length):
        seat = awaited.owner = seats.take(awaited.owner)
        taken.append(seat)
    return taken


@pytest.mark.parametrize("leaver", [0, 1, 2])
def test_who_waits_no_longer_for_the_same_is_in_nobodys_way(seats, leaver):
    awaited = Awaited()
    taken = chain(seats, awaited, 3)
    left = taken.pop(leaver)
    seats.leave(left)
    left.leave(awaited)

    awaited.owner.tell(awaited)

    assert len(seats) == 0
    followers = [seat.other for seat in taken]
    assert left not in [awaited.owner, *followers]
    assert followers.count(None) == 1


def test_any_number_may_wait_for_the_same(seats):
    awaited = Awaited()
    chain(seats, awaited, 5_000)

    awaited.owner.tell(awaited)

    assert len(seats) == 0
