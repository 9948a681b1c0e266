"""A poller reports what can be read, also where a socket's descriptor is silent about it."""

from __future__ import annotations

import os

import pytest
import zmq

from zeropool.workers.poller import Poller

#: Longer than any message within a process takes; only a failing test waits for it.
LONG_MS = 5_000


@pytest.fixture
def context():
    with zmq.Context() as made:
        yield made


@pytest.fixture
def poller():
    made = Poller()
    yield made
    made.close()


@pytest.fixture
def pair(context):
    """Two sockets that are connected; closed without waiting."""
    with context.socket(zmq.PAIR) as mine, context.socket(zmq.PAIR) as theirs:
        for each in (mine, theirs):
            each.linger = 0
        mine.bind("inproc://pair")
        theirs.connect("inproc://pair")
        yield mine, theirs


def receive_all(socket):
    messages = []
    try:
        while True:
            messages.append(socket.recv(zmq.NOBLOCK))
    except zmq.Again:
        return messages


def test_nothing_is_reported_where_nothing_is(poller, pair):
    poller.register(pair[0])

    assert poller.poll(0) == set()


def test_a_message_is_reported(poller, pair):
    mine, theirs = pair
    poller.register(mine)
    poller.poll(0)

    theirs.send(b"news")

    assert poller.poll(LONG_MS) == {mine}


def test_a_message_that_came_before_the_registration_is_reported(poller, pair):
    mine, theirs = pair
    theirs.send(b"early")
    # Whoever looks takes in the news, and the descriptor falls silent.
    assert mine.getsockopt(zmq.EVENTS) & zmq.POLLIN

    poller.register(mine)

    assert poller.poll(0) == {mine}


def test_what_a_reader_leaves_is_reported_again(poller, pair):
    mine, theirs = pair
    poller.register(mine)
    for text in (b"one", b"two"):
        theirs.send(text)
    poller.poll(LONG_MS)

    mine.recv()

    assert poller.poll(0) == {mine}
    assert mine.recv(zmq.NOBLOCK) == b"two"


def test_an_emptied_socket_is_not_asked_again(poller, pair):
    mine, theirs = pair
    poller.register(mine)
    theirs.send(b"one")
    poller.poll(LONG_MS)
    receive_all(mine)

    poller.emptied(mine)

    assert repr(poller) == "<Poller watched=1 unsure=0>"
    assert poller.poll(0) == set()
    theirs.send(b"two")
    assert poller.poll(LONG_MS) == {mine}


def test_a_descriptor_is_reported_until_it_is_read(poller):
    reading, writing = os.pipe()
    poller.register(reading)

    os.write(writing, b"x")

    assert poller.poll(LONG_MS) == {reading}
    assert poller.poll(0) == {reading}
    os.read(reading, 1)
    assert poller.poll(0) == set()
    os.close(reading)
    os.close(writing)


def test_waiting_descriptors_are_reported_beside_a_socket_that_has_more(poller, pair):
    mine, theirs = pair
    reading, writing = os.pipe()
    poller.register(mine)
    poller.register(reading)
    theirs.send(b"one")
    theirs.send(b"two")
    poller.poll(LONG_MS)
    mine.recv()

    os.write(writing, b"x")

    assert poller.poll(0) == {mine, reading}
    os.close(reading)
    os.close(writing)
