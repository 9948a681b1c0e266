"""The load generator for ZeroMQ servers: a bare ZeroRPC peer that keeps calls in flight.

A closed loop over one connection: each answer is checked and followed by the next request, all that
came together by as many in one go. A plain socket as for the other protocols, no libzmq, no
decoding of answers that are byte for byte what they should be: its own CPU time must stay far below
the server's. Source of the framing: zerorpc-python 0.6.3, events.py.

    python benchmarks/load.py tcp://127.0.0.1:4242 --in-flight 64 --seconds 3 </dev/null
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator

import msgspec
from dealer import Dealer, message_head
from driver import ANSWER_TIMEOUT_S, drive
from flowers import FLOWERS, METHOD
from tally import Count, Tally

#: Ids are 32 hexadecimal characters, as zerorpc-python's: the first 24 of a run, then a counter.
_RUN_DIGITS = 24
_COUNTER_DIGITS = 8

_pack = msgspec.msgpack.encode


class Load:
    """A closed loop of calls on one connection."""

    def __init__(self, dealer: Dealer) -> None:
        self._dealer = dealer
        self._run = secrets.token_hex(_RUN_DIGITS // 2).encode()
        # Everything of a request but the counter, and everything of an answer behind it.
        head = b"\x93\x82\xaamessage_id\xc4\x20" + self._run
        self._tails = [b"\xa1v\x03" + _pack(METHOD) + _pack([row]) for row, _ in FLOWERS]
        self._heads = [
            message_head(len(head) + _COUNTER_DIGITS + len(tail)) + head for tail in self._tails
        ]
        self._right = [b"\xa2OK\x91" + _pack({"species": species}) for _, species in FLOWERS]
        self._next = 0
        self._sent_at: dict[int, float] = {}
        self._count = Count()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} open={len(self._sent_at)} {self._count}>"

    def measure(self, in_flight: int, seconds: float) -> Tally:
        """Keep ``in_flight`` calls open for so long, wait for the last, and count."""
        self._count = Count()
        # Where the server hangs up, what is open is lost.
        with contextlib.suppress(OSError):
            self._loop(in_flight, self._count.began_at + seconds)
        tally = self._count.tally(in_flight, unanswered=len(self._sent_at))
        # An answer that comes yet belongs to no later run.
        self._sent_at.clear()
        return tally

    def _loop(self, in_flight: int, end_at: float) -> None:
        self._send(in_flight, time.perf_counter())
        while self._sent_at:
            payloads = self._dealer.take()
            now = time.perf_counter()
            closed = sum([self._take(payload, now) for payload in payloads])
            if closed and now < end_at:
                self._send(closed, now)
            elif not closed and now - self._count.answered_at > ANSWER_TIMEOUT_S:
                return

    def _send(self, calls: int, now: float) -> None:
        first = self._next
        self._next = first + calls
        sent_at, heads, tails = self._sent_at, self._heads, self._tails
        requests = []
        for number in range(first, first + calls):
            sent_at[number] = now
            flower = number % len(FLOWERS)
            requests.append(b"%b%08x%b" % (heads[flower], number, tails[flower]))
        self._dealer.sock.sendall(b"".join(requests))

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


@contextlib.contextmanager
def _connected(endpoint: str, in_flight: int) -> Iterator[Load]:  # noqa: ARG001 - one for all
    with contextlib.closing(Dealer(endpoint, ANSWER_TIMEOUT_S)) as dealer:
        yield Load(dealer)


if __name__ == "__main__":
    drive(_connected, __doc__)
