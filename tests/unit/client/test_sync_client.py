"""The blocking client against a small server: real sockets, and our own session at the far end.

What several threads do with one client is in `test_sync_threads`, calls for later are in
`test_pending`.
"""

import gc
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from fractions import Fraction

import numpy as np
import pytest
import zmq
from small_server import HEARTBEAT_S, PATIENCE_S, Server

from zeropool.client import Client, RetryPolicy
from zeropool.shared.errors import ClientClosed

LOST = r"\ALost remote after 0\.6s heartbeat\Z"


def open_calls(client):
    # What was dropped while the lock was taken is forgotten with the next occasion.
    client._crew.attend()
    return client._crew.core.open_calls


def pause(seconds):
    """Be busy with something else than the client, as a consumer is."""
    threading.Event().wait(seconds)


class Successor:
    """A server in the place of one that was stopped."""

    def __init__(self, endpoint):
        self.endpoint = endpoint
        self.server = None

    def start(self):
        self.server = Server(self.endpoint)
        self.server.thread.start()


@pytest.fixture
def successor(server):
    later = Successor(server.endpoint)
    yield later
    later.server.stop()


@contextmanager
def meanwhile(act):
    """Let something happen beside the block."""
    acting = threading.Thread(target=act)
    acting.start()
    yield
    acting.join(PATIENCE_S)
    assert not acting.is_alive()


@pytest.fixture
def client(server):
    with Client(server.endpoint, timeout_s=PATIENCE_S) as connected:
        yield connected


@pytest.fixture
def quick_client(server):
    """A client that soon misses a silent server."""
    with Client(server.endpoint, timeout_s=PATIENCE_S, heartbeat_s=HEARTBEAT_S) as connected:
        yield connected


@pytest.fixture
def retrying_client(server):
    policy = RetryPolicy(models={"safe"}, first_wait_s=0.01)
    with Client(server.endpoint, timeout_s=PATIENCE_S, retry=policy) as connected:
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


@pytest.mark.parametrize("kind", [int, float, str, bytes])
def test_what_is_of_a_class_of_ones_own_is_sent_as_what_it_is(client, kind):
    class Special(kind):
        def __repr__(self):
            return "special"

        __str__ = __int__ = __float__ = __bytes__ = __repr__

    value = kind(b"5") if kind is not str else "5"
    if kind is float:
        value = 5.5
    special = Special(value)

    assert client.call("echo", [special, {"x": special}]) == [value, {"x": value}]


def test_an_endpoint_may_be_bytes_as_for_zerorpc(server):
    with Client() as client:
        client.connect(server.endpoint.encode())
        assert client.call("echo", 5) == 5


def test_arguments_arrive_in_their_order(client, server):
    client.call("count", 7, 0)

    assert server.asked.get(timeout=PATIENCE_S) == ("count", [7, 0])


def test_an_answer_without_value_is_none(client):
    assert client.call("nothing") is None


def test_many_calls_leave_nothing_behind(client):
    assert [client.call("echo", number) for number in range(300)] == list(range(300))

    assert repr(client) == f"<Client {client._endpoints[0]} open=0>"


def test_a_client_connects_by_itself(server):
    client = Client(server.endpoint)
    try:
        assert client.call("echo", 5) == 5
    finally:
        client.close()


def test_a_closed_client_is_closed_for_good(client):
    client.call("echo", 5)
    client.close()
    client.close()

    with pytest.raises(ClientClosed, match="the client is closed"):
        client.call("echo", 5)
    with pytest.raises(ClientClosed):
        client.wait_connected(0.0)


@pytest.mark.parametrize(
    ("value", "error"),
    [({1, 2}.__iter__(), TypeError), (2**64, OverflowError), ("\ud800", UnicodeEncodeError)],
)
def test_an_argument_that_cannot_travel_is_an_error_at_once(client, value, error):
    with pytest.raises(error):
        client.call("echo", value)

    assert open_calls(client) == 0


# Options


@pytest.mark.parametrize("kind", [int, Fraction, np.int64, np.float32, np.float64])
def test_times_and_slots_may_be_numbers_of_any_kind(server, kind):
    options = {"timeout": kind(5), "heartbeat": kind(1), "passive_heartbeat": np.bool_(0)}
    with Client(server.endpoint, **options) as client:
        assert client.wait_connected(kind(5))
        assert client.echo(5) == 5
        assert client.echo(6, timeout=kind(3)) == 6
        assert list(client.count(0, 30, slots=kind(10))) == list(range(30))
        assert client.echo(7, timeout=kind(2), async_=True).get(timeout=kind(5)) == 7
        gathering = client.gather()
        client.call_async("echo", 8, gathering=gathering)
        assert gathering.next(timeout=kind(5)).get() == 8
        predictions = client.predict_many("double", [{"x": 1}], window=kind(2), timeout=kind(4))
        assert list(predictions) == [2]
        assert client.predict_batch("double", [{"x": 1}], timeout=kind(4)) == [2]
    with Client(server.endpoint, timeout_s=kind(5), heartbeat_s=kind(1)) as client:
        assert client.echo(9) == 9


def test_an_option_that_is_no_number_is_an_error_and_no_call(client):
    for options in [{"timeout": "5"}, {"slots": "5"}, {"slots": None}]:
        with pytest.raises(TypeError, match="expected a number"):
            client.echo(5, **options)

    assert open_calls(client) == 0
    with pytest.raises(TypeError, match="expected a number"):
        Client(timeout="5")


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


# Time


def test_the_time_that_a_call_has_travels_with_it(client, server):
    client.call("echo", 5)

    assert PATIENCE_S - 1 < server.limits.get(timeout=PATIENCE_S) <= PATIENCE_S


def test_a_call_without_limit_has_none_on_the_way_either(server):
    with Client(server.endpoint, timeout_s=None) as client:
        client.call("echo", 5)

    assert server.limits.get(timeout=PATIENCE_S) is None


def test_a_stream_may_last_longer_than_its_first_item_may_take(client, server):
    client.call("safe_predict_stream")

    assert server.limits.get(timeout=PATIENCE_S) is None


def test_a_deadline_of_the_server_is_its_own(client, zerorpc_exceptions):
    with pytest.raises(zerorpc_exceptions.RemoteError, match="DeadlineExceeded: the model's"):
        client.call("fail", "DeadlineExceeded", "the model's", "")


# Repetition

REFUSALS = [("Overloaded", "full; retry_after_s=0.01"), ("Draining", "bye"), ("WorkerLost", "x")]


@pytest.mark.parametrize("method", ["get_status", "safe_predict", "safe_predict_stream"])
def test_what_is_safe_to_repeat_is_repeated_until_it_succeeds(retrying_client, server, method):
    server.failures.extend(REFUSALS)

    assert retrying_client.call(method) == "well"

    assert server.asked.qsize() == len(REFUSALS) + 1
    assert open_calls(retrying_client) == 0


@pytest.mark.parametrize("method", ["unsafe_predict", "get_status"])
def test_nothing_is_repeated_unasked(server, zerorpc_exceptions, method):
    server.failures.append(("Draining", "bye"))
    policy = RetryPolicy(models={"safe"}) if method == "unsafe_predict" else None
    with Client(server.endpoint, retry=policy) as client:
        with pytest.raises(zerorpc_exceptions.RemoteError, match="Draining"):
            client.call(method)

        assert client.call(method) == "well"


def test_a_mistake_is_not_repeated(retrying_client, server, zerorpc_exceptions):
    server.failures.append(("ValueError", "wrong"))

    with pytest.raises(zerorpc_exceptions.RemoteError, match="wrong"):
        retrying_client.call("get_status")

    assert server.asked.qsize() == 1


def test_no_call_is_repeated_after_its_deadline(server, zerorpc_exceptions):
    server.failures.extend([("Overloaded", "full; retry_after_s=60.00")] * 2)
    with Client(server.endpoint, retry=RetryPolicy()) as client:
        began_at = time.monotonic()
        with pytest.raises(zerorpc_exceptions.RemoteError, match="Overloaded"):
            client.call("get_status")

        assert time.monotonic() - began_at < PATIENCE_S


def test_each_repetition_has_what_is_left_of_the_time(retrying_client, server):
    server.failures.append(("Overloaded", "full; retry_after_s=0.20"))

    retrying_client.call("get_status")

    first, second = (server.limits.get(timeout=PATIENCE_S) for _ in range(2))
    assert second <= first - 0.2


def test_an_open_stream_lives_on_while_a_call_waits_for_its_repetition(server):
    policy = RetryPolicy()
    with Client(server.endpoint, heartbeat_s=HEARTBEAT_S, retry=policy) as client:
        stream = client.call("count", 0, 150)
        server.failures.append(("Overloaded", f"full; retry_after_s={4 * HEARTBEAT_S:.2f}"))

        assert client.call("get_status") == "well"

        assert list(stream) == list(range(150))


# A server that goes and comes back


def test_a_connection_that_breaks_is_told_at_once(client, server, zerorpc_exceptions):
    with meanwhile(lambda: server.stop_after("never")):
        began_at = time.monotonic()
        with pytest.raises(zerorpc_exceptions.LostRemote, match="the connection broke"):
            client.call("never")

    assert time.monotonic() - began_at < PATIENCE_S / 2
    assert open_calls(client) == 0


def test_a_stream_ends_with_its_connection_behind_what_had_come(client, server, zerorpc_exceptions):
    stream = client.call("one_and_silence")
    server.stop()

    assert next(stream) == "one"
    with pytest.raises(zerorpc_exceptions.LostRemote, match="the connection broke"):
        next(stream)


def test_the_same_client_talks_to_the_next_server(client, server, successor, monkeypatch):
    # A connection that ended within this time of its last use is not found out before the call.
    monkeypatch.setattr("zeropool.client.core.FRESH_S", 0.0)
    assert client.call("echo", 5) == 5
    server.stop()
    successor.start()

    assert client.call("echo", 6) == 6


def test_a_call_without_a_server_waits_for_one(client, server, successor):
    client.call("echo", 5)
    server.stop()

    with meanwhile(successor.start):
        assert client.call("echo", 6) == 6


def test_what_was_given_up_is_not_sent_to_a_later_server(server, successor, zerorpc_exceptions):
    with Client(server.endpoint, timeout_s=0.2) as client:
        client.wait_connected(PATIENCE_S)
        server.stop()
        with pytest.raises(zerorpc_exceptions.TimeoutExpired):
            client.call("echo", 6)
        successor.start()
        client.wait_connected(PATIENCE_S)
        client._timeout_s = PATIENCE_S

        assert client.call("echo", 7) == 7

    assert successor.server.asked.get(timeout=PATIENCE_S) == ("echo", [7])


def test_a_lost_call_is_repeated_with_the_next_server(retrying_client, server, successor):
    server.is_mute.set()

    def replace():
        server.stop_after("get_status")
        successor.start()

    with meanwhile(replace):
        assert retrying_client.call("get_status") == "well"


def test_a_silent_server_is_called_again(server):
    policy = RetryPolicy(first_wait_s=0.01)
    with Client(server.endpoint, heartbeat_s=HEARTBEAT_S, retry=policy) as client:
        server.is_mute.set()

        def speak():
            for _ in range(2):
                server.asked.get(timeout=PATIENCE_S)
            server.is_mute.clear()

        with meanwhile(speak):
            assert client.call("get_status") == "well"


# Streams


def test_a_stream_comes_item_by_item_against_credit(client, server):
    assert list(client.call("count", 0, 1000)) == list(range(1000))

    granted = 0
    while not server.credit.empty():
        granted += server.credit.get()
    assert 1000 <= granted + 1 <= 1100
    assert open_calls(client) == 0


def test_an_empty_stream_has_no_items(client):
    stream = client.call("count", 0, 0)

    assert list(stream) == []
    assert open_calls(client) == 0


def test_a_stream_that_fails_raises_behind_its_items(client, zerorpc_exceptions):
    stream = client.call("count_and_fail", 3)

    assert [next(stream) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(zerorpc_exceptions.RemoteError, match="ValueError: no more"):
        next(stream)
    assert open_calls(client) == 0


def test_one_may_leave_a_stream_early(client):
    for number in client.call("count", 0, 1000):
        if number == 150:
            break
    gc.collect()

    assert open_calls(client) == 0
    assert client.call("echo", 5) == 5
    assert list(client.call("count", 0, 200)) == list(range(200))


def test_a_stream_that_nobody_reads_is_given_up(client):
    client.call("count", 0, 1000)
    gc.collect()

    assert open_calls(client) == 0


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
            assert client.connection_failure == f"tcp://127.0.0.1:{port}: Connection refused"


def test_who_is_connected_has_no_failure_to_tell(client):
    client.wait_connected(PATIENCE_S)

    assert client.connection_failure == ""


def test_a_call_that_could_not_be_sent_has_zerorpcs_text_and_a_note_with_the_reason(
    zerorpc_exceptions,
):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"tcp://127.0.0.1:{unused.getsockname()[1]}"
        with (
            Client(endpoint, timeout=0.1) as client,
            pytest.raises(zerorpc_exceptions.TimeoutExpired) as caught,
        ):
            client.call("echo", 1)

    assert str(caught.value) == "timeout after 0.1s, when calling remote method echo"
    assert caught.value.__notes__ == [f"{endpoint}: Connection refused"]


def test_a_server_that_has_gone_is_there_no_more(server):
    with Client(server.endpoint) as client:
        assert client.wait_connected(PATIENCE_S)
        server.stop()

        assert not client.wait_connected(0.0)


@pytest.mark.parametrize("endpoint", ["nonsense", "tcp://*:4242", "inproc://x", "tcp://h:0"])
def test_an_endpoint_that_is_none_is_refused_as_zerorpc_does(endpoint):
    with pytest.raises(zmq.ZMQError, match="expected"):
        Client(endpoint)


def test_a_client_does_not_bind():
    with Client() as client, pytest.raises(NotImplementedError, match="does not bind tcp"):
        client.bind("tcp://127.0.0.1:1")


LOADED = """
import sys
from zeropool.client import Client
Client("tcp://127.0.0.1:1").close()
heavy = ("asyncio", "gevent", "numpy", "tenacity", "zerorpc", "zmq")
print([name for name in heavy if name in sys.modules])
"""


def test_the_client_loads_nothing_that_takes_its_time():
    ran = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, text=True, check=True, timeout=60
    )

    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize("host", ["a..name", "[fe80::1%a..b]"])
def test_a_host_that_is_no_name_is_as_one_that_nobody_has(host, monkeypatch, zerorpc_exceptions):
    died = []
    monkeypatch.setattr(threading, "excepthook", died.append)
    with (
        Client(f"tcp://{host}:4000", timeout=0.2) as client,
        pytest.raises(zerorpc_exceptions.TimeoutExpired),
    ):
        client.call("echo", 1)
    assert died == []


# Streams that are closed


def test_a_stream_that_is_closed_has_no_more_items(client):
    stream = client.call("count", 0, 500)
    assert next(stream) == 0

    stream.close()

    assert list(stream) == []
    assert client.call("echo", 5) == 5


def test_a_thread_that_reads_a_stream_ends_when_another_closes_it(client):
    stream = client.call("one_and_silence")
    assert next(stream) == "one"
    found = []
    reader = threading.Thread(target=lambda: found.append(list(stream)))
    reader.start()

    stream.close()

    reader.join(PATIENCE_S)
    assert found == [[]]
