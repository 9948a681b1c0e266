"""The HTTP load counts right answers only, however they arrive."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from flowers import FLOWERS
from http_load import HttpLoad, request, right_answer

URL = "http://127.0.0.1:80/predict"
#: Enough for the first answer, so that the test ends with it.
MOMENT_S = 1e-6


def answer(status: str, body: bytes) -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


def right(request_bytes: bytes) -> bytes:
    (species,) = [kind for row, kind in FLOWERS if request(URL, row) == request_bytes]
    return answer("200 OK", right_answer(URL, species))


@contextlib.contextmanager
def driven(*answers: Callable[[bytes], list[bytes]]) -> Iterator[HttpLoad]:
    """A load with a connection for each of these, which say in what pieces to answer."""
    with contextlib.ExitStack() as stack:
        connections = []
        for pieces in answers:
            mine, theirs = socket.socketpair()
            stack.enter_context(mine)
            stack.enter_context(theirs)
            mine.settimeout(10)
            connections.append(mine)
            thread = threading.Thread(target=_serve, args=(theirs, pieces))
            thread.start()
            stack.callback(thread.join)
            # Ends the thread: it is called first, before the thread is waited for.
            stack.callback(mine.shutdown, socket.SHUT_WR)
        yield HttpLoad(URL, connections)


def _serve(connection: socket.socket, pieces: Callable[[bytes], list[bytes]]) -> None:
    while asked := connection.recv(65536):
        for piece in pieces(asked):
            if not piece:
                connection.shutdown(socket.SHUT_RDWR)
                return
            connection.sendall(piece)


def test_right_answers_are_counted_on_every_connection():
    with driven(lambda asked: [right(asked)], lambda asked: [right(asked)]) as load:
        tally = load.measure(2, MOMENT_S)
    assert tally.is_clean
    assert tally.answers == 2


def test_an_answer_in_pieces_is_one_answer():
    with driven(lambda asked: [right(asked)[:5], right(asked)[5:40], right(asked)[40:]]) as load:
        tally = load.measure(1, MOMENT_S)
    assert tally.is_clean
    assert tally.answers == 1


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (answer("200 OK", b'{"species":"rose"}'), 'HTTP/1.1 200 OK: {"species":"rose"}'),
        (answer("503 Busy", b"later"), "HTTP/1.1 503 Busy: later"),
    ],
)
def test_a_wrong_answer_makes_the_run_a_failure_and_says_what_came(wrong, reason):
    with driven(lambda _: [wrong]) as load:
        tally = load.measure(1, MOMENT_S)
    assert not tally.is_clean
    assert tally.errors == {reason: 1}


def test_a_right_body_under_a_wrong_status_is_wrong():
    with driven(lambda asked: [right(asked).replace(b"200", b"500")]) as load:
        tally = load.measure(1, MOMENT_S)
    assert tally.answers == 0
    assert not tally.is_clean


def test_a_closed_connection_leaves_its_call_unanswered_and_the_others_go_on():
    with driven(lambda _: [b""], lambda asked: [right(asked)]) as load:
        tally = load.measure(2, MOMENT_S)
    assert tally.unanswered == 1
    assert tally.answers == 1
    assert not tally.is_clean
