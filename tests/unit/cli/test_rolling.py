"""In which order the workers are replaced, and what failures and second thoughts mean."""

import pytest

from zeropool.cli.rolling import Roll

PLACES = ["worker-0", "worker-1", "worker-2"]


@pytest.fixture
def roll():
    begun = Roll()
    begun.begin(PLACES)
    return begun


def start(roll, now=0.0):
    """Start the next successor, with a minute to become ready; return its place."""
    place = roll.next_place()
    roll.started(ready_by=now + 60.0)
    return place


def replace(roll):
    """Take one step to its good end; return whether it was the last."""
    start(roll)
    roll.ready()
    return roll.ended()


def test_nothing_is_rolled_unasked():
    roll = Roll()

    assert not roll.is_active
    assert roll.next_place() is None
    assert not roll.is_overdue(now=1e9)


def test_the_places_are_rolled_one_after_the_other(roll):
    seen = []
    while roll.is_active:
        seen.append(roll.next_place())
        is_last = replace(roll)

    assert seen == PLACES
    assert is_last


def test_the_next_successor_waits_until_the_predecessor_has_gone(roll):
    start(roll)
    assert roll.next_place() is None
    roll.ready()
    assert roll.next_place() is None

    assert not roll.ended()

    assert roll.next_place() == "worker-1"


def test_a_successor_is_overdue_when_its_time_has_passed(roll):
    start(roll, now=100.0)

    assert roll.next_deadline() == 160.0
    assert not roll.is_overdue(now=159.9)
    assert roll.is_overdue(now=160.0)


def test_one_that_is_ready_is_never_overdue_however_long_the_other_drains(roll):
    start(roll)
    roll.ready()

    assert not roll.is_overdue(now=1e9)


def test_a_failure_stops_the_roll(roll):
    replace(roll)
    start(roll)

    assert not roll.failed()

    assert not roll.is_active
    assert roll.next_place() is None
    assert not roll.is_overdue(now=1e9)


def test_a_second_reload_rolls_all_of_them_after_the_step_under_way(roll):
    replace(roll)
    start(roll)

    roll.begin(PLACES)

    assert roll.next_place() is None
    roll.ready()
    assert not roll.ended()
    assert [start_and_end(roll) for _ in PLACES] == PLACES
    assert not roll.is_active


def start_and_end(roll):
    place = roll.next_place()
    replace(roll)
    return place


def test_a_failure_of_the_old_configuration_does_not_stop_a_newer_one(roll):
    start(roll)
    roll.begin(PLACES)

    assert roll.failed()

    assert roll.next_place() == "worker-0"


def test_the_newer_one_may_fail_as_well(roll):
    start(roll)
    roll.begin(PLACES)
    roll.failed()
    start(roll)

    assert not roll.failed()


def test_a_reload_between_two_steps_excuses_no_failure(roll):
    replace(roll)
    roll.begin(PLACES)
    start(roll)

    assert not roll.failed()


def test_a_place_that_comes_late_takes_part(roll):
    roll.add("worker-3")

    assert [start_and_end(roll) for _ in range(4)] == [*PLACES, "worker-3"]


def test_a_place_that_is_no_more_is_left_out(roll):
    assert not roll.forget("worker-2")

    assert [start_and_end(roll) for _ in range(2)] == PLACES[:2]
    assert not roll.is_active


def test_the_roll_goes_on_when_the_place_under_way_is_no_more(roll):
    start(roll)

    assert not roll.forget("worker-0")

    assert roll.next_place() == "worker-1"
    assert not roll.is_overdue(now=1e9)


def test_it_is_over_when_the_last_place_is_no_more(roll):
    replace(roll)
    replace(roll)
    start(roll)

    assert roll.forget("worker-2")


def test_a_place_of_no_roll_ends_none():
    assert not Roll().forget("worker-0")


def test_its_repr_counts(roll):
    start(roll)

    assert repr(roll) == "<Roll at=worker-0 waiting=2>"
