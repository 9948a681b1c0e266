"""When the calls of an asyncio client leave: literal times, no socket, a loop that takes notes."""

import asyncio

import pytest

from zeropool.client.aio_wires import Wires
from zeropool.client.call import Call
from zeropool.client.core import Core
from zeropool.shared.wire.zmtp import GREETING

READY = b"\x04\x06\x05READY"


class Loop(asyncio.SelectorEventLoop):
    """One that notes what is to be called soon; None where it is to be called a turn later."""

    def __init__(self):
        super().__init__()
        self.soon = []

    def call_soon(self, callback, *args, context=None):
        self.soon.append(None if args else callback)
        return super().call_soon(callback, *args, context=context)

    def turn(self):
        """Go round once."""
        self.stop()
        self.run_forever()
        self.soon.clear()


@pytest.fixture
def loop():
    made = Loop()
    # What a loop calls first are its own affairs.
    made.turn()
    yield made
    made.close()


@pytest.fixture
def core():
    return Core(heartbeat_s=5.0)


@pytest.fixture
def wires(core, loop):
    return Wires(core, loop)


def ready(core, *, used_at):
    """A link that is ready, and was used last at that time."""
    link = core.add(f"tcp://h:{1 + len(core.servers.links)}")
    core.connected(link, used_at)
    core.received(link, GREETING + READY, used_at)
    link.take_outgoing()
    return link


def submit(wires, loop, now):
    call = Call("echo", b"\x90")
    call.owner = loop.create_future()
    wires.submit(call, now)
    return call


def test_calls_of_one_turn_leave_together(core, wires, loop):
    ready(core, used_at=1.0)
    for _ in range(1000):
        submit(wires, loop, now=1.0)

    assert loop.soon == [wires.flush]


def test_a_server_at_rest_that_has_none_of_them_changes_nothing(core, wires, loop):
    busy, avoided = ready(core, used_at=1.0), ready(core, used_at=0.0)
    avoided.avoid_until = 2.0
    calls = [submit(wires, loop, now=1.0) for _ in range(1000)]

    assert all(call.link is busy for call in calls)
    assert loop.soon == [wires.flush]


def test_calls_to_a_server_at_rest_wait_together_for_news_of_its_end(core, wires, loop):
    ready(core, used_at=0.0)
    for _ in range(1000):
        submit(wires, loop, now=1.0)

    assert loop.soon == [None]


def test_several_servers_at_rest_have_one_wait(core, wires, loop):
    links = [ready(core, used_at=0.0) for _ in range(3)]
    for _ in range(1000):
        submit(wires, loop, now=1.0)

    assert all(link.calls for link in links)
    assert loop.soon == [None]


def test_what_was_about_to_leave_waits_with_them(core, wires, loop):
    busy = ready(core, used_at=1.0)
    submit(wires, loop, now=1.0)
    submit(wires, loop, now=1.0)
    at_rest = ready(core, used_at=0.0)
    call = submit(wires, loop, now=1.0)
    submit(wires, loop, now=1.0)

    assert call.link is at_rest
    assert busy.calls
    assert loop.soon == [wires.flush, None]
    assert [handle.cancelled() for handle in loop._ready] == [True, False]


def test_after_the_wait_the_next_rest_is_one_again(core, wires, loop):
    ready(core, used_at=0.0)
    submit(wires, loop, now=1.0)
    loop.turn()
    loop.turn()
    submit(wires, loop, now=1.0)
    assert loop.soon == [wires.flush]
    loop.turn()
    submit(wires, loop, now=2.0)

    assert loop.soon == [None]
