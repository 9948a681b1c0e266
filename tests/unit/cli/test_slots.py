"""When a child process that died starts again."""

import pytest

from zeropool.cli.slots import FIRST_WAIT_S, HEALTHY_AFTER_S, LONGEST_WAIT_S, Slots


@pytest.fixture
def slots():
    return Slots(["gateway", "worker-0"], now=10.0)


def names(due):
    return [slot.name for slot in due]


def die_at_once(slots, times, now=100.0):
    """Start and lose a process so many times; return the waits and the time of the last death."""
    waits = []
    for _ in range(times):
        slots["worker-0"].started(now)
        waits.append(slots["worker-0"].died(now))
        now += waits[-1]
    return waits, now - waits[-1]


def test_all_start_at_once_in_their_order(slots):
    assert names(slots.due(now=10.0)) == ["gateway", "worker-0"]
    assert slots.next_deadline() == 10.0


def test_none_starts_before_its_time(slots):
    assert slots.due(now=9.9) == []


def test_what_runs_is_not_due(slots):
    slots["gateway"].started(now=10.0)

    assert names(slots.due(now=10.0)) == ["worker-0"]


def test_nothing_is_to_be_done_while_all_run(slots):
    for slot in slots.due(now=10.0):
        slot.started(now=10.0)

    assert slots.due(now=1e9) == []
    assert slots.next_deadline() is None


def test_one_that_died_is_due_after_its_wait(slots):
    for slot in slots.due(now=10.0):
        slot.started(now=10.0)

    wait_s = slots["worker-0"].died(now=12.0)

    assert slots.next_deadline() == 12.0 + wait_s
    assert slots.due(now=12.0) == []
    assert names(slots.due(now=12.0 + wait_s)) == ["worker-0"]
    assert slots["worker-0"].deaths == 1


def test_the_waits_grow_up_to_a_limit(slots):
    waits, _ = die_at_once(slots, 12)

    assert FIRST_WAIT_S <= waits[0] <= 2 * FIRST_WAIT_S
    assert waits[3] > waits[0]
    assert all(wait <= LONGEST_WAIT_S for wait in waits)
    assert waits[-1] > LONGEST_WAIT_S / 2


def test_one_that_lived_long_enough_starts_soon_again(slots):
    _, now = die_at_once(slots, 8)
    slots["worker-0"].started(now)

    assert slots["worker-0"].died(now + HEALTHY_AFTER_S) <= 2 * FIRST_WAIT_S


def test_one_that_lived_almost_long_enough_waits_on(slots):
    _, now = die_at_once(slots, 8)
    slots["worker-0"].started(now)

    assert slots["worker-0"].died(now + HEALTHY_AFTER_S - 0.1) > 2 * FIRST_WAIT_S


def test_one_that_became_ready_starts_soon_again(slots):
    _, now = die_at_once(slots, 8)
    slots["worker-0"].started(now)
    slots["worker-0"].ready()

    assert slots["worker-0"].died(now + 0.1) <= 2 * FIRST_WAIT_S


def test_a_death_does_not_slow_the_others_down(slots):
    _, now = die_at_once(slots, 8)
    slots["gateway"].started(now)

    assert slots["gateway"].died(now) <= 2 * FIRST_WAIT_S


# Recycling


def test_one_that_was_recycled_is_due_at_once(slots):
    slots["worker-0"].started(now=10.0)

    assert slots["worker-0"].recycled(now=10.0 + HEALTHY_AFTER_S) == 0.0

    assert "worker-0" in names(slots.due(now=10.0 + HEALTHY_AFTER_S))
    assert slots["worker-0"].deaths == 0


def test_one_that_is_recycled_again_and_again_within_seconds_waits_longer(slots):
    waits, now = [], 100.0
    for _ in range(8):
        slots["worker-0"].started(now)
        slots["worker-0"].ready()
        waits.append(slots["worker-0"].recycled(now + 1.0))
        now += 1.0 + waits[-1]

    assert waits[0] <= 2 * FIRST_WAIT_S
    assert waits[-1] > LONGEST_WAIT_S / 2
    slots["worker-0"].started(now)
    assert slots["worker-0"].recycled(now + HEALTHY_AFTER_S) == 0.0


# Places that come and go


def test_a_place_that_comes_is_due_at_once(slots):
    slots.add("worker-1", now=20.0)

    assert names(slots.due(now=20.0))[-1] == "worker-1"


def test_a_place_that_is_no_more_is_never_due(slots):
    slots.remove("worker-0")

    assert names(slots.due(now=1e9)) == ["gateway"]


def test_its_repr_counts(slots):
    slots["gateway"].started(now=10.0)

    assert repr(slots) == "<Slots running=1 of=2>"
