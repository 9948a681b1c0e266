"""Who may connect, and who is shut down for a message that does not end."""

from __future__ import annotations

import pytest

from zeropool.gateway.connections import (
    DESCRIPTORS_PER_WORKER,
    EMERGENCY_BYTES,
    KERNEL_BYTES,
    MIB,
    MOST_CONNECTIONS,
    Connections,
    Offence,
    most_connections,
    origin_of,
)

LIMIT = 64 * MIB
#: Of one connection, with what the kernel holds.
MOST_UNFINISHED = LIMIT + KERNEL_BYTES


def connections(**limits):
    usual = {
        "max_connections": 3,
        "max_per_address": 0,
        "max_message_bytes": LIMIT,
        "max_unfinished_bytes": 200 * MIB,
    }
    return Connections(**(usual | limits))


def opened(count, **limits):
    """So many connections, each from an address of its own, by descriptors 0, 1, …"""
    several = connections(**({"max_connections": count} | limits))
    for fd in range(count):
        assert several.opened(fd, bytes([fd]), f"10.0.0.{fd}") is None
    return several


def verdict(several, received, seen=(), unknown_bytes=0):
    """Whom a reading and its judgement shut down: offences by descriptor."""
    several.read(received)
    judged = several.judge(set(seen), unknown_bytes)
    return {connection.fd: offence for connection, offence in judged}


# How many


def test_one_connection_too_many_is_refused_until_another_is_gone():
    several = opened(3)
    assert several.opened(3, b"d", "10.0.0.9") is Offence.TOO_MANY
    several.closed(3)
    assert len(several) == 3
    several.closed(0)
    assert several.opened(4, b"e", "10.0.0.9") is None
    assert repr(several) == "<Connections open=3 origins=3>"


def test_one_address_may_have_less_than_all():
    several = connections(max_per_address=2)
    assert several.opened(1, b"a", "::ffff:10.0.0.1") is None
    assert several.opened(2, b"b", "10.0.0.1") is None
    assert several.opened(3, b"c", "10.0.0.1") is Offence.TOO_MANY_OF_ONE_ADDRESS
    assert several.opened(4, b"d", "10.0.0.2") is None
    several.closed(1)
    several.closed(1)
    assert several.opened(5, b"e", "10.0.0.1") is None


def test_peers_without_an_address_are_not_counted_by_address():
    several = connections(max_per_address=1)
    assert several.opened(1, b"a", "") is None
    assert several.opened(2, b"b", "") is None


def test_a_descriptor_that_is_used_again_is_another_connection():
    several = opened(1, max_connections=2)
    assert several.opened(0, b"new", "10.0.0.1") is None
    assert len(several) == 1
    assert several.descriptors() == [0]
    several.read({0: 2 * MOST_UNFINISHED})
    ((offender, _),) = several.judge(set(), 0)
    assert offender.cookie == b"new"


@pytest.mark.parametrize(
    ("address", "origin"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_an_address_stands_for_its_owner(address, origin):
    assert origin_of(address) == origin


@pytest.mark.parametrize(
    ("wanted", "descriptors", "workers", "expected"),
    [
        (0, 1_000_000, 1024, MOST_CONNECTIONS),
        (50_000, 1_000_000, 1024, 50_000),
        (0, 12_000, 1024, 12_000 - 1024 * DESCRIPTORS_PER_WORKER - 320),
        (5_000, 4_096, 1024, 2_048),
        (100, 4_096, 1024, 100),
        (0, 1_024, 16, 1_024 - 16 * DESCRIPTORS_PER_WORKER - 320),
    ],
)
def test_clients_leave_descriptors_for_workers(wanted, descriptors, workers, expected):
    assert most_connections(wanted, descriptors, workers) == expected


# Messages without end


def test_a_client_that_finishes_its_messages_may_send_as_much_as_it_likes():
    several = opened(1)
    for number in range(1, 100):
        assert verdict(several, {0: number * 60 * MIB}, seen=[0]) == {}


def test_a_message_that_does_not_end_is_cut_off_at_the_limit():
    several = opened(2)
    assert verdict(several, {0: 10 * MIB, 1: 200}, seen=[0]) == {}
    assert verdict(several, {0: 10 * MIB + MOST_UNFINISHED}) == {}
    assert verdict(several, {0: 10 * MIB + MOST_UNFINISHED + 1}) == {
        0: Offence.UNFINISHED_TOO_LARGE
    }


def test_a_connection_is_judged_by_its_own_bytes_after_its_descriptor_was_used_before():
    several = opened(1)
    verdict(several, {0: MOST_UNFINISHED})
    several.closed(0)
    several.opened(0, b"new", "10.0.0.1")
    assert verdict(several, {0: 100}) == {}


def test_readings_of_connections_that_are_gone_are_ignored():
    assert verdict(opened(1), {7: 2 * MOST_UNFINISHED}) == {}


def test_many_unfinished_messages_together_cost_the_largest_ones():
    several = opened(4, max_unfinished_bytes=100 * MIB)
    received = {0: 60 * MIB, 1: 20 * MIB, 2: 50 * MIB, 3: 10 * MIB}
    assert verdict(several, received) == {0: Offence.UNFINISHED_TOO_MUCH}


def test_the_limit_for_all_lets_one_message_of_the_largest_size_through():
    several = opened(1, max_unfinished_bytes=MIB)
    assert verdict(several, {0: LIMIT}) == {}


def test_frames_that_take_more_memory_than_bytes_are_an_emergency():
    several = opened(3)
    assert verdict(several, {0: 0, 1: 0, 2: 100}, unknown_bytes=50 * MIB) == {}
    grown = 50 * MIB + EMERGENCY_BYTES + 14 * MIB
    assert verdict(several, {0: 5 * MIB, 1: 9 * MIB}, unknown_bytes=grown) == {}
    assert verdict(several, {0: 5 * MIB, 1: 9 * MIB}, unknown_bytes=grown + MIB) == {
        1: Offence.UNFINISHED_EMERGENCY
    }


def test_growth_before_a_message_began_is_not_its_fault():
    several = opened(1)
    grown = 10 * EMERGENCY_BYTES
    assert verdict(several, {0: 5 * MIB}, seen=[0], unknown_bytes=grown) == {}
    assert verdict(several, {0: 25 * MIB}, unknown_bytes=grown + EMERGENCY_BYTES) == {}


def test_a_new_connection_is_not_blamed_for_what_was_there():
    several = connections()
    verdict(several, {}, unknown_bytes=10 * EMERGENCY_BYTES)
    several.opened(0, b"a", "10.0.0.1")
    assert verdict(several, {0: 5 * MIB}, unknown_bytes=10 * EMERGENCY_BYTES) == {}


def test_who_has_sent_little_is_not_blamed():
    several = opened(1)
    assert verdict(several, {0: 1000}, unknown_bytes=10 * EMERGENCY_BYTES) == {}
