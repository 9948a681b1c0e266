"""One connection to a PULL, over a pair of sockets."""

import contextlib
import socket

import pytest

from zeropool.shared.errors import ProtocolError
from zeropool.shared.push import LARGE_BYTES, MAX_UNREAD_BYTES, Push, dial
from zeropool.shared.wire.answerer import Answerer
from zeropool.shared.wire.kinds import Kind
from zeropool.shared.wire.zmtp import COMMAND, PING, frame

MAX_MESSAGE_BYTES = 100_000_000


class Pull:
    """The other end."""

    def __init__(self, sock, kind=Kind.PULL):
        self.sock = sock
        self.peer = Answerer(kind, MAX_MESSAGE_BYTES)

    def speak(self):
        for part in self.peer.replies:
            self.sock.sendall(part)
        self.peer.replies.clear()

    def take(self):
        """The messages that have come."""
        messages = []
        with contextlib.suppress(BlockingIOError):
            while data := self.sock.recv(1_000_000):
                messages += self.peer.receive(data)
                self.speak()
        return messages


@pytest.fixture
def ends():
    here, there = socket.socketpair()
    with here, there:
        here.setblocking(False)
        there.setblocking(False)
        yield here, there


@pytest.fixture
def pull(ends):
    return Pull(ends[1])


@pytest.fixture
def push(ends, pull):
    """A connection whose handshake is over."""
    push = Push(ends[0], "ipc://there")
    pull.speak()
    while not push.is_ready:
        push.send()
        pull.take()
        with contextlib.suppress(BlockingIOError):
            push.receive()
    push.send()
    assert pull.take() == []
    return push


def test_it_begins_without_room_and_is_ready_when_both_have_shaken_hands(ends, pull):
    push = Push(ends[0], "ipc://there")
    assert push.is_full
    assert not push.is_ready
    assert repr(push) == "<Push ipc://there ready=False <Outgoing messages=1 bytes=64>>"

    pull.speak()
    push.send()
    pull.take()
    push.receive()
    assert push.is_ready
    assert not push.is_full
    push.send()
    pull.take()
    assert pull.peer.is_ready


@pytest.mark.parametrize("size", [0, 1, 255, 256, LARGE_BYTES - 1, LARGE_BYTES, 150_000])
def test_messages_arrive_as_they_are_and_in_order(push, pull, size):
    messages = [b"x" * size, b"y" * size]
    for message in messages:
        push.add(message)

    taken = []
    while len(taken) < 2:
        push.send()
        taken += pull.take()

    assert taken == messages
    assert not push.is_full


def test_what_the_kernel_does_not_take_waits(push, pull):
    message = b"z" * 5_000_000
    push.add(message)
    push.send()
    assert push.is_full

    taken = []
    while not taken:
        taken += pull.take()
        push.send()

    assert taken == [message]
    assert not push.is_full


def test_a_reader_that_answers_is_alive(push, pull):
    for _ in range(5):
        assert not push.is_silent(1)
        push.send()
        pull.take()
        push.receive()


def test_a_reader_that_does_not_answer_is_silent_after_so_many_questions(push):
    assert [push.is_silent(2) for _ in range(4)] == [False, False, True, True]
    # It was asked once.
    assert push.outgoing.held_bytes == len(PING)


def test_a_reader_that_takes_a_long_message_is_alive_and_is_asked_behind_it(push, pull):
    push.add(b"z" * 5_000_000)
    push.send()
    assert not push.is_silent(1)
    waiting_bytes = push.outgoing.held_bytes
    pull.take()
    push.send()

    assert push.outgoing.held_bytes < waiting_bytes
    assert not push.is_silent(1)


def test_a_reader_that_takes_nothing_more_of_a_long_message_is_silent(push):
    push.add(b"z" * 5_000_000)
    push.send()
    assert not push.is_silent(1)
    push.send()

    assert push.is_silent(1)


def test_a_reader_that_asks_for_signs_of_life_and_reads_none_is_no_reader(push, ends):
    push.add(b"z" * 5_000_000)
    push.send()
    ping = frame(b"\x04PING\0\0" + b"c" * 16, COMMAND)
    complaint = ""
    while not complaint:
        ends[1].sendall(ping * 100)
        try:
            push.receive()
        except ProtocolError as error:
            complaint = str(error)
    assert complaint == "the server asks for signs of life and does not read them"
    assert push.outgoing.held_bytes < 5_000_000 + 2 * MAX_UNREAD_BYTES


def test_a_reader_may_ask_for_signs_of_life_as_often_as_it_likes_if_it_reads_them(push, pull):
    ping = frame(b"\x04PING\0\0" + b"c" * 16, COMMAND)
    for _ in range(200):
        pull.sock.sendall(ping * 100)
        push.receive()
        push.send()
        pull.take()


def test_a_reader_that_sends_messages_is_none(push, ends):
    ends[1].sendall(frame(b"hello"))

    with pytest.raises(ProtocolError, match="the server sent a message, which no PULL does"):
        push.receive()


def test_the_end_of_the_connection_is_an_error(push, ends):
    ends[1].close()

    with pytest.raises(ConnectionResetError, match="the other end hung up"):
        push.receive()
    push.add(b"late")
    with pytest.raises(BrokenPipeError):
        push.send()
    push.close()
    assert not push.is_open


def test_another_socket_than_a_pull_is_refused(ends):
    push = Push(ends[0], "ipc://there")
    router = Pull(ends[1], Kind.ROUTER)
    router.speak()
    push.send()
    router.take()

    with pytest.raises(ProtocolError, match="is a ROUTER, with which no PUSH can talk"):
        push.receive()


def test_it_dials_tcp_and_ipc(tmp_path):
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        dial(f"tcp://127.0.0.1:{server.getsockname()[1]}") as dialled,
    ):
        accepted, address = server.accept()
        with accepted:
            assert dialled.getsockname() == address
            assert not dialled.getblocking()
            assert dialled.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen(0)
        with dial(f"ipc://{path}") as first:
            assert not first.getblocking()
            # As many wait as may.
            with pytest.raises(BlockingIOError):
                dial(f"ipc://{path}")


@pytest.mark.parametrize(
    "endpoint",
    [
        "ipc:///nowhere/at/all",
        "tcp://a.name.example:4000",
        "tcp://[fe80::1%a..b]:4000",
        f"tcp://[fe80::1%{'z' * 70}]:4000",
    ],
)
def test_what_cannot_be_dialled_is_an_error(endpoint):
    with pytest.raises(OSError, match=r"No such file|Name or service|not known|not supported"):
        dial(endpoint)
