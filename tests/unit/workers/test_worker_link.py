"""A worker's connections to its gateways, with real listening sockets."""

import contextlib
import math
import select
import socket
import threading
import time

import pytest

from zeropool.shared import jobs
from zeropool.shared.wire.answerer import Answerer
from zeropool.shared.wire.kinds import Kind
from zeropool.shared.wire.zmtp import GREETING, ready_command
from zeropool.workers.link import (
    LONGEST_RECONNECT_S,
    MAX_WAIT_S,
    MOST_PINGS,
    PING_INTERVAL_S,
    GatewayLinks,
)

LARGE = b"x" * 20_000_000
#: Longest that anything here takes.
WAIT_MS = 10_000


class StoppedClock:
    """Stands still, until it is set; while somebody waits by it, time passes as it does."""

    def __init__(self):
        self.now = 100.0
        self._looked_at = None

    def __call__(self):
        looked_at = time.monotonic()
        if self._looked_at is not None:
            self.now += looked_at - self._looked_at
        self._looked_at = looked_at
        return self.now

    def stop(self):
        self._looked_at = None


class Gateway:
    """A port to which workers connect, one after the other."""

    def __init__(self, family=socket.AF_INET, address=("127.0.0.1", 0)):
        self.server = socket.socket(family)
        self.server.bind(address)
        self.server.listen()
        self.server.settimeout(WAIT_MS / 1000)
        self.port = self.server.getsockname()[1]
        self.endpoint = f"tcp://127.0.0.1:{self.port}"
        self.sock = None
        self.pulse = None

    def accept(self):
        """Shake hands with a worker that connects; return whose pulse it says that it has."""
        self._hang_up()
        self.sock, self.peer, said = self._shake_hands()
        assert said == []
        self.pulse, peer, said = self._shake_hands()
        while not said:
            said = peer.receive(self.pulse.recv(1_000))
        return jobs.decode_pulse(said[0]).worker

    def _shake_hands(self):
        sock, _ = self.server.accept()
        sock.settimeout(WAIT_MS / 1000)
        peer = Answerer(Kind.PULL, 100_000_000)
        said = []
        while not peer.is_ready:
            _speak(sock, peer)
            said += peer.receive(sock.recv(1_000))
        _speak(sock, peer)
        return sock, peer, said

    def _speak(self):
        _speak(self.sock, self.peer)

    def take(self, count=1):
        """So many messages."""
        messages = []
        while len(messages) < count:
            data = self.sock.recv(1_000_000)
            assert data, "the worker hung up"
            messages += self.peer.receive(data)
            self._speak()
        return messages

    def take_what_is_there(self):
        """The messages that have come by now; whatever else there is, is answered."""
        messages = []
        self.sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while data := self.sock.recv(1_000_000):
                messages += self.peer.receive(data)
                self._speak()
        self.sock.settimeout(WAIT_MS / 1000)
        return messages

    def is_left(self):
        """The worker has hung up; what it had said is thrown away."""
        with contextlib.suppress(OSError):
            while self.sock.recv(1_000_000):
                pass
        return True

    def close(self):
        self.server.close()
        self._hang_up()

    def _hang_up(self):
        for sock in (self.sock, self.pulse):
            if sock is not None:
                sock.close()


def _speak(sock, peer):
    for part in peer.replies:
        sock.sendall(part)
    peer.replies.clear()


@pytest.fixture
def gateway():
    with contextlib.closing(Gateway()) as gateway:
        yield gateway


class Rig:
    """The links of one worker, and the poll that tells of them."""

    def __init__(self, *endpoints):
        self.clock = StoppedClock()
        self.epoll = select.epoll()
        self.links = GatewayLinks(endpoints, "w1")
        self.links.open(self.epoll)

    def step(self):
        """Wait until something happens, and take it; return who came up."""
        assert self.links.fileno() in dict(self.epoll.poll(WAIT_MS / 1000))
        return self.links.step(self.clock.now)

    def come_up(self, gateway):
        """Connect to a gateway, which accepts."""
        self.links.tick(self.clock.now)
        gateway.accept()
        return self.step()

    def lose(self, number=0):
        """Step until the connection is known to have ended."""
        while self.links.send(number, b"", self.clock.now):
            self.step()

    def close(self):
        self.links.close(self.clock.now, self.clock)
        self.epoll.close()


@pytest.fixture
def rig(gateway):
    with contextlib.closing(Rig(gateway.endpoint)) as rig:
        yield rig


def test_nothing_is_sent_before_the_handshake_and_everything_in_order_after_it(rig, gateway):
    assert rig.links.next_deadline() == -math.inf
    assert not rig.links.send(0, b"early", rig.clock.now)
    assert rig.come_up(gateway) == [0]

    assert rig.links.send(0, b"first", rig.clock.now)
    assert rig.links.send(0, LARGE, rig.clock.now)
    assert rig.links.is_blocked
    assert rig.links.send(0, b"last", rig.clock.now)
    taken = []
    while rig.links.is_blocked:
        taken += gateway.take_what_is_there()
        rig.step()
    taken += gateway.take(3 - len(taken))

    assert taken == [b"first", LARGE, b"last"]
    assert not rig.links.is_blocked


def test_a_gateway_that_ends_is_connected_to_again_and_what_was_unsent_is_gone(rig, gateway):
    rig.come_up(gateway)
    rig.links.send(0, LARGE, rig.clock.now)
    gateway.sock.close()
    rig.lose()
    assert not rig.links.is_blocked
    assert rig.links.take_ends() == [0]
    assert rig.links.take_ends() == []
    due_at = rig.links.next_deadline()
    assert rig.clock.now < due_at <= rig.clock.now + 0.1

    rig.clock.now = due_at
    assert rig.come_up(gateway) == [0]
    rig.links.send(0, b"new", rig.clock.now)
    assert gateway.take() == [b"new"]


def test_a_gateway_that_is_not_there_is_tried_again_and_again_in_longer_and_longer_waits():
    with Gateway().server as nobody:
        endpoint = f"tcp://127.0.0.1:{nobody.getsockname()[1]}"
    with contextlib.closing(Rig(endpoint)) as rig:
        waits = []
        for _ in range(8):
            rig.links.tick(rig.clock.now)
            assert rig.step() == []
            waits.append(rig.links.next_deadline() - rig.clock.now)
            rig.clock.now = rig.links.next_deadline()

        assert rig.links.failure(endpoint) == "Connection refused"
    assert 0.05 <= waits[0] <= 0.1
    assert 0.9 <= waits[-1] <= LONGEST_RECONNECT_S


def test_a_gateway_is_found_by_its_name(gateway):
    with contextlib.closing(Rig(f"tcp://localhost:{gateway.port}")) as rig:
        assert rig.come_up(gateway) == [0]
        rig.links.send(0, b"hello", rig.clock.now)
        assert gateway.take() == [b"hello"]


@pytest.mark.parametrize("name", ["a.name.invalid", "a..name"])
def test_a_name_that_nobody_has_is_looked_up_again_later(name):
    endpoint = f"tcp://{name}:4000"
    with contextlib.closing(Rig(endpoint)) as rig:
        rig.links.tick(rig.clock.now)
        assert rig.links.next_deadline() == math.inf
        assert rig.step() == []

        assert rig.clock.now < rig.links.next_deadline() <= rig.clock.now + 0.1
        assert rig.links.failure(endpoint)


def test_a_pulse_beats_beside_the_connection_and_says_whose_it_is(rig, gateway):
    rig.links.tick(rig.clock.now)
    assert gateway.accept() == "w1"
    assert rig.step() == [0]

    # Nobody steps: libzmq's thread does it.
    assert gateway.pulse.recv(1_000).endswith(b"\x04PING\x00\x00")


def test_without_a_pulse_the_connection_is_made_again(rig, gateway):
    rig.come_up(gateway)
    gateway.pulse.close()
    for _ in range(1_000):
        rig.clock.now += PING_INTERVAL_S
        rig.links.tick(rig.clock.now)
        if not rig.links.send(0, b"", rig.clock.now):
            break
        gateway.take_what_is_there()
        rig.step()
    assert gateway.is_left()

    rig.clock.now = rig.links.next_deadline()
    assert rig.come_up(gateway) == [0]


def test_whoever_takes_no_pulse_is_no_gateway(rig, gateway):
    rig.links.tick(rig.clock.now)
    gateway.sock, gateway.peer, _ = gateway._shake_hands()
    gateway.server.accept()[0].close()

    assert rig.step() == []
    assert gateway.is_left()
    assert rig.links.next_deadline() <= rig.clock.now + 0.1


def test_a_gateway_is_found_by_a_path_that_it_knows_by_another_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with (
        contextlib.closing(Gateway(socket.AF_UNIX, "gateway.ipc")) as gateway,
        contextlib.closing(Rig(f"ipc://{tmp_path}/gateway.ipc")) as rig,
    ):
        monkeypatch.chdir("/")
        assert rig.come_up(gateway) == [0]


def test_a_gateway_that_answers_signs_of_life_is_kept(rig, gateway):
    rig.come_up(gateway)
    for _ in range(10):
        rig.clock.now += PING_INTERVAL_S
        rig.links.tick(rig.clock.now)
        gateway.take_what_is_there()
        rig.step()

    assert rig.links.send(0, b"", rig.clock.now)


def test_a_frozen_gateway_is_hung_up_on_when_so_many_signs_of_life_are_missing(rig, gateway):
    rig.come_up(gateway)
    for _ in range(MOST_PINGS):
        rig.clock.now += PING_INTERVAL_S
        rig.links.tick(rig.clock.now)
        assert rig.links.send(0, b"", rig.clock.now)
    rig.clock.now += PING_INTERVAL_S
    rig.links.tick(rig.clock.now)

    assert not rig.links.send(0, b"", rig.clock.now)
    assert gateway.is_left()


def test_a_pause_of_the_worker_is_no_silence_of_the_gateway(rig, gateway):
    rig.come_up(gateway)
    for _ in range(MOST_PINGS):
        rig.clock.now += 100 * PING_INTERVAL_S
        rig.links.tick(rig.clock.now)

    assert rig.links.send(0, b"", rig.clock.now)


def test_a_gateway_that_takes_little_at_a_time_is_waited_for_again(rig, gateway):
    rig.come_up(gateway)
    rig.links.send(0, 4 * LARGE, rig.clock.now)
    waits_s = []
    for _ in range(2):
        gateway.take_what_is_there()
        rig.clock.stop()
        began_at = rig.clock.now
        rig.links.wait(rig.clock)
        waits_s.append(rig.clock.now - began_at)

    assert min(waits_s) >= MAX_WAIT_S


def test_a_gateway_that_takes_no_more_is_waited_for_until_that_is_known(rig, gateway):
    rig.come_up(gateway)
    rig.links.send(0, LARGE, rig.clock.now)
    waits_s = []
    # The kernel of the other end may make more room once or twice.
    while not waits_s or waits_s[-1]:
        rig.clock.stop()
        began_at = rig.clock.now
        rig.links.wait(rig.clock)
        waits_s.append(rig.clock.now - began_at)

    assert len(waits_s) < 5
    assert waits_s[0] >= MAX_WAIT_S
    assert rig.links.is_blocked


def test_at_the_end_what_was_sent_arrives(rig, gateway):
    rig.come_up(gateway)
    rig.links.send(0, b"last words", rig.clock.now)
    gateway.sock.shutdown(socket.SHUT_WR)
    rig.links.close(rig.clock.now + 1.0, rig.clock)

    assert gateway.take() == [b"last words"]
    assert gateway.sock.recv(1) == b""
    rig.links = GatewayLinks([], "w1")
    rig.links.open(rig.epoll)


def test_a_port_of_something_else_is_no_gateway(rig, gateway):
    rig.links.tick(rig.clock.now)
    gateway.sock, _ = gateway.server.accept()
    gateway.sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    assert rig.step() == []
    assert gateway.is_left()
    assert rig.links.next_deadline() <= rig.clock.now + 0.1
    assert rig.links.failure(gateway.endpoint) == "the server does not speak ZMTP"


def test_a_try_that_ends_after_the_worker_is_closed_at_once(gateway):
    rig = Rig(gateway.endpoint)
    rig.links.tick(rig.clock.now)
    sock, _ = gateway.server.accept()
    rig.close()
    with sock:
        sock.sendall(GREETING + ready_command(b"PULL"))
        gateway.sock = sock
        assert gateway.is_left()


def test_without_a_thread_it_is_tried_later(rig, gateway, monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    rig.links.tick(rig.clock.now)

    assert rig.clock.now < rig.links.next_deadline() <= rig.clock.now + 0.1
    assert rig.links.failure(gateway.endpoint) == "can't start new thread"


def test_without_a_thread_it_ends_all_the_same(gateway, monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    rig = Rig(gateway.endpoint)
    rig.come_up(gateway)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        rig.close()
    assert gateway.is_left()
    # The end of the process would do that.
    rig.links._context.term()
