"""steady_load.py ENDPOINT: calls without a pause until standard input ends, each answer checked.

Prints "started" when the first answers are there; at the end one JSON line: how many calls were
answered, the longest wait, and every failure. Speaks to the model `sleepy_echo` as a ZeroRPC peer
with one DEALER socket, so that many calls are open at once: calls of one row, batches and streams.
"""

import json
import signal
import sys
import time
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from uuid import uuid4

import msgpack
import zmq

LIFE_S = 100  # below pytest-timeout's 120 s
OPEN_CALLS = 24
STARTED_AFTER = 50
#: A call that waits so long has failed, although none is given up before its caller would.
TOO_LATE_S = 25.0
#: One call in so many is a batch, and one a stream.
BATCH_EVERY = 20
ROWS = 20
SLEEP_S = 0.002
GRANT = 100


@dataclass
class OpenCall:
    method: str
    values: list[int]
    asked_at: float
    items: list[Any] = field(default_factory=list)


class Peer:
    """A ZeroRPC client with many open calls."""

    def __init__(self, endpoint: str) -> None:
        self._context = zmq.Context()
        self.socket = self._context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.connect(endpoint)
        self.open: dict[bytes, OpenCall] = {}

    def close(self) -> None:
        self.socket.close()
        self._context.term()

    def ask(self, method: str, values: list[int], sleep_s: float) -> None:
        rows = [{"value": value, "sleep_s": sleep_s} for value in values]
        channel = uuid4().hex.encode()
        self.open[channel] = OpenCall(method, values, time.monotonic())
        argument = rows[0] if method == "predict" else rows
        self._send({"message_id": channel, "v": 3}, f"sleepy_echo_{method}", [argument])
        if method == "predict_stream":
            self._respond(channel, "_zpc_more", [GRANT])

    def take(self) -> tuple[OpenCall, str] | None:
        """Take one event; a call that it ends, and what was wrong with the answer."""
        header, name, args = msgpack.unpackb(self.socket.recv_multipart()[-1])
        channel = header["response_to"]
        channel = channel.encode() if isinstance(channel, str) else channel
        if channel not in self.open:
            return None
        if name == "_zpc_hb":
            self._respond(channel, "_zpc_hb", None)
            return None
        call = self.open[channel]
        if name == "STREAM":
            call.items.append(args)
            return None
        if name == "_zpc_more":
            return None
        del self.open[channel]
        return call, complaint(call, name, args)

    def _respond(self, channel: bytes, name: str, args: object) -> None:
        header = {"message_id": uuid4().hex.encode(), "v": 3, "response_to": channel}
        self._send(header, name, args)

    def _send(self, header: dict[str, object], name: str, args: object) -> None:
        self.socket.send_multipart([b"", msgpack.packb([header, name, args])])


def complaint(call: OpenCall, name: str, args: Any) -> str:
    """What is wrong with an answer; nothing, as a rule."""
    echoes = [{"value": value} for value in call.values]
    expected: object
    match call.method:
        case "predict":
            expected, got = ("OK", [echoes[0]]), (name, args)
        case "predict_batch":
            expected, got = ("OK", [{"predictions": echoes, "errors": []}]), (name, args)
        case _:
            items = [{"index": index, "prediction": echo} for index, echo in enumerate(echoes)]
            call.items.sort(key=lambda item: item["index"])
            expected, got = ("STREAM_DONE", items), (name, call.items if name != "ERR" else args)
    return "" if got == expected else f"{call.method}: {got!r}, expected {expected!r}"


def method_of(number: int) -> str:
    return {0: "predict_batch", BATCH_EVERY // 2: "predict_stream"}.get(
        number % BATCH_EVERY, "predict"
    )


def run(endpoint: str) -> dict[str, object]:
    peer = Peer(endpoint)
    numbers = count()
    answered, longest_s, failures, is_over = 0, 0.0, [], False
    poller = zmq.Poller()
    poller.register(peer.socket, zmq.POLLIN)
    poller.register(sys.stdin, zmq.POLLIN)
    while not is_over or peer.open:
        while not is_over and len(peer.open) < OPEN_CALLS:
            number = next(numbers)
            method = method_of(number)
            values = [number + row for row in range(1 if method == "predict" else ROWS)]
            peer.ask(method, values, SLEEP_S)
        ready = dict(poller.poll(TOO_LATE_S * 1000))
        if not ready:
            failures += [f"{call.method}: no answer" for call in peer.open.values()]
            break
        if sys.stdin.fileno() in ready:
            is_over = True
            poller.unregister(sys.stdin)
        ended = peer.take() if peer.socket in ready else None
        if ended is None:
            continue
        call, wrong = ended
        answered += 1
        longest_s = max(longest_s, time.monotonic() - call.asked_at)
        if wrong:
            failures.append(wrong)
        if answered == STARTED_AFTER:
            sys.stdout.write("started\n")
            sys.stdout.flush()
    peer.close()
    return {"answered": answered, "longest_s": round(longest_s, 3), "failures": failures}


if __name__ == "__main__":
    signal.alarm(LIFE_S)
    sys.stdout.write(json.dumps(run(sys.argv[1])) + "\n")
