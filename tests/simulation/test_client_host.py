"""A simulated client repeats an id only where the gateway must take it for a repetition."""

from __future__ import annotations

import dataclasses

import pytest
from client_host import RECONNECT_S, ClientHost
from network import Latency
from request import Request
from scenario import Kind
from world import World

WAY_S = 1.0
RESTART_S = 0.01


class _Slow(Latency):
    """Every message takes the same time, longer than a gateway needs to start anew."""

    def draw(self) -> float:
        return WAY_S


@pytest.fixture
def world() -> World:
    """A gateway and one client that is connected to it."""
    world = World(0)
    world.scenario = dataclasses.replace(world.scenario, restart_s=RESTART_S)
    world.client_latency = _Slow(world.rng, WAY_S, WAY_S)
    world.gateway.start()
    world.clients[0].start()
    return world


@pytest.fixture
def client(world: World) -> ClientHost:
    return world.clients[0]


def _ask(world: World, client: ClientHost) -> Request:
    request = world.request(client.name, Kind.OWN, None)
    client.ask(request)
    return request


def _repeat(world: World, client: ClientHost) -> bool:
    return client.ask_with_same_id(world.request(client.name, Kind.CALL, world.scenario.models[0]))


def test_the_id_of_an_open_request_is_repeated_on_its_connection(world, client):
    _ask(world, client)

    assert _repeat(world, client)


def test_an_id_is_not_repeated_on_another_connection_while_the_answer_is_on_its_way(world, client):
    request = _ask(world, client)
    world.clock.run(2 * WAY_S, stop=lambda: bool(request.terminal))
    world.gateway.drain()
    world.clock.run(world.clock.now + 2 * RESTART_S + RECONNECT_S)
    assert world.gateway.number == 2
    assert not request.outcome

    # The new gateway never heard of it.
    assert not _repeat(world, client)

    world.clock.run(3 * WAY_S)
    assert request.outcome == request.terminal


def test_what_was_asked_without_a_connection_is_repeated_on_the_one_that_carries_it(world, client):
    client.cut()
    _ask(world, client)
    assert not _repeat(world, client)

    world.clock.run(RECONNECT_S)

    assert _repeat(world, client)
