"""Garbage on the live ports is dropped and counted, and the service goes on.

The garbage is drawn from a fixed seed, so that a failure can be repeated.
"""

import random
from collections.abc import Iterator

import msgpack
import pytest
import zmq
from harness import Service, free_endpoint, wait_until

from zeropool.client import Client
from zeropool.shared import jobs

SEED = 20_261_123
MESSAGES = 2_000
ROW = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
WORD = [b"", b"\x93", b"\xc0", b"\x83", b"message_id", b"_zpc_more", b"\xdd\xff\xff\xff\xff", b"OK"]


def shaped_event(rng: random.Random) -> bytes:
    """An event that is nearly right."""
    header = rng.choice([{"message_id": b"1", "v": 3}, {"v": 3}, {b"x": 1}, [], {"message_id": []}])
    if isinstance(header, dict) and rng.random() < 0.3:
        header = header | {"response_to": rng.choice([b"1", "1", 1, None, []])}
    name = rng.choice(["iris_model_predict", "iris_model_predict_batch", "_zpc_hb", "", 7, b"x"])
    args = rng.choice([[], None, 5, "x", [ROW], [[ROW]], [[1, None, "x"]], {"a": 1}, [2**63]])
    payload = bytes(msgpack.packb([header, name, args]))
    cut = rng.randrange(len(payload)) if rng.random() < 0.2 else len(payload)
    return payload[:cut]


def frames(rng: random.Random) -> list[bytes]:
    def frame() -> bytes:
        kind = rng.random()
        if kind < 0.5:
            return shaped_event(rng)
        if kind < 0.8:
            return rng.randbytes(rng.randrange(200))
        return b"".join(rng.choices(WORD, k=rng.randrange(6)))

    return [frame() for _ in range(rng.choice([1, 2, 2, 2, 3, 12]))]


@pytest.fixture
def flood() -> Iterator[object]:
    context = zmq.Context()

    def send(kind: zmq.SocketType, endpoint: str, messages: Iterator[list[bytes]]) -> None:
        socket = context.socket(kind)
        socket.sndtimeo = 20_000
        socket.connect(endpoint)
        for message in messages:
            socket.send_multipart(message)
        socket.close(linger=10_000)

    yield send
    context.term()


def answers(service: Service) -> bool:
    with Client(service.endpoint, timeout_s=10.0) as client:
        return client.call("iris_model_predict", ROW) == {"species": "setosa"}


def gateways(service: Service) -> list[int]:
    return sorted(process.pid for process in service.family() if process.is_running())


def test_garbage_on_the_clients_port_harms_nobody(serve, flood):
    service = serve().ready()
    processes = gateways(service)
    rng = random.Random(SEED)
    flood(zmq.DEALER, service.endpoint, (frames(rng) for _ in range(MESSAGES)))
    assert answers(service)
    with Client(service.endpoint) as client:
        wait_until(lambda: client.call("get_status")["dropped"].get("malformed", 0) > 100, "drops")
    assert gateways(service) == processes


def test_garbage_on_the_workers_port_harms_nobody(serve, flood):
    workers_bind = free_endpoint()
    service = serve(f'[gateway]\nworkers_bind = "{workers_bind}"').ready()
    processes = gateways(service)
    rng = random.Random(SEED)

    def garbage() -> Iterator[list[bytes]]:
        for number in range(MESSAGES):
            yield frames(rng)
            result = jobs.Result(number, 1, jobs.Outcome.OK, b"\xc0")
            yield [jobs.encode(jobs.Results("nobody", "nowhere", [result], "iris_model", 1, 0.0))]
            yield [jobs.encode(jobs.Bye("nobody"))]

    flood(zmq.PUSH, workers_bind, garbage())
    assert answers(service)
    with Client(service.endpoint) as client:

        def dropped(reason: str) -> int:
            return int(client.call("get_status")["dropped"].get(reason, 0))

        wait_until(lambda: dropped("result_foreign") == MESSAGES, "foreign results counted")
        assert dropped("worker_malformed") > MESSAGES / 2
    assert gateways(service) == processes
