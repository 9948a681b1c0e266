"""A load generator that keeps its own books: what was asked, and every answer that came.

It speaks ZeroRPC by itself, with a bare DEALER and msgpack, so that no code of ours can hide a
lost, a wrong or a second answer. Each asker is a thread with a socket of its own.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

import msgpack
import zmq

METHOD = "sleepy_echo_predict"
IN_FLIGHT = 64
POLL_MS = 100
#: How long to listen for answers that nobody is owed any more.
LISTEN_ON_S = 1.0
TERMINAL = frozenset({"OK", "ERR", "STREAM_DONE"})


@dataclass
class Books:
    """What one asker, or all together, asked and got."""

    asked: int = 0
    right: int = 0
    #: Values that follow from no question, by what was answered.
    wrong: Counter[str] = field(default_factory=Counter)
    #: Errors, by name.
    errors: Counter[str] = field(default_factory=Counter)
    #: Answers to what was answered before, or was never asked.
    unowed: int = 0
    unanswered: int = 0
    slowest_s: float = 0.0

    def add(self, other: "Books") -> None:
        self.asked += other.asked
        self.right += other.right
        self.wrong += other.wrong
        self.errors += other.errors
        self.unowed += other.unowed
        self.unanswered += other.unanswered
        self.slowest_s = max(self.slowest_s, other.slowest_s)


class Asker(threading.Thread):
    """Asks ``calls`` questions, `IN_FLIGHT` at a time, and waits for every answer."""

    def __init__(self, endpoint: str, *, calls: int, sleep_s: float, give_up_s: float) -> None:
        super().__init__(daemon=True)
        self.books = Books()
        #: All questions are answered, or given up.
        self.has_answers = threading.Event()
        self._endpoint = endpoint
        self._calls = calls
        self._sleep_s = sleep_s
        self._give_up_s = give_up_s
        self._open: dict[bytes, tuple[int, float]] = {}
        self._numbers: Iterator[int] = count(1)

    def run(self) -> None:
        give_up_at = time.monotonic() + self._give_up_s
        with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
            socket.linger = 0
            socket.connect(self._endpoint)
            while (self._open or self.books.asked < self._calls) and time.monotonic() < give_up_at:
                self._ask(socket)
                self._listen(socket)
            self.books.unanswered = self._calls - self.books.asked + len(self._open)
            self.has_answers.set()
            listen_until = time.monotonic() + LISTEN_ON_S
            while time.monotonic() < listen_until:
                self._listen(socket)

    def _ask(self, socket: zmq.Socket) -> None:
        while len(self._open) < IN_FLIGHT and self.books.asked < self._calls:
            number = next(self._numbers)
            channel = b"%d-%x" % (number, id(self))
            data = {"value": number * 7, "sleep_s": self._sleep_s}
            event = [{"message_id": channel, "v": 3}, METHOD, [data]]
            socket.send_multipart([b"", msgpack.packb(event)])
            self._open[channel] = (number, time.monotonic())
            self.books.asked += 1

    def _listen(self, socket: zmq.Socket) -> None:
        if not socket.poll(POLL_MS):
            return
        try:
            while True:
                header, name, args = msgpack.unpackb(socket.recv_multipart(zmq.NOBLOCK)[-1])
                if name in TERMINAL:
                    self._take(header["response_to"], name, args)
        except zmq.Again:
            pass

    def _take(self, channel: bytes, name: str, args: list[object]) -> None:
        asked = self._open.pop(channel, None)
        if asked is None:
            self.books.unowed += 1
            return
        number, asked_at = asked
        self.books.slowest_s = max(self.books.slowest_s, time.monotonic() - asked_at)
        if name == "ERR":
            self.books.errors[str(args[0])] += 1
        elif (name, args) == ("OK", [{"value": number * 7}]):
            self.books.right += 1
        else:
            self.books.wrong[f"{name} {args}"] += 1
