"""When a worker registers: until it is welcomed, and again when it may have been forgotten."""

import pytest

from zeropool.shared.jobs import FORGOTTEN_AFTER_S
from zeropool.workers.registration import FIRST_WAIT_S, LONGEST_WAIT_S, Registration


@pytest.fixture
def registration():
    return Registration(now=10.0)


def tries(registration, count):
    """Let it register as soon as it wants to; return the waits between."""
    waits = []
    for _ in range(count):
        now = registration.next_deadline()
        assert registration.must_register(now)
        waits.append(registration.next_deadline() - now)
    return waits


def test_a_worker_registers_at_once(registration):
    assert registration.next_deadline() == 10.0
    assert registration.must_register(now=10.0)
    assert not registration.is_welcomed


def test_it_registers_again_only_after_a_wait(registration):
    registration.must_register(now=10.0)

    assert not registration.must_register(now=10.0)
    assert not registration.must_register(now=10.0 + FIRST_WAIT_S / 2)
    assert registration.must_register(now=10.0 + 2 * FIRST_WAIT_S)


def test_the_waits_grow_up_to_a_limit(registration):
    waits = tries(registration, 12)

    assert FIRST_WAIT_S <= waits[0] <= 2 * FIRST_WAIT_S
    assert all(wait <= LONGEST_WAIT_S for wait in waits)
    assert waits[2] > waits[0]
    assert min(waits[-3:]) > LONGEST_WAIT_S / 2


def test_a_welcome_ends_the_tries(registration):
    registration.must_register(now=10.0)

    assert registration.welcomed("g1", now=10.1) == ""

    assert registration.is_welcomed
    assert not registration.must_register(now=10.1 + FORGOTTEN_AFTER_S - 0.01)


def test_every_word_of_the_gateway_puts_the_next_try_off(registration):
    registration.welcomed("g1", now=10.0)

    registration.heard("g1", now=12.0)

    assert registration.next_deadline() == 12.0 + FORGOTTEN_AFTER_S


def test_it_registers_again_after_silence(registration):
    registration.welcomed("g1", now=10.0)

    assert registration.must_register(now=10.0 + FORGOTTEN_AFTER_S)


def test_a_foreign_gateways_word_does_not_count(registration):
    registration.welcomed("g1", now=10.0)

    registration.heard("g2", now=12.0)

    assert registration.next_deadline() == 10.0 + FORGOTTEN_AFTER_S


def test_a_word_without_a_name_does_not_count_before_the_welcome(registration):
    registration.heard("", now=10.0)

    assert registration.must_register(now=10.0)


def test_a_new_connection_registers_at_once_with_short_waits(registration):
    tries(registration, 8)
    now = registration.next_deadline() - 0.5

    registration.connected(now)

    assert registration.must_register(now)
    assert registration.next_deadline() - now <= 2 * FIRST_WAIT_S


def test_a_connection_that_came_up_again_registers_at_once(registration):
    registration.welcomed("g1", now=10.0)

    registration.connected(now=11.0)

    assert registration.must_register(now=11.0)
    assert registration.gateway == "g1"


def test_a_word_on_the_old_way_does_not_put_off_what_a_new_connection_is_told(registration):
    registration.must_register(now=10.0)
    registration.welcomed("g1", now=10.1)
    registration.connected(now=11.0)
    registration.heard("g1", now=11.2)
    assert registration.must_register(now=11.2)


def test_the_incarnation_that_is_replaced_is_told(registration):
    registration.welcomed("g1", now=10.0)

    assert registration.welcomed("g2", now=20.0) == "g1"

    assert registration.gateway == "g2"


def test_a_welcome_that_answers_less_than_another_is_late(registration):
    assert registration.must_register(now=10.0)
    registration.connected(now=11.0)
    assert registration.must_register(now=11.0)
    assert not registration.is_late(1)

    registration.welcomed("g2", now=12.0, serial=2)

    assert registration.is_late(1)
    assert not registration.is_late(2)


def test_a_number_that_was_made_up_makes_no_welcome_late(registration):
    assert registration.must_register(now=10.0)
    registration.welcomed("g1", now=10.0, serial=99)
    assert not registration.is_late(1)


def test_a_second_welcome_of_the_same_incarnation_replaces_none(registration):
    registration.welcomed("g1", now=10.0)

    assert registration.welcomed("g1", now=20.0) == ""


def test_a_welcome_makes_the_next_waits_short_again(registration):
    tries(registration, 8)
    registration.welcomed("g1", now=100.0)

    assert tries(registration, 1)[0] <= 2 * FIRST_WAIT_S


def test_a_gateway_answers_until_it_is_told_of_us_again(registration):
    assert not registration.is_answered

    registration.welcomed("g1", now=10.0)
    assert registration.is_answered

    registration.must_register(now=10.0 + FORGOTTEN_AFTER_S)
    assert not registration.is_answered


def test_its_repr_names_gateway_and_tries(registration):
    registration.must_register(now=10.0)
    assert repr(registration) == "<Registration gateway=None tries=1>"

    registration.welcomed("g1", now=10.0)
    assert repr(registration) == "<Registration gateway=g1 tries=0>"
