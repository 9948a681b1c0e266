"""A worker's port for jobs, with real gateways' sockets."""

import contextlib
import select
import socket
import stat
import threading
import time
from pathlib import Path

import pytest
import zmq

from zeropool.shared import endpoints
from zeropool.shared.errors import ConfigError
from zeropool.shared.ports.reception import HANDSHAKE_TIMEOUT_S
from zeropool.shared.sockets import socket_for
from zeropool.shared.wire.zmtp import GREETING, frame, frame_head, ready_command
from zeropool.workers.job_port import JobPort

#: Longest that anything here takes.
WAIT_S = 10.0
START = 100.0


class Rig:
    """The port, and the poll that tells of it; the test sets the time."""

    def __init__(self, endpoint):
        self.taken = []
        self.reports = []
        self.epoll = select.epoll()
        self.port = JobPort(
            endpoint,
            lambda frame, _now: self.taken.append(frame),
            lambda reason, _text, about: self.reports.append((reason, about)),
        )
        self.port.open(self.epoll)

    def step(self, now=START, wait_s=WAIT_S):
        ready = {fd for fd, _ in self.epoll.poll(wait_s)}
        self.port.step(ready, now)
        self.port.flush(now)
        return bool(ready)

    def take(self, count):
        while len(self.taken) < count:
            assert self.step()
        return self.taken

    def close(self):
        self.port.close()
        self.epoll.close()


@pytest.fixture(params=["tcp", "ipc"])
def rig(request, tmp_path):
    endpoint = "tcp://127.0.0.1:*" if request.param == "tcp" else f"ipc://{tmp_path}/jobs.ipc"
    with contextlib.closing(Rig(endpoint)) as rig:
        yield rig


@pytest.fixture
def push():
    with zmq.Context() as context, context.socket(zmq.PUSH) as push:
        push.setsockopt(zmq.LINGER, 0)
        yield push


def test_jobs_of_a_libzmq_gateway_are_taken_in_order(rig, push):
    assert not rig.port.has_callers
    push.connect(rig.port.endpoint)
    for number in range(100):
        push.send(b"%d" % number)
    large = b"x" * 3_000_000
    push.send(large)

    assert rig.take(101) == [*(b"%d" % number for number in range(100)), large]
    assert rig.port.has_callers


def test_a_gateway_that_hangs_up_is_no_caller_any_more(rig, push):
    push.connect(rig.port.endpoint)
    push.send(b"job")
    rig.take(1)
    push.close()
    while rig.port.has_callers:
        assert rig.step()

    assert rig.reports == []


def test_who_is_no_gateway_is_hung_up_on_and_reported(rig):
    with dialled(rig.port.endpoint, b"DEALER"):
        while not rig.reports:
            assert rig.step()

    [(reason, about)] = rig.reports
    assert reason == "gateway_no_zmtp"
    assert "DEALER" in about["error"]
    assert rig.taken == []


def test_a_stranger_has_its_time_but_not_that_in_which_nobody_looked():
    with (
        contextlib.closing(Rig("tcp://127.0.0.1:*")) as rig,
        socket.create_connection(("127.0.0.1", _port_of(rig.port.endpoint)), WAIT_S) as stranger,
    ):
        rig.step()
        assert rig.port.next_deadline() == START + HANDSHAKE_TIMEOUT_S
        rig.port.was_away(30.0)
        rig.port.tick(START + 30.0)
        assert rig.port.has_callers

        rig.port.tick(START + 30.0 + HANDSHAKE_TIMEOUT_S)
        assert not rig.port.has_callers
        stranger.settimeout(WAIT_S)
        assert stranger.recv(100) + stranger.recv(100) == b"\xff" + bytes(7) + b"\x01\x7f"


def test_a_large_message_is_finished_for_as_long_as_more_of_it_comes(rig):
    large = frame(b"x" * 4_000_000)
    with dialled(rig.port.endpoint) as sock:
        sender = threading.Thread(target=sock.sendall, args=(large,))
        sender.start()
        while not rig.port.is_amid_message:
            assert rig.step()
        # Each look takes a part of it; nobody polls in between.
        while not rig.taken:
            rig.port.finish_message(time.monotonic() + WAIT_S, time.monotonic)
        sender.join(WAIT_S)

    assert rig.taken == [b"x" * 4_000_000]
    assert not rig.port.is_amid_message


def test_who_stops_amid_a_message_is_not_waited_for(rig):
    with dialled(rig.port.endpoint) as sock:
        sock.sendall(frame(b"x" * 1_000)[:500])
        while not rig.port.is_amid_message:
            assert rig.step()
        began_at = time.monotonic()
        rig.port.finish_message(began_at + 10 * WAIT_S, time.monotonic)

        assert time.monotonic() - began_at < WAIT_S
        assert rig.port.is_amid_message


def test_who_goes_on_without_an_end_is_not_waited_for_beyond_the_time(rig):
    def go_on():
        with contextlib.suppress(OSError):
            while True:
                sock.sendall(b"x" * 10_000)

    with dialled(rig.port.endpoint) as sock:
        sock.sendall(frame_head(1 << 32))
        sender = threading.Thread(target=go_on)
        sender.start()
        while not rig.port.is_amid_message:
            assert rig.step()
        times = iter([0.0] * 20 + [1.0])
        for _ in range(20):
            # It may be slow for once.
            rig.port.finish_message(1.0, lambda: next(times, 1.0))
        rig.port.close()
        sender.join(WAIT_S)

    assert next(times, None) is None
    assert not sender.is_alive()


def test_the_system_chooses_the_port_of_an_endpoint_that_has_none():
    with contextlib.closing(Rig("tcp://127.0.0.1:*")) as rig:
        assert _port_of(rig.port.endpoint) > 0


def test_a_port_that_is_taken_is_told_with_its_setting(rig):
    with pytest.raises(ConfigError, match=r"^worker\.bind = "):
        Rig(rig.port.endpoint)


def test_the_socket_of_an_ipc_endpoint_is_there_until_it_is_closed(tmp_path):
    path = Path(tmp_path) / "jobs.ipc"
    with contextlib.closing(Rig(f"ipc://{path}")):
        assert stat.S_ISSOCK(path.stat().st_mode)
    assert not path.exists()


def dialled(endpoint, kind=b"PUSH"):
    """Who has said all that a peer of that kind has to say before its first message."""
    sock, address = socket_for(endpoints.parse(endpoint))
    sock.settimeout(WAIT_S)
    sock.connect(address)
    sock.sendall(GREETING + ready_command(kind))
    return sock


def _port_of(endpoint):
    return int(endpoint.rpartition(":")[2])
