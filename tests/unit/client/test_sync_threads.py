"""One blocking client for several threads, processes and greenlets, against a small server."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from small_server import HEARTBEAT_S, PATIENCE_S, Server

from zeropool.client import Client

THREADS = 8
CALLS = 300


@pytest.fixture
def client(server):
    with Client(server.endpoint, timeout=PATIENCE_S) as connected:
        yield connected


class Caller:
    """A thread, and what came of it."""

    def __init__(self, act):
        self.result = None
        self.error = None
        self._act = act
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        try:
            self.result = self._act()
        except Exception as error:  # noqa: BLE001 - told by `join`
            self.error = error

    def join(self):
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        return self


def waiting(client):
    """Threads that wait for the client."""
    return int(repr(client._crew).rpartition("waiting=")[2].rstrip(">"))


def until(is_true):
    end_at = time.monotonic() + PATIENCE_S
    while not is_true():
        assert time.monotonic() < end_at
        os.sched_yield()


# Threads


def test_each_of_many_threads_has_its_own_answers(client):
    def ask(number):
        return [client.call("echo", [number, step]) for step in range(CALLS)]

    callers = [Caller(lambda number=number: ask(number)) for number in range(THREADS)]

    for number, caller in enumerate(callers):
        caller.join()
        assert caller.error is None
        assert caller.result == [[number, step] for step in range(CALLS)]


def test_many_threads_read_streams_at_once(client):
    callers = [
        Caller(lambda first=first: list(client.call("count", first, 350)))
        for first in range(0, 1000 * THREADS, 1000)
    ]

    for number, caller in enumerate(callers):
        assert caller.join().result == list(range(1000 * number, 1000 * number + 350))


def test_a_call_is_answered_while_an_earlier_one_still_waits(client):
    leader = Caller(lambda: client("never", timeout=PATIENCE_S / 2))
    until(lambda: waiting(client) == 1)

    assert client.call("echo", 5) == 5

    client.close()
    assert "the client was closed" in str(leader.join().error)


def test_who_leads_is_followed_by_another_when_its_own_call_is_over(client, server):
    leader = Caller(lambda: client("never", timeout=1))
    until(lambda: waiting(client) == 1)
    followers = [Caller(lambda: client("never", timeout=1.5)) for _ in range(3)]
    until(lambda: waiting(client) == 4)

    assert "timeout after 1s" in str(leader.join().error)
    for follower in followers:
        assert "timeout after 1.5s" in str(follower.join().error)
    assert client.call("echo", 5) == 5


def test_one_that_gives_up_waiting_harms_nobody(client):
    leader = Caller(lambda: client("never", timeout=PATIENCE_S))
    until(lambda: waiting(client) == 1)
    pending = client.call_async("never")

    assert not pending.wait(0.05)
    assert client.call("echo", 5) == 5

    client.close()
    leader.join()


def test_all_who_wait_are_told_when_the_client_is_closed(client):
    callers = [Caller(lambda: client.call("never")) for _ in range(4)]
    until(lambda: waiting(client) == 4)

    client.close()

    assert ["the client was closed" in str(caller.join().error) for caller in callers] == [True] * 4


def test_a_signal_ends_the_call_of_its_thread_only(client):
    class Rang(Exception):  # noqa: N818 - what it says
        pass

    def ring(number, frame):
        raise Rang

    before = signal.signal(signal.SIGALRM, ring)
    try:
        for others in (0, 1):
            other = Caller(lambda: client("never", timeout=1.0)) if others else None
            until(lambda others=others: waiting(client) == others)
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            with pytest.raises(Rang):
                client.call("never")
            assert client.call("echo", 5) == 5
            if other is not None:
                assert "timeout after 1.0s" in str(other.join().error)
    finally:
        signal.signal(signal.SIGALRM, before)
    client._crew.attend()
    assert client._crew.core.open_calls == 0


def test_heartbeats_go_on_while_nobody_touches_an_open_stream(server):
    with Client(server.endpoint, heartbeat=HEARTBEAT_S, timeout=PATIENCE_S) as client:
        stream = client.call("one_and_silence")

        for _ in range(6):
            server.beats.get(timeout=PATIENCE_S)

        client.call("go_on", "two")
        assert [next(stream), next(stream)] == ["one", "two"]


def test_a_client_that_nobody_has_any_more_leaves_no_thread(server):
    client = Client(server.endpoint)
    stream = client.call("count", 0, 1000)
    standby = client._crew._standby
    assert standby.is_alive()

    del client, stream

    standby.join(PATIENCE_S)
    assert not standby.is_alive()


# Servers


def test_a_large_call_goes_through_both_ways(client):
    payload = bytes(range(256)) * 64 * 1024

    assert client.call("echo", payload) == payload


def test_small_calls_of_others_go_on_beside_large_ones(client):
    payload = bytes(4 * 1024 * 1024)
    large = [Caller(lambda: client.call("echo", payload)) for _ in range(3)]

    assert [client.call("echo", number) for number in range(100)] == list(range(100))
    assert all(caller.join().result == payload for caller in large)


def test_with_two_servers_the_other_has_all_calls_when_one_is_gone(server):
    other = Server()
    other.thread.start()
    with Client([server.endpoint, other.endpoint], timeout=PATIENCE_S) as client:
        until(lambda: client.call("echo", 1) and server.asked.qsize() and other.asked.qsize())
        other.stop()

        assert [client.call("echo", number) for number in range(20)] == list(range(20))


def test_a_host_may_be_named(server):
    port = server.endpoint.rpartition(":")[2]
    with Client(f"tcp://localhost:{port}", timeout=PATIENCE_S) as client:
        assert client.call("echo", 5) == 5


def test_a_name_that_does_not_exist_is_told():
    client = Client("tcp://no-such-host.invalid:4242", heartbeat=0.1)
    with client, pytest.raises(Exception, match=r"Lost remote after 0\.3s heartbeat"):
        client.call("echo", 5)


def test_a_server_may_listen_in_the_file_system(tmp_path):
    served = Server(f"ipc://{tmp_path}/server")
    served.thread.start()
    try:
        with Client(served.endpoint, timeout=PATIENCE_S) as client:
            assert client.call("echo", 5) == 5
    finally:
        served.stop()


def test_a_server_can_be_left(client, server):
    assert client.call("echo", 5) == 5

    client.disconnect(server.endpoint)

    with pytest.raises(Exception, match=r"timeout after 0\.1s"):
        client("echo", 5, timeout=0.1)
    client.connect(server.endpoint)
    assert client.call("echo", 6) == 6


class InterruptedCallError(Exception):
    """What a signal's handler raises."""


def interrupt_after_reading(client):
    """Raise once where the leader has read, and waits for the lock to deal with it."""
    crew = client._crew
    acquire = crew._lock._acquire
    left = [InterruptedCallError()]

    def interrupted_acquire(*args):
        if left and crew._engine.has_arrivals:
            raise left.pop()
        return acquire(*args)

    crew._lock._acquire = interrupted_acquire


def test_what_an_interrupted_leader_has_read_reaches_the_others(client):
    stream = client.call("one_and_silence")
    assert next(stream) == "one"
    leader = Caller(lambda: next(stream))
    until(lambda: waiting(client) == 1)
    interrupt_after_reading(client)

    assert client.call("go_on", "two") is None

    assert isinstance(leader.join().error, InterruptedCallError)
    assert next(stream) == "two"


# Processes and greenlets

FORKING = """
import os, sys
from zeropool.client import Client
client = Client(sys.argv[1], timeout=10)
stream = client.call("count", 0, 300)
assert next(stream) == 0
buffered = client.call("count", 0, 300)
assert next(buffered) == 0
while len(buffered._call.items) < 20:
    client.call("echo", 0)
gathering = client.gather()
pending = client.call_async("echo", "parent", gathering=gathering)
pid = os.fork()
if not pid:
    try:
        for take in (pending.get, gathering.next):
            try:
                take()
            except Exception as error:
                assert "another process" in str(error), error
            else:
                raise AssertionError
        told = []
        pending.add_done_callback(told.append)
        assert told == [pending]
        for _ in range(len(buffered._call.items)):
            next(buffered)
        assert [client.call("echo", number) for number in range(50)] == list(range(50))
        try:
            list(stream)
        except Exception as error:
            assert "another process" in str(error), error
        else:
            raise AssertionError
        code = 0
    except BaseException as error:
        print(repr(error))
        code = 1
    sys.stdout.flush()
    os._exit(code)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
assert list(stream) == list(range(1, 300))
assert list(buffered) == list(range(1, 300))
assert gathering.next() is pending
assert pending.get() == "parent"
assert client.call("echo", 5) == 5
client.close()
print("well")
"""

GREENLETS = """
from gevent import monkey
monkey.patch_all()
import sys
import gevent
from zeropool.client import Client
client = Client(sys.argv[1], timeout=10, heartbeat=0.2)
def wait():
    try:
        client("never", timeout=2)
    except Exception as error:
        return str(error)
waiting = gevent.spawn(wait)
ticks = []
def tick():
    while True:
        ticks.append(1)
        gevent.sleep(0.02)
ticking = gevent.spawn(tick)
callers = [gevent.spawn(client, "echo", number) for number in range(64)]
gevent.joinall(callers)
assert [caller.value for caller in callers] == list(range(64))
assert not waiting.ready()
stream = client.count(0, 500)
gevent.sleep(0.7)
assert list(stream) == list(range(500))
waiting.join()
assert "timeout after 2s" in waiting.value, waiting.value
assert len(ticks) > 40, len(ticks)
client.close()
print("well")
"""


@pytest.mark.parametrize("program", [FORKING, GREENLETS], ids=["fork", "gevent"])
def test_a_client_works_in_a_program_that(server, program):
    ran = subprocess.run(
        [sys.executable, "-c", program, server.endpoint],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (ran.stdout, ran.stderr, ran.returncode) == ("well\n", "", 0)
