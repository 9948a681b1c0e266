"""The HTTP side against clients of every kind, with a loop that answers or hangs."""

import contextlib
import http.client
import select
import socket
import threading
import time

import pytest
from harness import free_endpoint, wait_until

from zeropool.gateway.httpd import CLIENT_TIMEOUT_S, MAX_CLIENTS, MAX_HEAD_BYTES, Httpd
from zeropool.gateway.metrics import Memory, Snapshot
from zeropool.shared.errors import ConfigError

STATUS = {
    "name": "zeropool",
    "version": "1.0",
    "state": "serving",
    "uptime_s": 1.0,
    "clients": 0,
    "open_calls": 0,
    "calls_per_s": 0.0,
    "held_bytes": 0,
    "redispatched": 0,
    "dropped": {},
    "models": [],
    "workers": [],
}
MEMORY = Memory(0, 0, 0, 0)
READY = Snapshot(STATUS, {}, MEMORY, 0, {}, {}, [])
UNREADY = Snapshot(STATUS, {}, MEMORY, 0, {}, {}, ["no ready worker holds double", "draining"])


class Loop:
    """Answers as a gateway's loop does, on a thread of its own, until it is told to hang."""

    def __init__(self):
        self.address = free_endpoint().removeprefix("tcp://")
        self.snapshot = READY
        self.answers = 0
        self._ends = threading.Event()
        self._hangs = threading.Event()
        self.httpd = Httpd(self.address)
        self.httpd.open()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        poller = select.poll()
        poller.register(self.httpd.fileno(), select.POLLIN)
        while not self._ends.is_set():
            if poller.poll(10) and not self._hangs.is_set():
                self.httpd.answer(self._answer)

    def _answer(self):
        self.answers += 1
        return self.snapshot

    def hang(self):
        self._hangs.set()

    def go_on(self):
        self._hangs.clear()

    def close(self):
        self._ends.set()
        self._thread.join()
        self.httpd.close()

    def connect(self):
        host, _, port = self.address.partition(":")
        return socket.create_connection((host, int(port)), timeout=10.0)

    def get(self, path, method="GET", accept=""):
        host, _, port = self.address.partition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=10.0)
        try:
            connection.request(method, path, headers={"Accept": accept})
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()


@pytest.fixture
def loop():
    loop = Loop()
    yield loop
    loop.close()


def test_health_is_told_while_the_loop_answers(loop):
    assert loop.get("/healthz") == (200, "ok\n")


def test_a_loop_that_hangs_is_not_healthy_until_it_answers_again(loop):
    loop.hang()
    for path in ("/healthz", "/readyz", "/metrics"):
        status, text = loop.get(path)
        assert status == 503
        assert "has not answered" in text
    loop.go_on()
    assert loop.get("/healthz") == (200, "ok\n")


def test_readiness_is_told_with_the_reasons(loop):
    assert loop.get("/readyz") == (200, "ready\n")
    loop.snapshot = UNREADY
    assert loop.get("/readyz") == (503, "no ready worker holds double\ndraining\n")


def test_metrics_are_text_or_openmetrics(loop):
    status, text = loop.get("/metrics?whatever")
    assert status == 200
    assert "zeropool_ready 1.0" in text
    accept = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"
    _, text = loop.get("/metrics", accept=accept)
    assert text.endswith("# EOF\n")


def test_people_get_a_page(loop):
    status, text = loop.get("/")
    assert status == 200
    assert text.startswith("<!doctype html>")


def test_other_paths_and_methods_are_refused(loop):
    assert loop.get("/etc/passwd")[0] == 404
    assert loop.get("/healthz", "POST")[0] == 501
    assert loop.get("/healthz", "HEAD") == (200, "")


@pytest.mark.parametrize(
    "bytes_sent", [b"\r\n\r\n", b"garbage\r\n\r\n", b"GET /\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"]
)
def test_a_client_that_speaks_no_http_harms_nobody(loop, bytes_sent):
    with loop.connect() as client:
        client.sendall(bytes_sent)
        while client.recv(4096):
            pass
    assert loop.get("/healthz")[0] == 200


def test_a_head_that_is_too_large_ends_the_connection(loop):
    with loop.connect() as client, contextlib.suppress(ConnectionError):
        client.sendall(b"GET /healthz HTTP/1.1\r\n" + b"x: y\r\n" * MAX_HEAD_BYTES)
        assert client.recv(4096) == b""
    assert loop.get("/healthz")[0] == 200


def drip(client):
    """Send a byte again and again until the server hangs up."""
    client.settimeout(0.1)
    while True:
        client.sendall(b"G")
        with contextlib.suppress(TimeoutError):
            if client.recv(1) == b"":
                raise ConnectionResetError


def test_a_client_that_drips_its_request_has_to_end_in_time(loop):
    with loop.connect() as client:
        started_at = time.monotonic()
        with pytest.raises(ConnectionError):
            drip(client)
        assert time.monotonic() - started_at < 2 * CLIENT_TIMEOUT_S


def test_silent_clients_in_any_number_hold_up_no_probe(loop):
    silent = [loop.connect() for _ in range(4 * MAX_CLIENTS)]
    try:
        for _ in range(3):
            started_at = time.monotonic()
            assert loop.get("/healthz") == (200, "ok\n")
            assert time.monotonic() - started_at < CLIENT_TIMEOUT_S / 2
        assert threading.active_count() <= MAX_CLIENTS + 5
    finally:
        for client in silent:
            client.close()


def test_many_askers_are_answered_together(loop):
    loop.hang()
    statuses = []
    askers = [
        threading.Thread(target=lambda: statuses.append(loop.get("/healthz")[0])) for _ in range(8)
    ]
    for asker in askers:
        asker.start()
    wait_until(lambda: threading.active_count() >= 8 + 8, "askers and their servers wait")
    loop.go_on()
    for asker in askers:
        asker.join()
    assert statuses == [200] * 8
    assert loop.answers <= 8


def test_a_port_that_is_taken_is_an_error_of_the_configuration(loop):
    with pytest.raises(ConfigError, match=r"http\.bind = .* cannot bind: Address already in use"):
        Httpd(loop.address).open()


def test_nobody_is_kept_waiting_by_a_server_that_closes():
    loop = Loop()
    loop.hang()
    statuses = []
    asker = threading.Thread(target=lambda: statuses.append(loop.get("/healthz")[0]))
    asker.start()
    loop.close()
    asker.join(5.0)
    assert not asker.is_alive()
