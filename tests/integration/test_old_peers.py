"""Peers that speak an older ZMTP than ours: what they say counts, and harms nobody.

Source: https://rfc.zeromq.org/spec/15 (ZMTP 2.0) and spec/13 (ZMTP 1.0).
"""

import pytest
from harness import free_endpoint
from overload import zmtp

from zeropool.client import Client
from zeropool.shared import jobs
from zeropool.shared.wire import event as wire

#: Revision and socket type end the greeting of ZMTP 2.0; an anonymous identity follows.
DEALER_2 = zmtp.SIGNATURE + b"\x01\x05" + zmtp.frame(b"")
PUSH_2 = zmtp.SIGNATURE + b"\x01\x08" + zmtp.frame(b"")
#: ZMTP 1.0 has no greeting but the anonymous identity: a length, which counts the flags, and flags.
ANONYMOUS_1 = b"\x01\x00"
WAIT_S = 10.0


def frame_1(body: bytes, flags: int = 0) -> bytes:
    return bytes([len(body) + 1, flags]) + body


PING = wire.encode_request(b"\xa11", "_zerorpc_ping", [])
QUESTIONS = {
    "ZMTP 2.0": DEALER_2 + zmtp.frame(b"", zmtp.MORE) + zmtp.frame(PING),
    "ZMTP 1.0": ANONYMOUS_1 + frame_1(b"", zmtp.MORE) + frame_1(PING),
}


@pytest.mark.parametrize("said", QUESTIONS.values(), ids=QUESTIONS)
def test_a_client_of_an_older_zmtp_is_answered(iris_gateway, said):
    with zmtp.connect(iris_gateway.endpoint) as connection:
        connection.settimeout(WAIT_S)
        connection.sendall(said)
        received = b""
        while b"pong" not in received:
            part = connection.recv(4096)
            assert part, "the gateway hung up"
            received += part


def test_a_worker_of_an_older_zmtp_harms_nobody(serve):
    workers_bind = free_endpoint()
    service = serve(f'[gateway]\nworkers_bind = "{workers_bind}"').ready()
    gateway = service.gateway_process()
    with zmtp.connect(workers_bind) as connection, Client(service.endpoint) as client:
        connection.sendall(PUSH_2 + zmtp.frame(jobs.encode(jobs.Bye("nobody"))))
        connection.sendall(zmtp.frame(b"no message"))
        while not client.call("get_status")["dropped"].get("worker_malformed"):
            assert gateway.is_running()
