"""A client's sockets: what does not go at once goes later, and an end is told, not raised."""

from __future__ import annotations

import socket

import pytest

from zeropool.client.link import Link
from zeropool.client.wires import Wire
from zeropool.shared.wire.event import MessageIds

#: More than the buffers of any pair of sockets take.
MUCH = bytes(16 * 1024 * 1024)


@pytest.fixture
def ends():
    mine, theirs = socket.socketpair()
    mine.setblocking(False)
    with mine, theirs:
        yield mine, theirs


@pytest.fixture
def wire(ends):
    return Wire(Link("tcp://127.0.0.1:1", MessageIds(1)), ends[0], is_connected=True)


def test_what_does_not_go_at_once_is_kept_and_goes_later(wire, ends):
    wire.send(MUCH)
    kept = len(wire.rest)
    assert 0 < kept < len(MUCH)

    received = 0
    while received < len(MUCH):
        received += len(ends[1].recv(1024 * 1024))
        wire.send_rest()

    assert not wire.rest


@pytest.mark.parametrize("with_rest", [False, True], ids=["at once", "later"])
def test_sending_to_a_server_that_is_gone_raises_nothing_and_the_end_is_told(wire, ends, with_rest):
    if with_rest:
        wire.send(MUCH)
    ends[1].close()

    if with_rest:
        wire.send_rest()
    else:
        wire.send(b"x")

    assert wire.receive().end
