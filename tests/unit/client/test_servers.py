"""Which server has the next call, and which are tried again."""

import math

import pytest

from zeropool.client.call import Call
from zeropool.client.link import State
from zeropool.client.servers import HANDSHAKE_S, Servers
from zeropool.shared.wire.event import MessageIds

NOW = 100.0


@pytest.fixture
def servers():
    return Servers(MessageIds(1))


def added(servers, *states):
    links = [servers.add(f"tcp://127.0.0.1:{port}") for port, _ in enumerate(states, 1)]
    for link, state in zip(links, states, strict=True):
        link.state = state
    return links


def test_without_servers_nobody_has_the_call(servers):
    assert servers.chosen(NOW) is None
    assert not servers.has_others_to_try(NOW)
    assert not servers.is_connected
    assert servers.begin(NOW) == []
    assert servers.next_try_at() == math.inf


@pytest.mark.parametrize("state", [State.DOWN, State.CONNECTING, State.OPEN])
def test_one_that_is_not_ready_has_no_call(servers, state):
    added(servers, state)
    assert servers.chosen(NOW) is None
    assert not servers.is_connected


def test_of_those_that_are_ready_the_one_with_the_fewest_calls_is_chosen(servers):
    busy, _, idle = added(servers, State.READY, State.DOWN, State.READY)
    busy.calls[b"1"] = Call("a", b"\x90")
    assert servers.chosen(NOW) is idle
    assert servers.open_calls == 1


def test_of_those_that_are_equally_busy_the_less_used_is_chosen(servers):
    used, fresh = added(servers, State.READY, State.READY)
    used.requests = 1
    assert servers.chosen(NOW) is fresh


def test_one_that_is_to_be_avoided_is_chosen_where_there_is_no_other(servers):
    draining, other = added(servers, State.READY, State.READY)
    draining.avoid_until = NOW + 1
    other.calls[b"1"] = Call("a", b"\x90")
    assert servers.chosen(NOW) is other
    other.state = State.DOWN
    assert servers.chosen(NOW) is draining


def test_what_is_down_is_begun_when_its_time_has_come(servers):
    due, later, ready = added(servers, State.DOWN, State.DOWN, State.READY)
    later.connect_at = NOW + 1
    assert servers.has_others_to_try(NOW)
    assert servers.next_try_at() == due.connect_at
    assert servers.begin(NOW) == [due]
    assert (due.state, due.give_up_at) == (State.CONNECTING, NOW + HANDSHAKE_S)
    assert servers.begin(NOW) == []
    assert not servers.has_others_to_try(NOW)
    assert servers.next_try_at() == later.connect_at
    assert ready.state is State.READY


def test_the_only_server_is_no_other_one(servers):
    added(servers, State.DOWN)
    assert not servers.has_others_to_try(NOW)
    assert servers.begin(NOW) == servers.links


def test_the_first_failure_is_told_with_its_endpoint_for_calls_that_nobody_has(servers):
    first, second, third = added(servers, State.READY, State.DOWN, State.DOWN)
    second.failure, third.failure = "Connection refused", "other"
    waiting, sent = Call("a", b"\x90"), Call("a", b"\x90")
    sent.link = first
    assert servers.failure == f"{second.endpoint}: Connection refused"
    assert servers.failure_of(waiting) == servers.failure
    assert servers.failure_of(sent) == ""
