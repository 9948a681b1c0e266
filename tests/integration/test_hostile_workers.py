"""Registrations that no worker would send, by the thousand: counted, and everybody else served."""

import contextlib
import socket
from collections import Counter
from collections.abc import Callable, Iterator

import psutil
import pytest
import zmq
from harness import Service, free_endpoint, model_tables, wait_until
from raw_dealer import RawDealer
from zmtp_peer import open_socket

from zeropool.gateway.enrolment import MAX_CONNECTING
from zeropool.gateway.pool import CONNECT_TIMEOUT_S
from zeropool.shared import jobs
from zeropool.shared.model import ModelInfo

ECHO = model_tables("fixture_models.plain.EchoModel")
BOGUS = ModelInfo(
    qualified_name="bogus",
    display_name="",
    description="",
    major_version=0,
    minor_version=0,
    input_schema={},
    output_schema={},
)
#: A PUSH socket, its monitor and a connection.
DESCRIPTORS_OF_A_LINK = 4


@pytest.fixture
def port() -> str:
    return free_endpoint()


@pytest.fixture
def service(serve: Callable[..., Service], port: str) -> Service:
    return serve(f'gateway.workers_bind = "{port}"\n' + ECHO, workers=1).ready()


@pytest.fixture
def impostor(port: str) -> Iterator[Callable[..., None]]:
    """Registers with an endpoint, as a new worker each time or as the one that is named."""
    context = zmq.Context()
    push = context.socket(zmq.PUSH)
    push.sndtimeo = 20_000
    push.connect(port)
    names = (f"impostor-{number}" for number in range(1_000_000))

    def register(endpoint: str, name: str = "", **changes: object) -> None:
        fields = {
            "worker": name or next(names),
            "protocol_version": jobs.PROTOCOL_VERSION,
            "link": 0,
            "endpoint": endpoint,
            "credit": 128,
            "pid": 1,
            "host": "here",
            "models": [BOGUS],
        }
        push.send(jobs.encode(jobs.Register(**(fields | changes))))

    yield register
    push.close(linger=0)
    context.term()


def drops(dealer: RawDealer) -> Counter[str]:
    _, (status,) = dealer.ask("get_status")
    return Counter(status["dropped"])


BAD_ENDPOINTS = [
    "",
    "nonsense",
    "inproc://gateway",
    "udp://127.0.0.1:4000",
    "tcp://a.name.that.must.be.looked.up.example:4000",
    "tcp://127.0.0.1:0",
    "ipc://" + "x" * 300,
    "tcp://*:4000",
    "ftp://127.0.0.1:21",
]
#: Numeric, but of no network here.
NOWHERE = ["tcp://[fe80::1%a..b]:5555", f"tcp://[fe80::1%{'z' * 70}]:5555"]


def test_thousands_of_impossible_endpoints_cost_nothing(service, impostor):
    gateway = service.gateway_process()
    with RawDealer(service.endpoint) as dealer:
        assert dealer.ask("echo_predict", 1) == ("OK", [1])
        before = gateway.num_fds()
        for _ in range(500):
            for endpoint in BAD_ENDPOINTS:
                impostor(endpoint)
        wait_until(lambda: drops(dealer)["register_endpoint"] == 4500, "all are refused")
        assert gateway.num_fds() <= before + 1
        assert dealer.ask("echo_predict", 2) == ("OK", [2])
        _, (models,) = dealer.ask("get_models")
    assert [model["qualified_name"] for model in models] == ["echo"]
    assert service.output.count("worker refused") < 100


def test_endpoints_of_no_network_are_told_of_and_cost_nothing(service, impostor):
    with RawDealer(service.endpoint) as dealer:
        for endpoint in NOWHERE:
            impostor(endpoint)
        wait_until(lambda: drops(dealer)["worker_unreachable"] == len(NOWHERE), "both are told of")
        assert dealer.ask("echo_predict", 2) == ("OK", [2])


def test_workers_that_never_answer_are_bounded_and_forgotten(service, impostor):
    gateway = service.gateway_process()
    with (
        RawDealer(service.endpoint) as dealer,
        socket.create_server(("127.0.0.1", 0), backlog=1000) as mute,
    ):
        assert dealer.ask("echo_predict", 1) == ("OK", [1])
        before = gateway.num_fds()
        for _ in range(500):
            impostor(f"tcp://127.0.0.1:{mute.getsockname()[1]}")
        wait_until(
            lambda: drops(dealer)["register_connecting"] == 500 - MAX_CONNECTING, "the cap holds"
        )
        assert gateway.num_fds() < before + DESCRIPTORS_OF_A_LINK * MAX_CONNECTING + 10
        assert dealer.ask("echo_predict", 2) == ("OK", [2])
        wait_until(
            lambda: gateway.num_fds() <= before + 1, "all are forgotten", CONNECT_TIMEOUT_S + 10
        )
        assert dealer.ask("echo_predict", 3) == ("OK", [3])
        assert dealer.ask("bogus_predict", 1)[1][0] == "NameError"


def test_endpoints_where_nobody_listens_are_tried_once_each(service, impostor):
    gateway = service.gateway_process()
    nowhere = free_endpoint()
    with RawDealer(service.endpoint) as dealer:
        assert dealer.ask("echo_predict", 1) == ("OK", [1])
        before = gateway.num_fds()
        for _ in range(1000):
            impostor(nowhere)
        # The last word of a sender comes after all others.
        impostor("", name="last")
        wait_until(lambda: drops(dealer)["register_endpoint"] == 1, "all were taken")
        wait_until(lambda: gateway.num_fds() <= before + 1, "all are forgotten")
        _, (status,) = dealer.ask("get_status")
        assert len(status["workers"]) == 1
        assert dealer.ask("echo_predict", 2) == ("OK", [2])
    assert service.output.count("worker lost") < 200


def test_a_worker_that_repeats_itself_is_one_worker(service, impostor):
    gateway = service.gateway_process()
    context = zmq.Context()
    with (
        contextlib.closing(context.socket(zmq.PULL)) as pull,
        RawDealer(service.endpoint) as dealer,
    ):
        pull.linger = 0
        number = pull.bind_to_random_port("tcp://127.0.0.1")
        before = gateway.num_fds()
        for _ in range(5000):
            impostor(f"tcp://127.0.0.1:{number}", name="again")
        impostor("", name="last")
        wait_until(lambda: drops(dealer)["register_endpoint"] == 1, "all were taken")
        _, (status,) = dealer.ask("get_status")
        assert [worker["state"] for worker in status["workers"]].count("ready") == 2
        assert gateway.num_fds() <= before + DESCRIPTORS_OF_A_LINK + 2
        assert dealer.ask("echo_predict", 2) == ("OK", [2])
    context.term()


def test_more_workers_than_may_be_are_refused(serve, port, impostor):
    service = serve(
        f'gateway.workers_bind = "{port}"\ngateway.max_workers = 1\n' + ECHO, workers=1
    ).ready()
    with RawDealer(service.endpoint) as dealer:
        impostor(free_endpoint())
        wait_until(lambda: drops(dealer)["register_workers"] == 1, "it is refused")
        assert dealer.ask("echo_predict", 1) == ("OK", [1])
    assert "max_workers 1 workers are registered" in service.output


@pytest.mark.parametrize("missing", [1, 2, 3, 4])
def test_a_gateway_without_descriptors_goes_on_and_recovers(service, missing):
    gateway = service.gateway_process()
    with RawDealer(service.endpoint) as dealer:
        assert dealer.ask("echo_predict", 1) == ("OK", [1])
        before = gateway.rlimit(psutil.RLIMIT_NOFILE)
        (pid,) = [worker["pid"] for worker in dealer.ask("get_status")[1][0]["workers"]]
        # What the next worker needs is not there: a connection, a socket, a monitor, or another.
        gateway.rlimit(psutil.RLIMIT_NOFILE, (gateway.num_fds() - missing, before[1]))
        psutil.Process(pid).kill()
        service.wait_for_output("listening worker=", times=2)
        for _ in range(20):
            with open_socket(service.endpoint):
                assert dealer.ask("_zerorpc_ping")[0] == "OK"
        assert dealer.ask("_zerorpc_ping")[0] == "OK"
        gateway.rlimit(psutil.RLIMIT_NOFILE, before)
        wait_until(
            lambda: any(
                worker["state"] == "ready" for worker in dealer.ask("get_status")[1][0]["workers"]
            ),
            "the worker is there",
        )
        assert dealer.ask("echo_predict", 2) == ("OK", [2])
