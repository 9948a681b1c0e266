"""Wrong results on a gateway's worker port, of every kind that a seed can think of.

An impostor registers as a worker that holds no model: so it learns the gateway's incarnation, as
any worker does, and its results are those of a known owner. What it sends is well known here: each
message carries one result, or nothing that is a message.
"""

import os
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any, Self

import msgpack
import zmq

from zeropool.shared.jobs import PROTOCOL_VERSION

HELLO_TIMEOUT_S = 10.0
#: No gateway has given so many jobs.
FAR_JOB = 2**40
#: Nor has one repeated a job so often.
FAR_ATTEMPT = 1_000
HUGE_BYTES = 4_000_000
MANY_PARTS = 50
MODEL = "sleepy_echo"


class Impostor:
    """Sends garbage; `sent` counts it by kind."""

    def __init__(self, worker_port: str, folder: Path, seed: int) -> None:
        self.sent: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._worker_port = worker_port
        self._endpoint = f"ipc://{folder}/impostor.ipc"
        self._kinds = {
            "unknown_job": self._unknown_job,
            "wrong_attempt": self._wrong_attempt,
            "wrong_owner": self._wrong_owner,
            "unknown_owner": self._unknown_owner,
            "foreign_gateway": self._foreign_gateway,
            "false_pace": self._false_pace,
            "malformed": self._malformed,
            "huge": self._huge,
            "many_parts": self._many_parts,
        }

    def __enter__(self) -> Self:
        self.worker_id = f"impostor-{self._random.getrandbits(32):x}"
        self._context = zmq.Context()
        self._ear = self._context.socket(zmq.PULL)
        self._ear.linger = 0
        self._ear.bind(self._endpoint)
        self._mouth = self._context.socket(zmq.PUSH)
        self._mouth.linger = 0
        self._mouth.connect(self._worker_port)
        self._gateway = self._register()
        return self

    def __exit__(self, *_: object) -> None:
        self._mouth.send(msgpack.packb(["bye", self.worker_id]))
        self._mouth.close(linger=1000)
        self._ear.close()
        self._context.term()

    def send_one(self, owner: str, jobs: int) -> None:
        """Send garbage of any kind; some pretends to be from ``owner`` or for one of ``jobs``."""
        kind = self._random.choice(sorted(self._kinds))
        while self._ear.poll(0):
            self._ear.recv()
        self._mouth.send_multipart(self._kinds[kind](owner, self._random.randint(1, max(jobs, 1))))
        self.sent[kind] += 1

    def _register(self) -> str:
        version, pid = PROTOCOL_VERSION, os.getpid()
        hello = ["register", self.worker_id, version, 0, self._endpoint, 1, pid, "nowhere", []]
        give_up_at = time.monotonic() + HELLO_TIMEOUT_S
        while time.monotonic() < give_up_at:
            self._mouth.send(msgpack.packb(hello))
            while self._ear.poll(1000):
                tag, *fields = msgpack.unpackb(self._ear.recv())
                if tag == "welcome":
                    return str(fields[0])
        raise AssertionError("the gateway does not welcome a worker without models")

    # The kinds

    def _unknown_job(self, owner: str, job: int) -> list[bytes]:
        return self._results(owner, self._gateway, FAR_JOB + job, 1)

    def _wrong_attempt(self, owner: str, job: int) -> list[bytes]:
        return self._results(owner, self._gateway, job, FAR_ATTEMPT + job)

    def _wrong_owner(self, _owner: str, job: int) -> list[bytes]:
        return self._results(self.worker_id, self._gateway, job, 1)

    def _unknown_owner(self, _owner: str, job: int) -> list[bytes]:
        return self._results(f"{self._random.getrandbits(64):016x}", self._gateway, job, 1)

    def _foreign_gateway(self, owner: str, job: int) -> list[bytes]:
        return self._results(owner, f"{self._random.getrandbits(64):016x}", job, 1)

    def _false_pace(self, _owner: str, job: int) -> list[bytes]:
        pace = self._random.choice(
            [(1, 1e300), (10**15, 0.0), (-1, 1.0), (1, float("nan")), (1, -1.0)]
        )
        return self._results(self.worker_id, self._gateway, FAR_JOB + job, 1, MODEL, *pace)

    def _malformed(self, owner: str, job: int) -> list[bytes]:
        whole = self._results(owner, self._gateway, job, 1)[0]
        return [
            self._random.choice(
                [
                    b"",
                    self._random.randbytes(self._random.randrange(1, 200)),
                    whole[: self._random.randrange(1, len(whole))],
                    whole + b"\xc1",
                    b"\x91" * 5_000,
                    msgpack.packb(["no_such_tag", owner]),
                    msgpack.packb(["results", owner, self._gateway, [[str(job), 1, 0]]]),
                    msgpack.packb(["results", owner, self._gateway, [[2**63, 2**64 - 1, 77]]]),
                    msgpack.packb({"results": owner}),
                ]
            )
        ]

    def _huge(self, owner: str, job: int) -> list[bytes]:
        return self._results(owner, self._gateway, FAR_JOB + job, 1, body=b"x" * HUGE_BYTES)

    def _many_parts(self, _owner: str, _job: int) -> list[bytes]:
        return [self._random.randbytes(20) for _ in range(MANY_PARTS)]

    def _results(
        self,
        owner: str,
        gateway: str,
        job: int,
        attempt: int,
        *pace: Any,
        body: bytes = b"\x93\x80\xa2OK\x91\xa7garbage",
    ) -> list[bytes]:
        result = [job, attempt, 0, body, [], []]
        return [msgpack.packb(["results", owner, gateway, [result], *pace])]
