"""The gRPC load counts right answers only, and answers what HTTP/2 peers must be answered."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import http2
import msgspec
import pytest
from flowers import FLOWERS
from grpc_load import GrpcLoad, Line
from http2 import Kind

MOMENT_S = 1e-6
#: A server's headers, of which the load reads nothing.
HEADERS = b"\x88"


def ended(stream: int) -> bytes:
    return http2.frame(Kind.HEADERS, http2.END_HEADERS | http2.END_STREAM, stream, HEADERS)


def answered(stream: int, species: str) -> bytes:
    body = http2.message(msgspec.msgpack.encode({"species": species}))
    return (
        http2.frame(Kind.HEADERS, http2.END_HEADERS, stream, HEADERS)
        + http2.frame(Kind.DATA, 0, stream, body)
        + ended(stream)
    )


def right(stream: int, request: bytes) -> bytes:
    row = msgspec.msgpack.decode(request[5:])
    return answered(stream, next(kind for flower, kind in FLOWERS if flower == row))


def of_stream(stream: int) -> str:
    """The species of the flower that is asked for on it."""
    return FLOWERS[stream // http2.STREAM_STEP % len(FLOWERS)][1]


@contextlib.contextmanager
def driven(reply: Callable[[int, bytes], bytes]) -> Iterator[GrpcLoad]:
    """A load on one connection, whose every call is answered so."""
    mine, theirs = socket.socketpair()
    with mine, theirs:
        mine.settimeout(10)
        thread = threading.Thread(target=_serve, args=(theirs, reply))
        thread.start()
        yield GrpcLoad([Line(mine, "localhost")])
        mine.shutdown(socket.SHUT_WR)
        thread.join()


def _serve(connection: socket.socket, reply: Callable[[int, bytes], bytes]) -> None:
    received = bytearray()
    while piece := connection.recv(65536):
        received += piece
        for frame in http2.frames(received):
            if frame.kind == Kind.DATA:
                # One byte at a time is the worst that a network can do.
                for byte in reply(frame.stream, frame.payload):
                    connection.sendall(bytes([byte]))


def test_right_answers_are_counted_on_one_connection():
    with driven(right) as load:
        tally = load.measure(3, MOMENT_S)
    assert tally.is_clean
    assert tally.answers == 3


@pytest.mark.parametrize(
    "reply",
    [
        lambda stream, _: answered(stream, "rose"),
        lambda stream, _: ended(stream),
        lambda stream, _: http2.frame(Kind.RST_STREAM, 0, stream, bytes(4)),
    ],
    ids=["another species", "an error without a message", "a stream that was reset"],
)
def test_anything_but_the_right_message_makes_the_run_a_failure(reply):
    with driven(reply) as load:
        tally = load.measure(1, MOMENT_S)
    assert tally.answers == 0
    assert sum(tally.errors.values()) == 1


def test_settings_and_pings_are_acknowledged():
    mine, theirs = socket.socketpair()
    with mine, theirs:
        theirs.sendall(
            http2.frame(Kind.SETTINGS, 0, 0, b"")
            + http2.frame(Kind.PING, 0, 0, b"12345678")
            + http2.frame(Kind.SETTINGS, http2.ACK, 0, b"")
        )
        load = GrpcLoad([Line(mine, "localhost")])
        theirs.sendall(answered(http2.FIRST_STREAM, of_stream(http2.FIRST_STREAM)))
        assert load.measure(1, MOMENT_S).is_clean
        sent = bytearray(theirs.recv(65536))
    acknowledged = [
        (frame.kind, frame.flags, frame.payload)
        for frame in http2.frames(sent)
        if frame.kind in (Kind.SETTINGS, Kind.PING)
    ]
    assert acknowledged == [(Kind.SETTINGS, http2.ACK, b""), (Kind.PING, http2.ACK, b"12345678")]
