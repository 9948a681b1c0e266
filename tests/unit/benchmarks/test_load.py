"""The ZeroMQ loads count right answers only."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import msgspec
import pytest
import zmq
from dealer import Dealer, message_head
from echo_load import EchoLoad
from flowers import FLOWERS
from load import Load

MOMENT_S = 1e-6


def connected(server: zmq.Socket[bytes]) -> contextlib.closing[Dealer]:
    return contextlib.closing(Dealer(server.getsockopt_string(zmq.LAST_ENDPOINT), 10.0))


@contextlib.contextmanager
def driven(kind: type[Load], calls: int, reply: Callable[[bytes], bytes]) -> Iterator[Load]:
    """A load whose first calls are answered so."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as server:
        server.bind("tcp://127.0.0.1:*")
        server.setsockopt(zmq.RCVTIMEO, 10_000)

        def serve() -> None:
            for _ in range(calls):
                client, delimiter, payload = server.recv_multipart()
                server.send_multipart([client, delimiter, reply(payload)])

        thread = threading.Thread(target=serve)
        thread.start()
        with contextlib.closing(
            Dealer(server.getsockopt_string(zmq.LAST_ENDPOINT), 10.0)
        ) as dealer:
            yield kind(dealer)
        thread.join()


def ok(payload: bytes, species: str | None = None) -> bytes:
    header, _, (row,) = msgspec.msgpack.decode(payload)
    found = next(kind for flower, kind in FLOWERS if flower == row)
    reply = {"message_id": b"1", "v": 3, "response_to": header["message_id"]}
    return msgspec.msgpack.encode([reply, "OK", [{"species": species or found}]])


def test_right_answers_are_counted():
    with driven(Load, 3, ok) as load:
        tally = load.measure(3, MOMENT_S)
    assert tally.is_clean
    assert tally.answers == 3


def test_an_answer_that_belongs_to_another_flower_is_wrong():
    with driven(Load, 1, lambda payload: ok(payload, "rose")) as load:
        tally = load.measure(1, MOMENT_S)
    assert tally.errors == {"wrong OK": 1}
    assert not tally.is_clean


def test_an_echo_is_right_where_an_echo_is_expected():
    with driven(EchoLoad, 2, bytes) as load:
        tally = load.measure(2, MOMENT_S)
    assert tally.is_clean
    assert tally.answers == 2


@pytest.mark.parametrize("species", [species for _, species in FLOWERS])
def test_an_echo_is_wrong_where_a_species_is_expected(species):
    def altered(payload: bytes) -> bytes:
        return ok(payload, species).replace(b"OK", b"NO")

    with driven(EchoLoad, 1, altered) as load:
        tally = load.measure(1, MOMENT_S)
    assert not tally.is_clean


def test_what_comes_in_pieces_is_put_together():
    large = bytes(100_000)
    with zmq.Context() as context, context.socket(zmq.ROUTER) as server:
        server.bind("tcp://127.0.0.1:*")
        with contextlib.closing(
            Dealer(server.getsockopt_string(zmq.LAST_ENDPOINT), 10.0)
        ) as dealer:
            dealer.send(message_head(len(large)) + large)
            client, delimiter, payload = server.recv_multipart()
            for answer in (b"one", payload, b"two"):
                server.send_multipart([client, delimiter, answer])
            taken = []
            while len(taken) < 3:
                taken += dealer.take()

    assert taken == [b"one", large, b"two"]


def test_a_server_that_hangs_up_leaves_calls_without_answer():
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]

        def serve() -> None:
            connection, _ = server.accept()
            connection.sendall(bytes(64))
            connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        with contextlib.closing(Dealer(f"tcp://127.0.0.1:{port}", 10.0)) as dealer:
            tally = Load(dealer).measure(2, MOMENT_S)
        thread.join()

    assert tally.unanswered == 2
