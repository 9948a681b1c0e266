"""A load generator: a bare ZeroRPC peer in a process of its own, with books of its own.

It opens calls at a given rate, whatever becomes of them (open loop), or keeps a number of them open
(closed loop). It times each from before its send to after its receipt, and never waits in a send:
what the connection does not take is counted instead. Run as a script it takes a `Demand` as JSON,
prints a line when it is connected, waits for the instant at which to start, and prints its `Books`.
"""

from __future__ import annotations

import gc
import re
import signal
import sys
import time

import msgspec
import zmq
from overload.books import Books, Demand

#: After its last call, a generator waits so long for what is still open.
ANSWER_TIMEOUT_S = 40.0
CONNECT_TIMEOUT_MS = 20_000
#: Calls that the library itself holds: few, so that a call's time is the gateway's and the wire's.
SEND_HIGH_WATER = 16
#: Calls begun before answers are looked at again.
MAX_BURST = 16
#: Shortest sleep. Without any, a generator would take a core from the service that it measures.
MIN_WAIT_MS = 1
#: Longest sleep while nothing can be asked.
MAX_WAIT_MS = 100
#: It ends by itself, whoever started it.
GRACE_S = 120

_pack = msgspec.msgpack.encode
_RETRY_AFTER = re.compile(r"retry_after_s=([\d.]+)")
#: Longest rest after `Overloaded`, so that a mistaken advice shows as such.
MAX_REST_S = 2.0


class _Header(msgspec.Struct):
    response_to: bytes | None = None


_EVENT = msgspec.msgpack.Decoder(tuple[_Header, str, msgspec.Raw])


class Caller:
    """One connection, its open calls and its books."""

    def __init__(self, demand: Demand) -> None:
        self.demand = demand
        self.books = Books()
        self._open: dict[int, float] = {}
        self._next = 0
        self._rest_until = 0.0
        count = 2 if demand.timeout_s is None else 3
        self._head = bytes([0x93, 0x80 + count]) + b"\xaamessage_id\xc4\x08"
        timeout = b"" if demand.timeout_s is None else b"\xa9timeout_s" + _pack(demand.timeout_s)
        self._middle = b"\xa1v\x03" + timeout + _pack(demand.method) + b"\x91\x82\xa5value\xce"
        self._tail = b"\xa3pad" + _pack(b"\x00" * demand.body_bytes)

    def connect(self) -> None:
        """Connect, and see that the other end is there."""
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.SNDHWM, SEND_HIGH_WATER)
        self._socket.setsockopt(zmq.RCVHWM, 0)
        self._socket.connect(self.demand.endpoint)
        self._ping()

    def _ping(self) -> None:
        header = {"message_id": b"ping", "v": 3}
        self._socket.send_multipart([b"", _pack([header, "_zerorpc_ping", []])])
        if not self._socket.poll(CONNECT_TIMEOUT_MS):
            raise TimeoutError(f"nobody answers at {self.demand.endpoint}")
        self._socket.recv_multipart()

    def run(self, start_at: float) -> None:
        """Ask from the given instant on, wait for the last answers, and close."""
        time.sleep(max(0.0, start_at - time.monotonic()))
        end_at = start_at + self.demand.seconds
        looked_at = start_at
        while (now := time.monotonic()) < end_at:
            self.books.own_pause_s = max(self.books.own_pause_s, now - looked_at)
            self._ask(now, start_at)
            self._take_all(start_at)
            looked_at = time.monotonic()
            self._socket.poll(self._wait_ms(start_at, looked_at))
            looked_at = time.monotonic()
        give_up_at = end_at + ANSWER_TIMEOUT_S
        while self._open and (now := time.monotonic()) < give_up_at:
            self._socket.poll(MAX_WAIT_MS)
            self._take_all(start_at)
        self.books.unanswered = len(self._open)
        self._socket.close()
        self._context.term()

    def _due(self, now: float, start_at: float) -> int:
        """Calls to begin now."""
        demand = self.demand
        due = MAX_BURST
        if demand.rate_per_s:
            begun = self.books.sent + self.books.pushed_back
            due = min(due, int((now - start_at) * demand.rate_per_s) + 1 - begun)
        if demand.max_open:
            if now < self._rest_until:
                return 0
            due = min(due, demand.max_open - len(self._open))
        return due

    def _ask(self, now: float, start_at: float) -> None:
        for _ in range(self._due(now, start_at)):
            number = self._next
            self._next = number + 1
            # An id of eight bytes, and the same number as the value that is asked about.
            payload = b"".join(
                (
                    self._head,
                    number.to_bytes(8, "big"),
                    self._middle,
                    number.to_bytes(4, "big"),
                    self._tail,
                )
            )
            sent_at = time.monotonic()
            try:
                self._socket.send_multipart((b"", payload), zmq.NOBLOCK)
            except zmq.Again:
                self.books.pushed_back += 1
                continue
            self._open[number] = sent_at
            self.books.sent += 1

    def _wait_ms(self, start_at: float, now: float) -> int:
        demand = self.demand
        if demand.max_open and (len(self._open) >= demand.max_open or now < self._rest_until):
            return MIN_WAIT_MS if now < self._rest_until else MAX_WAIT_MS
        if not demand.rate_per_s:
            return MIN_WAIT_MS
        begun = self.books.sent + self.books.pushed_back
        due_at = start_at + begun / demand.rate_per_s
        return min(max(MIN_WAIT_MS, int(1000 * (due_at - now))), MAX_WAIT_MS)

    def _take_all(self, start_at: float) -> None:
        try:
            while True:
                _, payload = self._socket.recv_multipart(zmq.NOBLOCK)
                self._take(payload, time.monotonic(), start_at)
        except zmq.Again:
            pass

    def _take(self, payload: bytes, now: float, start_at: float) -> None:
        header, name, args = _EVENT.decode(payload)
        if name.startswith("_zpc_"):
            return
        number = int.from_bytes(header.response_to or b"", "big")
        sent_at = self._open.pop(number, None)
        if sent_at is None:
            self.books.strays += 1
            return
        took_s = now - sent_at
        if name == "OK" and bytes(args) == _pack([{"value": 3 * number + 1}]):
            self.books.count_right(took_s, now - start_at, self.demand.timeout_s)
        elif name == "ERR":
            error, message, _ = msgspec.msgpack.decode(args)
            self.books.count_error(error, took_s)
            self._rest(error, message, now)
        else:
            self.books.count_wrong(f"{number}: {name} {bytes(args)[:80]!r}")

    def _rest(self, error: str, message: str, now: float) -> None:
        if error != "Overloaded" or not self.demand.heeds_retry_after:
            return
        found = _RETRY_AFTER.search(message)
        rest_s = float(found[1]) if found else MAX_REST_S
        self._rest_until = now + min(rest_s, MAX_REST_S)


def main() -> None:
    demand = msgspec.json.decode(sys.argv[1], type=Demand)
    signal.alarm(int(demand.seconds + ANSWER_TIMEOUT_S) + GRACE_S)
    # No cycles here, and a collection would count as the service's time.
    gc.disable()
    caller = Caller(demand)
    caller.connect()
    sys.stdout.write("connected\n")
    sys.stdout.flush()
    start_at = float(sys.stdin.readline())
    caller.run(start_at)
    sys.stdout.write(msgspec.json.encode(caller.books).decode() + "\n")


if __name__ == "__main__":
    main()
