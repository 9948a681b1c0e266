"""The load generator: a bare ZeroRPC peer that keeps a number of calls in flight.

A closed loop over one DEALER socket: each answer is checked and followed by the next request. No
poller, no gevent, no decoding of answers that are byte for byte what they should be: its own CPU
time must stay far below the server's. Run as a script it warms the server up, prints that
`Tally` as a line of JSON, waits for a line on standard input, measures, and prints another.
Source of the framing: zerorpc-python 0.6.3, events.py.

    python benchmarks/load.py tcp://127.0.0.1:4242 --in-flight 64 --seconds 3 </dev/null
"""

from __future__ import annotations

import argparse
import gc
import secrets
import sys
import time
from collections import Counter

import msgspec
import zmq
from flowers import FLOWERS, METHOD
from tally import Tally, percentile

#: A call without an answer for so long counts as lost; no answer here takes a hundredth of it.
ANSWER_TIMEOUT_S = 30.0

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
        self._latencies_s: list[float] = []
        self._errors: Counter[str] = Counter()
        self._answered_at = 0.0

    def __repr__(self) -> str:
        return (
            f"<Load open={len(self._sent_at)} answered={len(self._latencies_s)} "
            f"errors={self._errors.total()}>"
        )

    def measure(self, in_flight: int, seconds: float) -> Tally:
        """Keep ``in_flight`` calls open for so long, wait for the last, and count."""
        self._latencies_s = []
        self._errors.clear()
        began_cpu_s, began_python_s = time.process_time(), time.thread_time()
        began_at = self._answered_at = time.perf_counter()
        self._loop(in_flight, began_at + seconds)
        cpu_s, python_s = time.process_time(), time.thread_time()
        latencies_s = sorted(self._latencies_s)
        unanswered = len(self._sent_at)
        # An answer that comes yet belongs to no later run.
        self._sent_at.clear()
        return Tally(
            in_flight=in_flight,
            seconds=self._answered_at - began_at,
            answers=len(latencies_s),
            errors=dict(self._errors),
            unanswered=unanswered,
            p50_ms=percentile(latencies_s, 0.50) * 1000,
            p99_ms=percentile(latencies_s, 0.99) * 1000,
            max_ms=percentile(latencies_s, 1.0) * 1000,
            cpu_s=cpu_s - began_cpu_s,
            python_cpu_s=python_s - began_python_s,
        )

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
                elif not is_closed and now - self._answered_at > ANSWER_TIMEOUT_S:
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
            self._errors["answer to no open call"] += 1
            return False
        self._latencies_s.append(now - sent_at)
        self._answered_at = now
        return True

    def _take_slowly(self, payload: bytes, now: float) -> bool:
        """Decode what does not look as expected: another order, a heartbeat, an error."""
        try:
            header, name, args = msgspec.msgpack.decode(payload)
            number = self._number(header["response_to"])
        except (msgspec.MsgspecError, ValueError, TypeError, KeyError):
            self._errors["no event, or none of ours"] += 1
            return False
        if name.startswith("_zpc_"):
            return False
        if name == "OK" and args == [{"species": FLOWERS[number % len(FLOWERS)][1]}]:
            return self._close(number, now)
        self._errors[f"{name} {args[0]}" if name == "ERR" else f"wrong {name}"] += 1
        self._answered_at = now
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


def _tell(tally: Tally) -> None:
    sys.stdout.write(msgspec.json.encode(tally).decode() + "\n")
    sys.stdout.flush()


def main() -> None:
    """Warm up, tell, wait for a line, measure, tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("endpoint")
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--warm-up", type=float, default=1.0, metavar="SECONDS")
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    # No cycles here, and a collection would count as the server's latency.
    gc.disable()
    with zmq.Context() as context, connect(context, options.endpoint) as socket:
        load = Load(socket)
        warm_up = load.measure(options.in_flight, options.warm_up)
        _tell(warm_up)
        sys.stdin.readline()
        if not warm_up.unanswered:
            _tell(load.measure(options.in_flight, options.seconds))


if __name__ == "__main__":
    main()
