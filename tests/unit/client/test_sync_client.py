"""The blocking client against a small server: real sockets, and our own session at the far end.

The server runs in a thread and answers a few methods by name. Waits are bounded by `PATIENCE_S`.
"""

import gc
import queue
import socket
import subprocess
import sys
import threading
import time

import msgspec
import pytest
import zmq

from zeropool.client import Client
from zeropool.shared.wire import event as wire
from zeropool.shared.wire.event import RemoteFailure
from zeropool.shared.wire.session import Granted, Requested, Role, Session

#: Nothing in here takes so long, unless it is broken.
PATIENCE_S = 10.0
#: Short, so that a silent server is lost soon.
HEARTBEAT_S = 0.2
LOST = r"\ALost remote after 0\.6s heartbeat\Z"
pack = msgspec.msgpack.encode


def pause(seconds):
    """Be busy with something else than the client, as a consumer is."""
    threading.Event().wait(seconds)


class Server:
    """A ROUTER with a server's session, served by one thread; None in `commands` ends it."""

    def __init__(self):
        self.commands = queue.Queue()
        self.is_mute = threading.Event()
        self.asked = queue.Queue()
        self.beats = queue.Queue()
        self.credit = queue.Queue()
        self.session = Session(Role.SERVER, beat_interval_s=HEARTBEAT_S)
        self.context = zmq.Context()
        self.router = self.context.socket(zmq.ROUTER)
        port = self.router.bind_to_random_port("tcp://127.0.0.1")
        self.endpoint = f"tcp://127.0.0.1:{port}"
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        try:
            while self.commands.empty():
                self.step()
        finally:
            self.router.close(linger=0)
            self.context.term()

    def step(self):
        self.router.poll(10)
        now = time.monotonic()
        while self.router.poll(0):
            *route, payload = self.router.recv_multipart()
            self.note(payload)
            self.obey(self.session.receive(tuple(route), payload, now))
        self.session.tick(now)
        for route, payload in self.session.take_outgoing():
            if not self.is_mute.is_set():
                self.router.send_multipart([*route, payload])

    def note(self, payload):
        event = wire.decode_event(payload)
        if event.name == wire.MORE:
            self.credit.put(wire.decode_credit(event.args))
        if event.name == wire.HEARTBEAT:
            self.beats.put(event.response_to)

    def obey(self, signal):
        if not isinstance(signal, Requested):
            assert signal is None or isinstance(signal, Granted)
            return
        args = msgspec.msgpack.decode(signal.event.args)
        self.asked.put((signal.event.name, args))
        getattr(self, signal.event.name)(signal.channel, *args)

    def stop(self):
        self.commands.put(None)
        self.thread.join(PATIENCE_S)
        assert not self.thread.is_alive()

    # Methods

    def echo(self, channel, value):
        self.session.answer(channel, pack(value))

    def nothing(self, channel):
        self.session.finish(
            channel, wire.encode_reply(pack(1), channel.key.channel_id, "OK", b"\x90")
        )

    def fail(self, channel, name, message, traceback):
        self.session.fail(channel, RemoteFailure(name, message, traceback))

    def count(self, channel, first, items):
        for number in range(first, first + items):
            self.session.send_item(channel, pack(number))
        self.session.end_stream(channel)

    def count_and_fail(self, channel, items):
        for number in range(items):
            self.session.send_item(channel, pack(number))
        self.session.fail(channel, RemoteFailure("ValueError", "no more", ""))

    def one_and_silence(self, channel):
        self.session.send_item(channel, pack("one"))

    def never(self, channel):
        """Keep the channel open; heartbeats go on."""


@pytest.fixture
def server():
    served = Server()
    served.thread.start()
    yield served
    served.stop()


@pytest.fixture
def client(server):
    with Client(server.endpoint, timeout_s=PATIENCE_S) as connected:
        yield connected


@pytest.fixture
def quick_client(server):
    """A client that soon misses a silent server."""
    with Client(server.endpoint, timeout_s=PATIENCE_S, heartbeat_s=HEARTBEAT_S) as connected:
        yield connected


@pytest.fixture(scope="module")
def zerorpc_exceptions():
    """zerorpc's own classes; loading them takes a second."""
    from zerorpc import exceptions  # noqa: PLC0415 - loads gevent

    return exceptions


# Calls


@pytest.mark.parametrize("value", [5, 1.5, "text", b"\x00", None, [1, [2]], {"x": [True]}])
def test_a_call_returns_what_the_server_answers(client, value):
    assert client.call("echo", value) == value


def test_arguments_arrive_in_their_order(client, server):
    client.call("count", 7, 0)

    assert server.asked.get(timeout=PATIENCE_S) == ("count", [7, 0])


def test_an_answer_without_value_is_none(client):
    assert client.call("nothing") is None


def test_many_calls_leave_nothing_behind(client):
    assert [client.call("echo", number) for number in range(300)] == list(range(300))

    assert repr(client) == f"<Client {client._endpoint} open=0>"
    assert client._signals == {}


def test_a_client_connects_by_itself(server):
    client = Client(server.endpoint)
    try:
        assert client.call("echo", 5) == 5
    finally:
        client.close()


def test_a_closed_client_can_be_used_again(client):
    client.close()
    client.close()

    assert client.call("echo", 5) == 5


@pytest.mark.parametrize(
    ("value", "error"),
    [({1, 2}.__iter__(), TypeError), (2**64, OverflowError), ("\ud800", UnicodeEncodeError)],
)
def test_an_argument_that_cannot_travel_is_an_error_at_once(client, value, error):
    with pytest.raises(error):
        client.call("echo", value)

    assert client._session.open_channels == 0


# Errors


def test_an_error_of_the_server_is_zerorpcs_remote_error(client, zerorpc_exceptions):
    with pytest.raises(zerorpc_exceptions.RemoteError) as caught:
        client.call("fail", "ValueError", "no root", "Traceback\nValueError: no root")

    error = caught.value
    assert (error.name, error.msg) == ("ValueError", "no root")
    assert error.traceback == str(error) == "Traceback\nValueError: no root"


def test_an_error_without_traceback_reads_as_name_and_message(client, zerorpc_exceptions):
    with pytest.raises(zerorpc_exceptions.RemoteError, match=r"\AValueError: no root\Z"):
        client.call("fail", "ValueError", "no root", "")


def test_a_late_answer_is_a_timeout_in_zerorpcs_words(server, zerorpc_exceptions):
    with Client(server.endpoint, timeout_s=0.2) as client:
        with pytest.raises(zerorpc_exceptions.TimeoutExpired) as caught:
            client.call("never")

        assert client.call("echo", 5) == 5

    theirs = zerorpc_exceptions.TimeoutExpired(0.2, "calling remote method never")
    assert str(caught.value) == str(theirs)


def test_without_a_limit_a_call_waits_as_long_as_heartbeats_come(server):
    with Client(server.endpoint, timeout_s=None, heartbeat_s=HEARTBEAT_S) as client:
        waiting = threading.Timer(5 * HEARTBEAT_S, server.is_mute.set)
        waiting.start()
        began_at = time.monotonic()
        with pytest.raises(Exception, match=LOST):
            client.call("never")

        assert time.monotonic() - began_at >= 5 * HEARTBEAT_S
        waiting.join()


def test_a_server_that_falls_silent_is_lost(quick_client, server, zerorpc_exceptions):
    server.is_mute.set()

    with pytest.raises(zerorpc_exceptions.LostRemote, match=LOST):
        quick_client.call("echo", 5)

    server.is_mute.clear()
    assert quick_client.call("echo", 6) == 6


# Streams


def test_a_stream_comes_item_by_item_against_credit(client, server):
    assert list(client.call("count", 0, 1000)) == list(range(1000))

    granted = 0
    while not server.credit.empty():
        granted += server.credit.get()
    assert 1000 <= granted + 1 <= 1100
    assert client._session.open_channels == 0


def test_an_empty_stream_has_no_items(client):
    stream = client.call("count", 0, 0)

    assert list(stream) == []
    assert client._signals == {}


def test_a_stream_that_fails_raises_behind_its_items(client, zerorpc_exceptions):
    stream = client.call("count_and_fail", 3)

    assert [next(stream) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(zerorpc_exceptions.RemoteError, match="ValueError: no more"):
        next(stream)
    assert client._session.open_channels == 0


def test_one_may_leave_a_stream_early(client):
    for number in client.call("count", 0, 1000):
        if number == 150:
            break
    gc.collect()

    assert client._session.open_channels == 0
    assert client._signals == {}
    assert client.call("echo", 5) == 5
    assert list(client.call("count", 0, 200)) == list(range(200))


def test_a_stream_that_nobody_reads_is_given_up(client):
    client.call("count", 0, 1000)
    gc.collect()

    assert client._session.open_channels == 0
    assert client._signals == {}


def test_two_streams_can_be_read_in_turns(client):
    streams = [client.call("count", first, 350) for first in (0, 1000)]

    pairs = list(zip(*streams, strict=True))

    assert pairs == [(number, number + 1000) for number in range(350)]


def test_calls_go_through_while_a_stream_is_open(client):
    stream = client.call("count", 0, 300)
    seen = []
    for number in stream:
        seen.append(number)
        if number % 100 == 0:
            assert client.call("echo", number) == number

    assert seen == list(range(300))


def test_a_stream_of_a_server_that_falls_silent_ends(quick_client, server, zerorpc_exceptions):
    stream = quick_client.call("one_and_silence")
    assert next(stream) == "one"
    server.is_mute.set()

    with pytest.raises(zerorpc_exceptions.LostRemote, match=LOST):
        next(stream)


def test_a_consumer_that_takes_its_time_keeps_its_stream(quick_client):
    stream = quick_client.call("count", 0, 150)
    assert next(stream) == 0

    # Longer than the client's own patience: what the server said meanwhile lies in the socket.
    pause(5 * HEARTBEAT_S)

    assert list(stream) == list(range(1, 150))


def test_a_consumer_that_takes_its_time_sends_heartbeats_between_items(quick_client, server):
    stream = quick_client.call("count", 0, 1000)
    assert [next(stream), next(stream)] == [0, 1]

    # The next 99 items lie in the client: it needs nothing from the socket to go on.
    for _ in range(3):
        pause(1.5 * HEARTBEAT_S)
        next(stream)
        server.beats.get(timeout=PATIENCE_S)


def test_a_stream_ends_when_its_client_is_closed(client, zerorpc_exceptions):
    stream = client.call("one_and_silence")
    client.close()

    assert next(stream) == "one"
    with pytest.raises(zerorpc_exceptions.LostRemote, match="the client was closed"):
        next(stream)


# Connections


def test_a_client_can_wait_for_its_server(client):
    assert client.wait_connected(PATIENCE_S)


def test_a_client_that_is_connected_waits_no_second_time(client):
    client.wait_connected(PATIENCE_S)

    assert client.wait_connected(0.0)


def test_without_a_server_nobody_is_there():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with Client(f"tcp://127.0.0.1:{port}") as client:
            assert not client.wait_connected(0.05)


def test_a_server_that_has_gone_is_there_no_more(server):
    with Client(server.endpoint) as client:
        assert client.wait_connected(PATIENCE_S)
        server.stop()
        client._monitor.poll(PATIENCE_S * 1000)

        assert not client.wait_connected(0.0)


def test_an_endpoint_that_is_none_leaves_nothing_open():
    client = Client("nonsense")

    for _ in range(2):
        with pytest.raises(zmq.ZMQError):
            client.open()
    client.close()


LOADED = """
import sys
from zeropool.client import Client
Client("tcp://127.0.0.1:1").close()
print([name for name in ("gevent", "zerorpc", "numpy") if name in sys.modules])
"""


def test_the_client_does_not_load_zerorpc_or_gevent():
    ran = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, text=True, check=True, timeout=60
    )

    assert ran.stdout.strip() == "[]"
