"""The ZeroMQ loads count right answers only."""

import contextlib
import threading
from collections.abc import Callable, Iterator

import msgspec
import pytest
import zmq
from echo_load import EchoLoad
from flowers import FLOWERS
from load import Load

MOMENT_S = 1e-6


@contextlib.contextmanager
def driven(kind: type[Load], calls: int, reply: Callable[[bytes], bytes]) -> Iterator[Load]:
    """A load whose first calls are answered so."""
    with (
        zmq.Context() as context,
        context.socket(zmq.DEALER) as mine,
        context.socket(zmq.DEALER) as theirs,
    ):
        theirs.bind("inproc://server")
        mine.connect("inproc://server")
        for socket in (mine, theirs):
            socket.setsockopt(zmq.RCVTIMEO, 10_000)

        def serve() -> None:
            for _ in range(calls):
                delimiter, payload = theirs.recv_multipart()
                theirs.send_multipart([delimiter, reply(payload)])

        thread = threading.Thread(target=serve)
        thread.start()
        yield kind(mine)
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
