"""Many connections with calls in flight on each, from one thread: raw ZMTP over epoll.

Closed loop: each answer is followed by the next request on its connection. Open loop: requests
leave at random times (a Poisson process) at a given rate, whatever has been answered.
"""

from __future__ import annotations

import math
import random
import secrets
import select
import time
from collections.abc import Iterator
from typing import Self

import msgspec
from dealer import Dealer, message_head

#: Ids are 32 hexadecimal characters: the first 24 of a run, then a counter.
_RUN_DIGITS = 24
_COUNTER_DIGITS = 8
#: No answer here takes a hundredth of it.
ANSWER_TIMEOUT_S = 20.0
_READABLE = select.EPOLLIN
_WRITABLE = select.EPOLLOUT


class Tally(msgspec.Struct, frozen=True):
    """What came of one run. Latencies are milliseconds, from the send to the answer."""

    clients: int
    in_flight: int
    calls_per_s: float
    answers: int
    failed: int
    p50_ms: float
    p99_ms: float
    max_ms: float


class Swarm:
    """All connections of one load, which call one method with one argument."""

    def __init__(self, endpoint: str, clients: int, method: str, argument: object) -> None:
        self._endpoint = endpoint
        self._clients = clients
        self._run = secrets.token_hex(_RUN_DIGITS // 2).encode()
        pack = msgspec.msgpack.encode
        self._head = b"\x93\x82\xaamessage_id\xc4\x20" + self._run
        self._tail = b"\xa1v\x03" + pack(method) + pack([argument])
        size = len(self._head) + _COUNTER_DIGITS + len(self._tail)
        self._frame = message_head(size) + self._head
        self._number = 0

    def __enter__(self) -> Self:
        self._epoll = select.epoll()
        self._connections: dict[int, Dealer] = {}
        for _ in range(self._clients):
            connection = Dealer(self._endpoint, ANSWER_TIMEOUT_S)
            connection.sock.setblocking(False)
            self._connections[connection.sock.fileno()] = connection
            self._epoll.register(connection.sock.fileno(), _READABLE)
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._connections.values():
            connection.close()
        self._epoll.close()

    def closed(self, in_flight: int, seconds: float) -> Tally:
        """Keep so many calls open, spread over all connections, for so long."""
        self._begin()
        share, more = divmod(in_flight, self._clients)
        for index, connection in enumerate(self._connections.values()):
            self._send(connection, share + (index < more), time.perf_counter())
        end_at = self._began_at + seconds
        while self._sent_at and time.perf_counter() < end_at + ANSWER_TIMEOUT_S:
            for connection, answered, now in self._answers(ANSWER_TIMEOUT_S):
                if answered and now < end_at:
                    self._send(connection, answered, now)
        return self._tally(in_flight)

    def open(self, rate: float, seconds: float) -> Tally:
        """Send so many calls a second, on one connection after the other, for so long."""
        self._begin()
        chance = random.Random(0)  # noqa: S311 - the same load in each run
        connections = list(self._connections.values())
        due_at = self._began_at
        end_at = due_at + seconds
        while due_at < end_at or self._sent_at:
            now = time.perf_counter()
            while due_at <= now and due_at < end_at:
                self._send(connections[self._number % len(connections)], 1, time.perf_counter())
                due_at += chance.expovariate(rate)
            wait_s = max(due_at - time.perf_counter(), 0) if due_at < end_at else ANSWER_TIMEOUT_S
            answered = sum(count for _, count, _ in self._answers(wait_s))
            if not answered and due_at >= end_at:
                break
        return self._tally(0)

    def _begin(self) -> None:
        self._sent_at: dict[int, float] = {}
        self._latencies_s: list[float] = []
        self._failed = 0
        self._began_at = self._ended_at = time.perf_counter()

    def _answers(self, timeout_s: float) -> Iterator[tuple[Dealer, int, float]]:
        """Where something has come: how many open calls one read has ended there, and when."""
        for fd, events in self._epoll.poll(timeout_s):
            connection = self._connections[fd]
            if events & _WRITABLE and connection.send(b""):
                self._epoll.modify(fd, _READABLE)
            if events & ~_WRITABLE:
                payloads = connection.take()
                # Once for all that came together: to look for each would be a load of its own.
                now = time.perf_counter()
                answered = 0
                for payload in payloads:
                    answered += self._take(payload, now)
                yield connection, answered, now

    def _take(self, payload: bytes, now: float) -> bool:
        """Tell whether a payload ended one of the open calls."""
        counter_at = payload.find(self._run) + _RUN_DIGITS
        if counter_at < _RUN_DIGITS:
            return False
        answer_at = counter_at + _COUNTER_DIGITS
        sent_at = self._sent_at.pop(int(payload[counter_at:answer_at], 16), None)
        if sent_at is None:
            return False
        self._ended_at = now
        if payload.startswith(b"\xa2OK", answer_at) or b"\xa2OK\x91" in payload:
            self._latencies_s.append(now - sent_at)
        else:
            self._failed += 1
        return True

    def _send(self, connection: Dealer, count: int, now: float) -> None:
        """Make so many calls on a connection, in one write."""
        first = self._number
        self._number = first + count
        sent_at, frame, tail = self._sent_at, self._frame, self._tail
        requests = []
        for number in range(first, first + count):
            sent_at[number] = now
            requests.append(b"%b%08x%b" % (frame, number, tail))
        if not connection.send(b"".join(requests)):
            self._epoll.modify(connection.sock.fileno(), _READABLE | _WRITABLE)

    def _tally(self, in_flight: int) -> Tally:
        latencies_ms = sorted(latency * 1000 for latency in self._latencies_s)
        return Tally(
            clients=self._clients,
            in_flight=in_flight,
            calls_per_s=len(latencies_ms) / max(self._ended_at - self._began_at, 1e-9),
            answers=len(latencies_ms),
            failed=self._failed + len(self._sent_at),
            p50_ms=_percentile(latencies_ms, 0.50),
            p99_ms=_percentile(latencies_ms, 0.99),
            max_ms=latencies_ms[-1] if latencies_ms else 0.0,
        )


def _percentile(ascending: list[float], share: float) -> float:
    return ascending[max(0, math.ceil(share * len(ascending)) - 1)] if ascending else 0.0
