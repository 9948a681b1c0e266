"""How much is read of a client at once."""

import socket

import pytest

from zeropool.shared.ports.callers import (
    FEW_REQUESTS,
    LARGE_READ_BYTES,
    MANY_REQUESTS,
    READ_BYTES,
    Caller,
)
from zeropool.shared.wire.answerer import Answerer
from zeropool.shared.wire.kinds import Kind
from zeropool.shared.wire.zmtp import GREETING, frame_head, ready_command


@pytest.fixture
def caller():
    with socket.socket() as sock:
        yield Caller(sock, b"c1", "127.0.0.1", Answerer(Kind.ROUTER, 10_000_000), 5.0)


def test_a_client_of_large_requests_is_read_by_more_at_a_time_up_to_a_bound(caller):
    sizes = []
    for _ in range(6):
        sizes.append(caller.next_read_bytes)
        caller.has_read(sizes[-1], FEW_REQUESTS - 1)
    assert sizes[:4] == [READ_BYTES, 2 * READ_BYTES, 4 * READ_BYTES, 8 * READ_BYTES]
    assert sizes[-1] == LARGE_READ_BYTES


def test_a_client_of_small_requests_is_read_by_less_again(caller):
    for _ in range(6):
        caller.has_read(caller.next_read_bytes, 0)
    for _ in range(6):
        caller.has_read(caller.next_read_bytes, MANY_REQUESTS + 1)
    assert caller.next_read_bytes == READ_BYTES


@pytest.mark.parametrize("requests", [0, FEW_REQUESTS, MANY_REQUESTS])
def test_a_read_that_was_not_full_teaches_nothing(caller, requests):
    caller.has_read(READ_BYTES - 1, requests)
    assert caller.next_read_bytes == READ_BYTES


def test_what_is_missing_of_a_large_message_is_read_at_once_but_no_more_than_the_bound(caller):
    caller.peer.receive(GREETING + ready_command(b"DEALER"))
    caller.peer.receive(frame_head(50_000))
    assert caller.next_read_bytes == 50_000
    caller.peer.receive(bytes(50_000))
    caller.peer.receive(frame_head(1_000_000))
    assert caller.next_read_bytes == LARGE_READ_BYTES
