"""Fixtures build, tests say; whatever a test did, the facts must still fit together."""

from __future__ import annotations

import pytest
from gateway_world import World, model_info, open_channel, worker

from zeropool.gateway.budget import Budget
from zeropool.gateway.dispatcher import Dispatcher
from zeropool.gateway.fleet import Fleet
from zeropool.gateway.ledger import Ledger
from zeropool.shared.wire import event as wire
from zeropool.shared.wire.event import MessageIds
from zeropool.shared.wire.session import Role, Session


@pytest.fixture
def world():
    world = World()
    yield world
    world.gateway.check_invariants()


@pytest.fixture
def make_world():
    worlds = []

    def make_world(**limits):
        worlds.append(World(**limits))
        return worlds[-1]

    yield make_world
    for world in worlds:
        world.gateway.check_invariants()


@pytest.fixture
def session():
    return Session(Role.SERVER, MessageIds(0))


@pytest.fixture
def fleet():
    return Fleet()


@pytest.fixture
def dispatcher(session, fleet):
    dispatcher = Dispatcher(session, fleet, Budget(100_000), max_attempts=3)
    dispatcher.know(model_info())
    yield dispatcher
    dispatcher.check_invariants()


@pytest.fixture
def ready(fleet):
    """Adds ready workers."""

    def ready(*names, **facts):
        for name in names:
            fleet.add(worker(name, **facts))

    return ready


@pytest.fixture
def ledger():
    ledger = Ledger()
    yield ledger
    ledger.check_invariants()


@pytest.fixture
def channel(session):
    return open_channel(session)


@pytest.fixture
def grant(session):
    """The caller grants credit on its channel, and the call learns of it."""

    def grant(call, slots, now=0.0):
        more = wire.encode_more(b"\xa1m", call.channel.channel_id, slots)
        session.receive(call.channel.route, more, now)
        call.granted(session, now)

    return grant
