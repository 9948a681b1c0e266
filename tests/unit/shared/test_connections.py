"""Who may connect to a port."""

from __future__ import annotations

import pytest

from zeropool.shared.ports.connections import (
    Connections,
    Offence,
    origin_of,
)


def connections(max_connections=3, max_per_address=0):
    return Connections(max_connections=max_connections, max_per_address=max_per_address)


def test_one_connection_too_many_is_refused_until_another_is_gone():
    several = connections(max_connections=3)
    for fd in range(3):
        assert several.opened(fd, f"10.0.0.{fd}") is None
    assert several.opened(3, "10.0.0.9") is Offence.TOO_MANY
    several.closed(3)
    assert len(several) == 3
    several.closed(0)
    assert several.opened(4, "10.0.0.9") is None
    assert repr(several) == "<Connections open=3 origins=3>"


def test_one_address_may_have_less_than_all():
    several = connections(max_connections=9, max_per_address=2)
    assert several.opened(1, "::ffff:10.0.0.1") is None
    assert several.opened(2, "10.0.0.1") is None
    assert several.opened(3, "10.0.0.1") is Offence.TOO_MANY_OF_ONE_ADDRESS
    assert several.opened(4, "10.0.0.2") is None
    several.closed(1)
    several.closed(1)
    assert several.opened(5, "10.0.0.1") is None


def test_peers_without_an_address_are_not_counted_by_address():
    several = connections(max_per_address=1)
    assert several.opened(1, "") is None
    assert several.opened(2, "") is None


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
