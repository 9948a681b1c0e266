"""The load generator for ZeroMQ servers: a bare ZeroRPC peer that keeps calls in flight.

A closed loop over one DEALER socket: each answer is checked and followed by the next request. No
poller, no gevent, no decoding of answers that are byte for byte what they should be: its own CPU
time must stay far below the server's. Source of the framing: zerorpc-python 0.6.3, events.py.

    python benchmarks/load.py tcp://127.0.0.1:4242 --in-flight 64 --seconds 3 </dev/null
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator

import msgspec
import zmq
from driver import ANSWER_TIMEOUT_S, drive
from flowers import FLOWERS, METHOD
from tally import Count, Tally

#: Ids are 32 hexadecimal characters, as zerorpc-python's: the first 24 of a run, then a counter.
_RUN_DIGITS = 24
_COUNTER_DIGITS = 8

_pack = msgspec.msgpack.encode


class Load:
    """A closed loop of calls on one connected socket."""

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self._socket = socket
        self._run = secrets.token_hex(_RUN_DIGITS // 2).encode()
        # Everything of a request but the counter, and everything of an answer behind it.
        self._head = b"\x93\x82\xaamessage_id\xc4\x20" + self._run
        self._tails = [b"\xa1v\x03" + _pack(METHOD) + _pack([row]) for row, _ in FLOWERS]
        self._right = [b"\xa2OK\x91" + _pack({"species": species}) for _, species in FLOWERS]
        self._next = 0
        self._sent_at: dict[int, float] = {}
        self._count = Count()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} open={len(self._sent_at)} {self._count}>"

    def measure(self, in_flight: int, seconds: float) -> Tally:
        """Keep ``in_flight`` calls open for so long, wait for the last, and count."""
        self._count = Count()
        self._loop(in_flight, self._count.began_at + seconds)
        tally = self._count.tally(in_flight, unanswered=len(self._sent_at))
        # An answer that comes yet belongs to no later run.
        self._sent_at.clear()
        return tally

    def _loop(self, in_flight: int, end_at: float) -> None:
        receive = self._socket.recv
        sent_at = self._sent_at
        for _ in range(in_flight):
            self._send(time.perf_counter())
        try:
            while sent_at:
                # One frame to a call: this waits only where nothing has arrived.
                delimiter, payload = receive(), receive()
                now = time.perf_counter()
                is_closed = not delimiter and self._take(payload, now)
                if is_closed and now < end_at:
                    self._send(now)
                elif not is_closed and now - self._count.answered_at > ANSWER_TIMEOUT_S:
                    return
        except zmq.Again:
            # Nothing has come for the socket's timeout; what is open is lost.
            return

    def _send(self, now: float) -> None:
        number = self._next
        self._next = number + 1
        self._sent_at[number] = now
        self._socket.send(b"", zmq.SNDMORE)
        self._socket.send(b"%b%08x%b" % (self._head, number, self._tails[number % len(FLOWERS)]))

    def _take(self, payload: bytes, now: float) -> bool:
        """Take a payload; tell whether it ended one of the open calls."""
        counter_at = payload.find(self._run) + _RUN_DIGITS
        answer_at = counter_at + _COUNTER_DIGITS
        if counter_at >= _RUN_DIGITS:
            number = int(payload[counter_at:answer_at], 16)
            if payload[answer_at:] == self._right[number % len(FLOWERS)]:
                return self._close(number, now)
        return self._take_slowly(payload, now)

    def _close(self, number: int, now: float) -> bool:
        sent_at = self._sent_at.pop(number, None)
        if sent_at is None:
            self._count.ignored("answer to no open call")
            return False
        self._count.right(sent_at, now)
        return True

    def _take_slowly(self, payload: bytes, now: float) -> bool:
        """Decode what does not look as expected: another order, a heartbeat, an error."""
        try:
            header, name, args = msgspec.msgpack.decode(payload)
            number = self._number(header["response_to"])
        except (msgspec.MsgspecError, ValueError, TypeError, KeyError):
            self._count.ignored("no event, or none of ours")
            return False
        if name.startswith("_zpc_"):
            return False
        if name == "OK" and args == [{"species": FLOWERS[number % len(FLOWERS)][1]}]:
            return self._close(number, now)
        self._count.wrong(f"{name} {args[0]}" if name == "ERR" else f"wrong {name}", now)
        return self._sent_at.pop(number, None) is not None

    def _number(self, channel_id: bytes) -> int:
        if not channel_id.startswith(self._run):
            raise ValueError(f"not an id of this run: {channel_id!r}")
        return int(channel_id[_RUN_DIGITS:], 16)


def connect(context: zmq.Context[zmq.Socket[bytes]], endpoint: str) -> zmq.Socket[bytes]:
    """Open the socket; nothing it does takes longer than `ANSWER_TIMEOUT_S`."""
    socket = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.RCVTIMEO, int(ANSWER_TIMEOUT_S * 1000))
    socket.setsockopt(zmq.SNDTIMEO, int(ANSWER_TIMEOUT_S * 1000))
    # The calls in flight bound what libzmq holds.
    socket.setsockopt(zmq.SNDHWM, 0)
    socket.setsockopt(zmq.RCVHWM, 0)
    socket.connect(endpoint)
    return socket


@contextlib.contextmanager
def _connected(endpoint: str, in_flight: int) -> Iterator[Load]:  # noqa: ARG001 - one socket for all
    with zmq.Context() as context, connect(context, endpoint) as socket:
        yield Load(socket)


if __name__ == "__main__":
    drive(_connected, __doc__)
