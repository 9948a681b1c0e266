"""A load generator that keeps its own books: what was asked, and every answer that came.

It speaks ZeroRPC by itself, with a bare DEALER and msgpack, so that no code of ours can hide a
lost, a wrong or a second answer. Each asker is a thread with a socket of its own. Each question
carries a value from which the one right answer follows.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import msgpack
import zmq

MODEL = "sleepy_echo"
POLL_MS = 50
#: How long to listen for answers that nobody is owed any more.
LISTEN_ON_S = 1.0
TERMINAL = frozenset({"OK", "ERR", "STREAM_DONE"})
#: What a wrong argument is answered with.
INVALID = "MLModelSchemaValidationException"
#: Rows of one batch or stream.
ROWS = 5
#: A slow reader's socket holds few messages, so that the rest waits in the gateway.
SLOW_RECEIVE_HIGH_WATER = 4
GRANT = 100


@dataclass(frozen=True)
class Mix:
    """Which questions are asked: one in so many, 0 for none; all others are single calls."""

    batch_every: int = 10
    stream_every: int = 10
    invalid_every: int = 0

    @property
    def mean_rows(self) -> float:
        """Rows of a question on the average."""
        many = sum(1 / every for every in (self.batch_every, self.stream_every) if every)
        return 1 + many * (ROWS - 1)


@dataclass
class Question:
    """One request, and what has come of it."""

    kind: str
    values: list[int]
    asked_at: float
    #: Predictions of a stream by their index.
    items: dict[int, Any] = field(default_factory=dict)

    def complaint(self, name: str, args: Any) -> str:
        """What is wrong with the answer that ends it; nothing, as a rule."""
        echoes = [{"value": value} for value in self.values]
        match self.kind:
            case "predict":
                is_right = (name, args) == ("OK", [echoes[0]])
            case "predict_batch":
                is_right = (name, args) == ("OK", [{"predictions": echoes, "errors": []}])
            case "predict_stream":
                is_right = name == "STREAM_DONE" and self.items == dict(enumerate(echoes))
            case _:
                is_right = name == "ERR" and args[0] == INVALID
        return "" if is_right else f"{self.kind} {self.values}: {name} {args} {self.items}"[:500]


@dataclass
class Books:
    """What one asker, or all together, asked and got."""

    asked: int = 0
    right: int = 0
    #: By kind of question.
    kinds: Counter[str] = field(default_factory=Counter)
    #: Answers that do not follow from the question, or come in no order that may be.
    wrong: Counter[str] = field(default_factory=Counter)
    #: Errors that nobody asked for, by name.
    errors: Counter[str] = field(default_factory=Counter)
    #: Events for what was answered before, or was never asked.
    unowed: int = 0
    unanswered: int = 0
    #: Questions whose asker did not wait for the answer.
    forsaken: int = 0
    #: Seconds from question to last event of its answer.
    waits_s: list[float] = field(default_factory=list)

    def add(self, other: "Books") -> None:
        self.asked += other.asked
        self.right += other.right
        self.kinds += other.kinds
        self.wrong += other.wrong
        self.errors += other.errors
        self.unowed += other.unowed
        self.unanswered += other.unanswered
        self.forsaken += other.forsaken
        self.waits_s += other.waits_s

    @property
    def answered(self) -> int:
        return self.right + self.wrong.total() + self.errors.total()


class Conversation:
    """One DEALER and the questions that are open on it."""

    def __init__(
        self, endpoint: str, books: Books, *, sleep_s: float, receive_high_water: int = 0
    ) -> None:
        self.books = books
        self.open: dict[bytes, Question] = {}
        self._sleep_s = sleep_s
        self._numbers = count(1)
        self._name = b"%x-" % random.getrandbits(48)
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.linger = 0
        self._socket.sndhwm = 0
        self._socket.rcvhwm = receive_high_water
        self._socket.connect(endpoint)

    def close(self) -> None:
        self._socket.close()
        self._context.term()

    def ask(self, kind: str, rows: int, *, grant: int = GRANT) -> bytes:
        """Send one question; return its channel."""
        number = next(self._numbers)
        values = [number * 7 + row for row in range(rows)]
        channel = self._name + b"%d" % number
        data = [{"value": value, "sleep_s": self._sleep_s} for value in values]
        argument: Any = data if kind in ("predict_batch", "predict_stream") else data[0]
        if kind == "invalid":
            argument = {"value": "no number", "sleep_s": self._sleep_s}
        method = f"{MODEL}_{'predict' if kind == 'invalid' else kind}"
        self.open[channel] = Question(kind, values, time.monotonic())
        self.books.asked += 1
        self.books.kinds[kind] += 1
        self._send({"message_id": channel, "v": 3}, method, [argument])
        if kind == "predict_stream" and grant:
            self.grant(channel, grant)
        return channel

    def grant(self, channel: bytes, events: int) -> None:
        header = {"message_id": self._name + b"g", "v": 3, "response_to": channel}
        self._send(header, "_zpc_more", [events])

    def listen(self, poll_ms: float = POLL_MS, most: int = 1000) -> int:
        """Take what has arrived; return the number of data events."""
        if not self._socket.poll(poll_ms):
            return 0
        taken = 0
        try:
            while taken < most:
                payload = self._socket.recv_multipart(zmq.NOBLOCK)[-1]
                header, name, args = msgpack.unpackb(payload)
                if name == "STREAM" or name in TERMINAL:
                    self._take(header["response_to"], name, args)
                    taken += 1
        except zmq.Again:
            pass
        return taken

    def forsake(self) -> None:
        """Close at once; nobody waits for the answers any more."""
        self.books.forsaken += len(self.open)
        self.open.clear()
        self.close()

    def _take(self, channel: bytes, name: str, args: Any) -> None:
        question = self.open.get(channel)
        if question is None:
            self.books.unowed += 1
            return
        if name == "STREAM":
            self._take_item(question, args)
            return
        del self.open[channel]
        self.books.waits_s.append(time.monotonic() - question.asked_at)
        complaint = question.complaint(name, args)
        if not complaint:
            self.books.right += 1
        elif name == "ERR":
            self.books.errors[f"{args[0]}: {args[1]}"[:200]] += 1
        else:
            self.books.wrong[complaint] += 1

    def _take_item(self, question: Question, item: Any) -> None:
        is_item = isinstance(item, dict) and "prediction" in item
        if question.kind != "predict_stream" or not is_item or item["index"] in question.items:
            self.books.wrong[f"item of {question.kind} {question.values}: {item}"[:500]] += 1
            return
        question.items[item["index"]] = item["prediction"]

    def _send(self, header: dict[str, object], name: str, args: object) -> None:
        self._socket.send_multipart([b"", msgpack.packb([header, name, args])])


class Crowd:
    """When its askers are to stop; they look."""

    def __init__(self) -> None:
        self.asks_on = True
        #: CLOCK_MONOTONIC seconds after which an open question counts as unanswered.
        self.give_up_at = float("inf")

    def stop(self, patience_s: float) -> None:
        """No new questions; the open ones have so long to be answered."""
        self.give_up_at = time.monotonic() + patience_s
        self.asks_on = False


class Asker(threading.Thread):
    """Asks a mix of questions, ``in_flight`` at a time, and waits for every answer."""

    def __init__(
        self,
        endpoint: str,
        crowd: Crowd,
        *,
        seed: int,
        sleep_s: float,
        in_flight: int = 16,
        mix: Mix = Mix(),
        pause_s: float = 0.0,
    ) -> None:
        super().__init__(daemon=True)
        self.books = Books()
        self.failure = ""
        self._endpoint = endpoint
        self._crowd = crowd
        self._random = random.Random(seed)
        self._sleep_s = sleep_s
        self._in_flight = in_flight
        self._mix = mix
        self._pause_s = pause_s

    def run(self) -> None:
        try:
            self._talk()
        except Exception as error:  # noqa: BLE001 - reported by whoever adds the books up
            self.failure = repr(error)

    def _talk(self) -> None:
        talk = Conversation(self._endpoint, self.books, sleep_s=self._sleep_s)
        while self._crowd.asks_on or (talk.open and time.monotonic() < self._crowd.give_up_at):
            while self._crowd.asks_on and len(talk.open) < self._in_flight:
                kind = self._kind()
                talk.ask(kind, ROWS if kind in ("predict_batch", "predict_stream") else 1)
            talk.listen()
            if self._pause_s:
                time.sleep(self._pause_s)
        self.books.unanswered = len(talk.open)
        listen_until = time.monotonic() + LISTEN_ON_S
        while time.monotonic() < listen_until:
            talk.listen()
        talk.close()

    def _kind(self) -> str:
        mix = self._mix
        chances = (
            ("predict_batch", mix.batch_every),
            ("predict_stream", mix.stream_every),
            ("invalid", mix.invalid_every),
        )
        draw = self._random.random()
        for kind, every in chances:
            draw -= 1 / every if every else 0.0
            if draw < 0:
                return kind
        return "predict"


class SlowReader(Asker):
    """Reads one event at a time with a pause after each, and grants its streams little."""

    rows = 20
    grant = 2

    def _talk(self) -> None:
        talk = Conversation(
            self._endpoint,
            self.books,
            sleep_s=self._sleep_s,
            receive_high_water=SLOW_RECEIVE_HIGH_WATER,
        )
        while self._crowd.asks_on or (talk.open and time.monotonic() < self._crowd.give_up_at):
            if self._crowd.asks_on and len(talk.open) < self._in_flight:
                talk.ask("predict", 1)
                talk.ask("predict_stream", self.rows, grant=self.grant)
            if talk.listen(most=1):
                for channel, question in list(talk.open.items()):
                    if question.kind == "predict_stream":
                        talk.grant(channel, 1)
            if self._crowd.asks_on:
                time.sleep(self._pause_s)
        self.books.unanswered = len(talk.open)
        talk.listen(LISTEN_ON_S * 1000)
        talk.close()


class Vanisher(Asker):
    """Opens streams and calls, reads a little, and is gone: again and again."""

    rows = 40

    def _talk(self) -> None:
        while self._crowd.asks_on:
            talk = Conversation(self._endpoint, self.books, sleep_s=self._sleep_s)
            talk.ask("predict_stream", self.rows, grant=self._random.choice((0, 3, GRANT)))
            talk.ask("predict_batch", self.rows)
            talk.ask("predict", 1)
            for _ in range(self._random.randrange(4)):
                talk.listen()
            talk.forsake()
            time.sleep(self._pause_s)


def total(askers: list[Asker]) -> Books:
    """The books of all together."""
    books = Books()
    for asker in askers:
        books.add(asker.books)
    return books


def wait_for(is_done: Callable[[], bool], askers: list[Asker], limit_s: float) -> None:
    """Wait until then, while the askers ask."""
    end_at = time.monotonic() + limit_s
    while not is_done():
        failed = [asker.failure for asker in askers if asker.failure]
        if failed or time.monotonic() > end_at:
            raise AssertionError(f"not done after {limit_s} s; {failed}")
        time.sleep(POLL_MS / 1000)
