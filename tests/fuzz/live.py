"""Broken inputs on the two ports of a real, running service, which has to go on answering.

    PYTHONPATH=tests:tests/models .venv/bin/python -m fuzz.live --inputs 50000 --out live.json

Four kinds: messages of broken events on the client port, broken frames on the worker port, raw
bytes in place of a handshake on either, and broken frames behind a good handshake on either. They
follow from the seed alone. Between them an honest caller asks, and every answer has to be right.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import secrets
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
import zmq
from fuzz import pools
from fuzz.mutation import LIES, Mutator
from harness import Service, free_endpoint, model_tables
from overload import zmtp
from overload.report import Report
from overload.rig import Watch, mib, service, slope_bytes_per_s

from zeropool.client import Client

#: Inputs between two honest calls.
ASK_EVERY = 100
#: Longest that an honest call takes while this goes on. It needs 5 ms.
ANSWER_WITHIN_S = 10.0
#: After more wrong answers than this, there is nothing more to learn.
MAX_WRONG = 3
#: Inputs on one connection of its own.
PER_CONNECTION = 20
#: Messages that the library holds for us; then we wait for the gateway.
SEND_HIGH_WATER = 100
SEND_TIMEOUT_MS = 20_000
LINGER_MS = 10_000
#: What the gateway may keep of all this: buffers of connections, counts, memory not given back.
RSS_GROWTH_MIB = 64.0
#: Descriptors that are still open when all have left: monitors and listeners come and go.
FDS_LEFT = 16
SETTLE_S = 6.0
#: Of the service's log, what a report quotes of it.
LOG_CHARS = 6_000
#: It ends by itself.
LIFE_S = 3_000

CONFIGURATION = """
[gateway]
workers_bind = "{workers_bind}"
max_request_bytes = 1_000_000
max_held_bytes = 67_108_864

"""


class Hostile:
    """Sends inputs of the four kinds."""

    def __init__(self, seed: int, clients: str, workers: str) -> None:
        self._rng = random.Random(f"{seed}/live")
        self._events = Mutator(self._rng, pools.EVENTS)
        self._frames = Mutator(self._rng, pools.FROM_WORKER)
        self._endpoints = {b"DEALER": clients, b"PUSH": workers}
        self._context = zmq.Context()
        self._dealer = self._socket(zmq.DEALER, clients)
        self._push = self._socket(zmq.PUSH, workers)
        self._raw: dict[bytes, tuple[socket.socket, int]] = {}
        self.sent: Counter[str] = Counter()

    def _socket(self, kind: int, endpoint: str) -> zmq.Socket[bytes]:
        made = self._context.socket(kind)
        made.setsockopt(zmq.SNDHWM, SEND_HIGH_WATER)
        made.setsockopt(zmq.SNDTIMEO, SEND_TIMEOUT_MS)
        made.setsockopt(zmq.LINGER, LINGER_MS)
        made.connect(endpoint)
        return made

    def send(self) -> None:
        """The next input."""
        kinds: tuple[tuple[str, Callable[[], None]], ...] = (
            ("client messages", self._client_message),
            ("worker frames", self._worker_frame),
            ("raw bytes", self._raw_bytes),
            ("frames behind a handshake", self._raw_frames),
        )
        name, send = self._rng.choices(kinds, weights=(40, 35, 5, 20))[0]
        send()
        self.sent[name] += 1

    def _client_message(self) -> None:
        frames = [self._events.draw()]
        if self._rng.random() < 0.8:
            frames.insert(0, b"")
        while self._rng.random() < 0.1:
            frames.insert(self._rng.randrange(len(frames) + 1), self._events.draw())
        self._dealer.send_multipart(frames)
        with contextlib.suppress(zmq.Again):
            while True:
                self._dealer.recv_multipart(zmq.NOBLOCK)

    def _worker_frame(self) -> None:
        self._push.send(self._frames.draw())

    def _raw_bytes(self) -> None:
        """A connection that says something else than a greeting, and goes."""
        kind = self._rng.choice((b"DEALER", b"PUSH"))
        greeting = bytearray(zmtp.GREETING + zmtp.ready(kind))
        match self._rng.randrange(4):
            case 0:
                data = self._rng.randbytes(self._rng.randrange(200))
            case 1:
                data = bytes(greeting[: self._rng.randrange(len(greeting))])
            case 2:
                greeting[self._rng.randrange(len(greeting))] ^= 1 << self._rng.randrange(8)
                data = bytes(greeting)
            case _:
                data = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
        with contextlib.suppress(OSError), zmtp.connect(self._endpoints[kind]) as connection:
            connection.sendall(data)

    def _raw_frames(self) -> None:
        """Bytes behind a good handshake: broken frames, commands, lengths that are lies."""
        rng = self._rng
        kind = rng.choice((b"DEALER", b"PUSH"))
        body = (self._events if kind == b"DEALER" else self._frames).draw()
        match rng.randrange(6):
            case 0:
                data = zmtp.frame(body, rng.randrange(256) & ~zmtp.LONG)
            case 1:
                data = zmtp.announcement(2 ** rng.randrange(64)) + body
            case 2:
                data = zmtp.frame(b"\x04PING\x00\x00" + body[:16], zmtp.COMMAND)
            case 3:
                data = body + rng.choice(LIES)
            case 4:
                data = b"".join(zmtp.frame(body[:200], zmtp.MORE) for _ in range(rng.randrange(50)))
            case _:
                data = zmtp.frame(b"", zmtp.MORE) + zmtp.frame(body)
        self._send_raw(kind, data)

    def _send_raw(self, kind: bytes, data: bytes) -> None:
        connection, uses = self._raw.pop(kind, (None, 0))
        with contextlib.suppress(OSError):
            if connection is None:
                connection = zmtp.shake_hands(self._endpoints[kind], kind)
            connection.sendall(data)
            zmtp.throw_away(connection)
            if uses < PER_CONNECTION:
                self._raw[kind] = (connection, uses + 1)
                return
        if connection is not None:
            connection.close()

    def close(self) -> None:
        for connection, _ in self._raw.values():
            connection.close()
        self._dealer.close()
        self._push.close()
        self._context.term()


class Witness:
    """An honest caller between the hostile inputs."""

    def __init__(self, endpoint: str) -> None:
        self._client = Client(endpoint, timeout_s=ANSWER_WITHIN_S)
        self.asked = 0
        self.wrong: list[str] = []
        self.longest_s = 0.0

    def ask(self) -> None:
        """One call, whose answer follows from its question."""
        self.asked += 1
        began_at = time.monotonic()
        try:
            answer = self._client.call("steady_predict", {"value": self.asked})
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
            answer = error
        self.longest_s = max(self.longest_s, time.monotonic() - began_at)
        if answer != {"value": 3 * self.asked + 1}:
            self.wrong.append(repr(answer)[:300])

    def close(self) -> None:
        self._client.close()


def processes(running: Service) -> list[int]:
    return sorted(process.pid for process in running.family() if process.is_running())


def attack(running: Service, workers_bind: str, seed: int, inputs: int, report: Report) -> None:
    before = processes(running)
    gateway = running.gateway_process()
    workers = [psutil.Process(pid) for pid in running.worker_pids()]
    worker_rss = [worker.memory_info().rss for worker in workers]
    witness = Witness(running.endpoint)
    hostile = Hostile(seed, running.endpoint, workers_bind)
    with Watch(gateway) as watch:
        for number in range(inputs):
            hostile.send()
            if number % ASK_EVERY == 0:
                witness.ask()
            if len(witness.wrong) > MAX_WRONG:
                break
        hostile.close()
        # What is half said is given up, and who registered without being there is forgotten.
        time.sleep(SETTLE_S)
        witness.ask()
        dropped = running.call("get_status")["dropped"]
    witness.close()
    growth = [mib(p.memory_info().rss - was) for p, was in zip(workers, worker_rss, strict=True)]
    half = watch.samples[len(watch.samples) // 2 :]
    report.figure("inputs", dict(hostile.sent))
    report.figure("gateway", watch.figures())
    report.figure(
        "gateway memory slope, second half, KiB/s", round(slope_bytes_per_s(half) / 1024, 1)
    )
    report.figure("dropped, as the gateway counts", dropped)
    report.figure("honest calls", witness.asked)
    report.exactly("honest calls without the right answer", witness.wrong, [])
    report.at_most("longest honest call", round(witness.longest_s, 3), ANSWER_WITHIN_S, "s")
    report.exactly("processes of the service are the same", processes(running), before)
    report.exactly("tracebacks in its log", running.output.count("Traceback"), 0)
    if report.broken:
        report.figure("the end of its log", running.output[-LOG_CHARS:].splitlines())
    grown = mib(watch.peak_bytes - watch.samples[0][1])
    report.at_most("gateway memory above its beginning", grown, RSS_GROWTH_MIB, "MiB")
    report.at_most("a worker's memory above its beginning", max(growth), RSS_GROWTH_MIB, "MiB")
    left = watch.samples[-1][2] - watch.samples[0][2]
    report.at_most("gateway descriptors left open", left, FDS_LEFT, "")


def run(seed: int, inputs: int) -> Report:
    report = Report("live fuzz", {"seed": seed, "inputs": inputs})
    workers_bind = free_endpoint()
    toml = CONFIGURATION.format(workers_bind=workers_bind)
    with service(toml + model_tables("fixture_models.steady.SteadyModel")) as running:
        attack(running, workers_bind, seed, inputs, report)
    return report


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    signal.alarm(LIFE_S)
    seed = secrets.randbits(32) if options.seed is None else options.seed
    return run(seed, options.inputs).finish(options.out)


if __name__ == "__main__":
    sys.exit(main())
