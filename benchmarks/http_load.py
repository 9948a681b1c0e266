"""The load generator for HTTP servers: as many keep-alive connections as there are calls in flight.

A closed loop like that for ZeroMQ (`load.py`), on plain sockets and epoll: requests are packed
beforehand, an answer is compared byte for byte where it came in one piece and parsed only where it
did not. One request at a time on a connection: HTTP/1.1 servers answer in order, and clients do not
pipeline.

    python benchmarks/http_load.py http://127.0.0.1:8000/predict --in-flight 64 </dev/null
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

import msgspec
from driver import ANSWER_TIMEOUT_S, drive
from flowers import FLOWERS
from tally import Count, Tally

#: More than any answer here has; a longer one comes in several pieces.
CHUNK_BYTES = 65536

OK_LINE = b"HTTP/1.1 200 "
_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length:"

#: Path prefix to the encoding: Mosec's route takes MessagePack, LitServe's JSON.
ENCODINGS = {
    "/inference": ("application/msgpack", msgspec.msgpack.encode),
    "/predict": ("application/json", msgspec.json.encode),
}


def request(url: str, row: dict[str, float]) -> bytes:
    """One whole request for a flower's species."""
    parts = urlsplit(url)
    mime, encode = ENCODINGS[parts.path]
    body = encode(row)
    head = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        f"Content-Type: {mime}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def right_answer(url: str, species: str) -> bytes:
    """The body that the request for a flower of that species is answered with."""
    _, encode = ENCODINGS[urlsplit(url).path]
    return encode({"species": species})


class Line:
    """One connection: what is asked on it, and what has come of the answer."""

    def __init__(self, connection: socket.socket, number: int) -> None:
        self.connection = connection
        #: Of the flower that was asked for last.
        self.flower = number % len(FLOWERS)
        self.sent_at = 0.0
        self.received = b""

    def __repr__(self) -> str:
        return f"<Line flower={self.flower} received={len(self.received)}>"


class HttpLoad:
    """A closed loop of calls, one on each connection."""

    def __init__(self, url: str, connections: Sequence[socket.socket]) -> None:
        self._requests = [request(url, row) for row, _ in FLOWERS]
        self._bodies = [right_answer(url, species) for _, species in FLOWERS]
        self._endings = [_HEAD_END + body for body in self._bodies]
        self._lines = {
            connection.fileno(): Line(connection, number)
            for number, connection in enumerate(connections)
        }
        self._count = Count()

    def __repr__(self) -> str:
        return f"<HttpLoad lines={len(self._lines)} {self._count}>"

    def measure(self, in_flight: int, seconds: float) -> Tally:
        """Keep a call open on each connection for so long, wait for the last, and count."""
        with select.epoll() as poll:
            for descriptor in self._lines:
                poll.register(descriptor, select.EPOLLIN)
            self._count = Count()
            for line in self._lines.values():
                self._send(line, time.perf_counter())
            unanswered = self._loop(poll, self._count.began_at + seconds)
        return self._count.tally(in_flight, unanswered)

    def _loop(self, poll: select.epoll, end_at: float) -> int:
        """Go round until all is answered or lost; tell how many calls are."""
        is_open, lost = set(self._lines), 0
        while is_open:
            ready = poll.poll(ANSWER_TIMEOUT_S)
            if not ready:
                break
            for descriptor, _ in ready:
                line = self._lines[descriptor]
                piece = line.connection.recv(CHUNK_BYTES)
                now = time.perf_counter()
                if not piece:
                    poll.unregister(descriptor)
                    is_open.discard(descriptor)
                    lost += 1
                elif not self._take(line, piece, now):
                    continue
                elif now < end_at:
                    self._send(line, now)
                else:
                    is_open.discard(descriptor)
        return lost + len(is_open)

    def _send(self, line: Line, now: float) -> None:
        line.flower = (line.flower + 1) % len(FLOWERS)
        line.sent_at = now
        line.connection.sendall(self._requests[line.flower])

    def _take(self, line: Line, piece: bytes, now: float) -> bool:
        """Take a piece of an answer; tell whether it ended the line's call."""
        if (
            not line.received
            and piece.endswith(self._endings[line.flower])
            and piece.startswith(OK_LINE)
        ):
            self._count.right(line.sent_at, now)
            return True
        line.received += piece
        head, separator, body = line.received.partition(_HEAD_END)
        if not separator or len(body) < _length_bytes(head):
            return False
        line.received = b""
        if head.startswith(OK_LINE) and body == self._bodies[line.flower]:
            self._count.right(line.sent_at, now)
        else:
            self._count.wrong(_reason(head, body), now)
        return True


def _length_bytes(head: bytes) -> int:
    for field in head.lower().split(b"\r\n"):
        if field.startswith(_LENGTH):
            return int(field.removeprefix(_LENGTH))
    return 0


def _reason(head: bytes, body: bytes) -> str:
    status, _, _ = head.partition(b"\r\n")
    return f"{status.decode(errors='replace')}: {body[:100].decode(errors='replace')}"


@contextlib.contextmanager
def _connected(url: str, in_flight: int) -> Iterator[HttpLoad]:
    parts = urlsplit(url)
    with contextlib.ExitStack() as stack:
        connections = []
        for _ in range(in_flight):
            connection = socket.create_connection(
                (parts.hostname or "", parts.port or 80), ANSWER_TIMEOUT_S
            )
            stack.enter_context(connection)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connections.append(connection)
        yield HttpLoad(url, connections)


if __name__ == "__main__":
    drive(_connected, __doc__)
