"""Peers that harm by what they do not do, or do without end; one kind in a process of its own.

    PYTHONPATH=tests .venv/bin/python -m overload.hostile silent tcp://127.0.0.1:4242 250

Prints a line when it is at work, and goes on until its standard input ends or it is killed.
"""

from __future__ import annotations

import contextlib
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from itertools import count

import msgspec
import zmq
from overload import zmtp

LARGE_REPLY_BYTES = 1_000_000
LARGE_REPLIES = 200
SLOW_READ_S = 0.1
STREAM_ROWS = 400
STREAM_ITEM_BYTES = 10_000
STREAM_GRANT = 1_000
#: Between two rounds of streams: what is looked at is that they are left, not that they are many.
STREAM_PAUSE_S = 0.2
ENDLESS_FRAME = zmtp.frame(b"\x00" * 65_000, zmtp.MORE)
HUGE_FRAME = zmtp.announcement(2**40)
PAUSE_S = 0.01
RECEIVE_TIMEOUT_MS = 2_000
#: It ends by itself, whoever started it.
LIFE_S = 900

_pack = msgspec.msgpack.encode
_numbers = count(1)


def is_over() -> bool:
    """Standard input has ended, or somebody said something."""
    return bool(select.select([sys.stdin], [], [], 0)[0])


def wait_for_the_end() -> None:
    sys.stdin.readline()


def at_work() -> None:
    sys.stdout.write("at work\n")
    sys.stdout.flush()


def request(name: str, *args: object) -> tuple[bytes, bytes]:
    """A request and its id."""
    channel = next(_numbers).to_bytes(8, "big")
    return _pack([{"message_id": channel, "v": 3}, name, args]), channel


def dealer(context: zmq.Context[zmq.Socket[bytes]], endpoint: str) -> zmq.Socket[bytes]:
    made = context.socket(zmq.DEALER)
    made.setsockopt(zmq.LINGER, 0)
    made.setsockopt(zmq.RCVHWM, 1)
    made.setsockopt(zmq.RCVTIMEO, RECEIVE_TIMEOUT_MS)
    made.connect(endpoint)
    return made


def ask_for_much(endpoint: str, number: int) -> list[zmq.Socket[bytes]]:
    context = zmq.Context()
    sockets = [dealer(context, endpoint) for _ in range(number)]
    for _ in range(LARGE_REPLIES):
        for each in sockets:
            payload, _ = request("wide_predict", LARGE_REPLY_BYTES)
            each.send_multipart([b"", payload])
    return sockets


def unread(endpoint: str, number: int) -> None:
    """Clients that ask for replies of 1 MB and read none."""
    sockets = ask_for_much(endpoint, number)
    at_work()
    wait_for_the_end()
    del sockets


def slow(endpoint: str, number: int) -> None:
    """Clients that ask for replies of 1 MB and read one of them now and then."""
    sockets = ask_for_much(endpoint, number)
    at_work()
    while not is_over():
        for each in sockets:
            with contextlib.suppress(zmq.Again):
                each.recv_multipart(zmq.NOBLOCK)
        time.sleep(SLOW_READ_S)


def streams(endpoint: str, number: int) -> None:
    """Clients that read a stream half, and vanish."""
    context = zmq.Context()
    context.set(zmq.MAX_SOCKETS, 10_000)
    at_work()
    while not is_over():
        for _ in range(number):
            leave_half_way(dealer(context, endpoint))
        time.sleep(STREAM_PAUSE_S)


def leave_half_way(each: zmq.Socket[bytes]) -> None:
    payload, channel = request("wide_predict_stream", [STREAM_ITEM_BYTES] * STREAM_ROWS)
    header = {"message_id": b"more", "v": 3, "response_to": channel}
    each.send_multipart([b"", payload])
    each.send_multipart([b"", _pack([header, "_zpc_more", [STREAM_GRANT]])])
    with contextlib.suppress(zmq.Again):
        for _ in range(STREAM_ROWS // 2):
            each.recv_multipart()
    each.close()


def silent(endpoint: str, number: int) -> None:
    """Clients that connect and say nothing."""
    context = zmq.Context()
    sockets = [dealer(context, endpoint) for _ in range(number)]
    at_work()
    wait_for_the_end()
    del sockets


def endless(endpoint: str, number: int) -> None:
    """Connections on which one message never ends."""
    keep_sending(endpoint, number, ENDLESS_FRAME)


def huge(endpoint: str, number: int) -> None:
    """Connections that announce a frame of a terabyte, and begin to send it."""
    keep_sending(endpoint, number, HUGE_FRAME + b"\x00" * 65_000)


def keep_sending(endpoint: str, number: int, data: bytes) -> None:
    """Send it on every connection as often as it takes; connect again where that ends."""
    connections: list[socket.socket | None] = [None] * number
    at_work()
    while not is_over():
        for at, connection in enumerate(connections):
            connections[at] = sent_on(connection, endpoint, data)
        time.sleep(PAUSE_S / 10)


def sent_on(connection: socket.socket | None, endpoint: str, data: bytes) -> socket.socket | None:
    try:
        if connection is None:
            connection = zmtp.shake_hands(endpoint, b"DEALER")
        connection.settimeout(PAUSE_S)
        connection.sendall(data)
    except TimeoutError:
        return connection
    except OSError:
        if connection is not None:
            connection.close()
        return None
    return connection


def half(endpoint: str, number: int) -> None:
    """Connections that say half a greeting, and the rest never."""
    connections: list[socket.socket] = []
    at_work()
    while not is_over():
        while len(connections) < number:
            with contextlib.suppress(OSError):
                connection = zmtp.connect(endpoint)
                connection.sendall(zmtp.GREETING[:20])
                connections.append(connection)
        gone, _, _ = select.select(connections, [], [], PAUSE_S)
        for connection in gone:
            with contextlib.suppress(OSError):
                if connection.recv(zmtp.RECEIVE_BYTES):
                    continue
            connection.close()
            connections.remove(connection)


KINDS: dict[str, Callable[[str, int], None]] = {
    kind.__name__: kind for kind in (unread, slow, streams, silent, endless, huge, half)
}


def main() -> None:
    kind, endpoint, number = sys.argv[1:]
    signal.alarm(LIFE_S)
    KINDS[kind](endpoint, int(number))


if __name__ == "__main__":
    main()
