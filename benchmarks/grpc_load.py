"""The load generator for gRPC servers: plain sockets that speak just enough of HTTP/2.

A closed loop like the others. gRPC's own client for Python takes 70 to 200 µs of CPU for a call,
which on a shared machine would be the server's loss; this one takes a third of it or less. Each
connection carries several calls at once, and the kernel deals the connections out to the processes
that share the port.

    python benchmarks/grpc_load.py 127.0.0.1:50051 --in-flight 64 --seconds 3 </dev/null
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Iterator, Sequence

import http2
import msgspec
from driver import ANSWER_TIMEOUT_S, drive
from flowers import FLOWERS, SERVICE
from tally import Count, Tally

#: Chance deals connections out to two processes: with 16, hardly all to one.
MOST_CONNECTIONS = 16
CHUNK_BYTES = 65536

_BODIES = [msgspec.msgpack.encode(row) for row, _ in FLOWERS]
_RIGHT = [http2.message(msgspec.msgpack.encode({"species": species})) for _, species in FLOWERS]


class Line:
    """One connection: its calls in flight, by their streams."""

    def __init__(self, connection: socket.socket, authority: str) -> None:
        self._connection = connection
        self._headers = http2.first_headers(authority, f"/{SERVICE}/Predict")
        self._next = http2.FIRST_STREAM
        self._received = bytearray()
        #: When each open call was sent.
        self.open: dict[int, float] = {}
        self._answers: dict[int, bytes] = {}

    def __repr__(self) -> str:
        return f"<Line open={len(self.open)} next={self._next}>"

    def fileno(self) -> int:
        """For epoll."""
        return self._connection.fileno()

    def send(self, now: float) -> None:
        """Make one more call."""
        stream = self._next
        self._next = stream + http2.STREAM_STEP
        self.open[stream] = now
        self._connection.sendall(http2.call(stream, self._headers, _BODIES[_flower(stream)]))
        self._headers = http2.LATER_HEADERS

    def receive(self, count: Count) -> int:
        """Take what has come; tell how many calls ended, or -1 for the connection itself."""
        piece = self._connection.recv(CHUNK_BYTES)
        now = time.perf_counter()
        if not piece:
            return -1
        self._received += piece
        ended = 0
        for frame in http2.frames(self._received):
            if frame.kind == http2.Kind.DATA:
                self._answers[frame.stream] = self._answers.get(frame.stream, b"") + frame.payload
            elif frame.kind == http2.Kind.HEADERS:
                ended += frame.flags & http2.END_STREAM and self._end(frame.stream, count, now)
            elif frame.kind == http2.Kind.RST_STREAM:
                ended += self._end(frame.stream, count, now)
            elif frame.kind in _ANSWERED and not frame.flags & http2.ACK:
                self._connection.sendall(_acknowledgement(frame))
        return ended

    def _end(self, stream: int, count: Count, now: float) -> int:
        sent_at, answer = self.open.pop(stream, None), self._answers.pop(stream, b"")
        if sent_at is None:
            return 0
        if answer == _RIGHT[_flower(stream)]:
            count.right(sent_at, now)
        else:
            count.wrong(f"wrong answer {answer!r}", now)
        return 1


class GrpcLoad:
    """A closed loop of calls over some connections."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self._lines = {line.fileno(): line for line in lines}
        self._count = Count()

    def __repr__(self) -> str:
        return f"<GrpcLoad lines={len(self._lines)} {self._count}>"

    def measure(self, in_flight: int, seconds: float) -> Tally:
        """Keep ``in_flight`` calls open for so long, wait for the last, and count."""
        lines = list(self._lines.values())
        with select.epoll() as poll:
            for descriptor in self._lines:
                poll.register(descriptor, select.EPOLLIN)
            self._count = Count()
            for number in range(in_flight):
                lines[number % len(lines)].send(time.perf_counter())
            self._loop(poll, self._count.began_at + seconds)
        unanswered = sum(len(line.open) for line in lines)
        for line in lines:
            line.open.clear()
        return self._count.tally(in_flight, unanswered)

    def _loop(self, poll: select.epoll, end_at: float) -> None:
        """Go round until all is answered, or nothing comes any more."""
        while any(line.open for line in self._lines.values()):
            ready = poll.poll(ANSWER_TIMEOUT_S)
            if not ready:
                return
            for descriptor, _ in ready:
                line = self._lines[descriptor]
                ended = line.receive(self._count)
                if ended < 0:
                    return
                now = time.perf_counter()
                for _ in range(ended if now < end_at else 0):
                    line.send(now)


def _flower(stream: int) -> int:
    return stream // http2.STREAM_STEP % len(FLOWERS)


#: What a peer must acknowledge, each with a frame of its kind.
_ANSWERED = {http2.Kind.SETTINGS, http2.Kind.PING}


def _acknowledgement(frame: http2.Frame) -> bytes:
    payload = frame.payload if frame.kind == http2.Kind.PING else b""
    return http2.frame(http2.Kind(frame.kind), http2.ACK, 0, payload)


@contextlib.contextmanager
def _connected(address: str, in_flight: int) -> Iterator[GrpcLoad]:
    host, _, port = address.rpartition(":")
    with contextlib.ExitStack() as stack:
        lines = []
        for _ in range(min(in_flight, MOST_CONNECTIONS)):
            connection = socket.create_connection((host, int(port)), ANSWER_TIMEOUT_S)
            stack.enter_context(connection)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(http2.greeting())
            lines.append(Line(connection, address))
        yield GrpcLoad(lines)


if __name__ == "__main__":
    drive(_connected, __doc__)
