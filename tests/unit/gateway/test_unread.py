"""Order and bound of the replies that clients do not read."""

from __future__ import annotations

import pytest

from zeropool.gateway.unread import Unread

A, B = (b"a",), (b"b",)


@pytest.fixture
def unread():
    return Unread(10)


def test_replies_wait_in_order(unread):
    unread.add(A, b"one")
    unread.add(A, b"two")
    assert unread.first(A) == b"one"
    unread.sent(A)
    assert unread.first(A) == b"two"
    unread.sent(A)
    assert unread.first(A) is None
    assert not unread.holds(A)
    assert not unread


def test_every_client_has_a_bound_of_its_own(unread):
    assert unread.add(A, b"0123456789")
    assert unread.add(B, b"0123456789")
    assert unread.routes() == [A, B]
    assert repr(unread) == "<Unread clients=2 bytes=20>"


def test_a_client_over_its_bound_loses_everything(unread):
    unread.add(A, b"01234567")
    assert not unread.add(A, b"012")
    assert not unread.holds(A)
    assert repr(unread) == "<Unread clients=0 bytes=0>"


def test_what_was_sent_makes_room(unread):
    unread.add(A, b"01234567")
    unread.add(A, b"01")
    unread.sent(A)
    assert unread.add(A, b"01234567")


def test_a_client_that_is_gone_is_forgotten(unread):
    unread.add(A, b"one")
    unread.forget(A)
    unread.forget(A)
    assert not unread
