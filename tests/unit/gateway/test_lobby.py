"""Bounds and times of the calls that came before the workers."""

from __future__ import annotations

import pytest
from gateway_world import pack

from zeropool.gateway.budget import Budget
from zeropool.gateway.lobby import MAX_CALLS, Lobby
from zeropool.shared.errors import Overloaded
from zeropool.shared.wire import event as wire


@pytest.fixture
def budget():
    budget = Budget(10_000)
    yield budget
    budget.check_invariants()


@pytest.fixture
def lobby(budget):
    lobby = Lobby(budget)
    yield lobby
    assert budget.call_bytes == lobby.held_bytes


@pytest.fixture
def arrive(session, lobby):
    def arrive(name, value=1, timeout_s=None, now=0.0):
        payload = wire.encode_request(pack(name), "double_predict", [value], timeout_s)
        request = session.receive((b"client",), payload, now)
        lobby.add(request)
        return request

    return arrive


def test_everybody_leaves_in_order_of_arrival(arrive, lobby):
    first, second = arrive("b"), arrive("a")
    assert lobby.take_all() == [first, second]
    assert repr(lobby) == "<Lobby calls=0>"


def test_a_caller_that_is_gone_does_not_wait(arrive, lobby):
    first, second = arrive("a"), arrive("b")
    lobby.remove(first.channel)
    lobby.remove(first.channel)
    assert lobby.take_all() == [second]


def test_more_bytes_than_may_be_held_are_refused(arrive, lobby):
    arrive("a", "x" * 6_000)
    full = r"calls hold 8052 of max_held_bytes 10000; retry_after_s=1\.00"
    with pytest.raises(Overloaded, match=full):
        arrive("b", "x" * 900)
    assert len(lobby) == 1


def test_more_calls_than_may_wait_are_refused(session):
    lobby = Lobby(Budget(10**9))
    for n in range(MAX_CALLS):
        payload = wire.encode_request(pack(n), "double_predict", [1])
        lobby.add(session.receive((b"client",), payload, 0.0))
    payload = wire.encode_request(pack("last"), "double_predict", [1])
    with pytest.raises(Overloaded, match="10000 calls wait for the first workers"):
        lobby.add(session.receive((b"client",), payload, 0.0))


def test_a_callers_own_time_counts_from_its_arrival(arrive, lobby):
    patient, hasty = arrive("a"), arrive("b", timeout_s=2.0, now=1.0)
    assert lobby.next_deadline() == 3.0
    assert lobby.take_overdue(2.9) == []
    assert lobby.take_overdue(3.0) == [hasty]
    assert lobby.next_deadline() == float("inf")
    assert lobby.take_all() == [patient]
