"""Kill -9, freeze, garbage, hung predictions, slow and vanishing clients, all under load.

Each request must get exactly one answer, and the right one. The faults are spread over the whole
run by its progress: the seed fixes at which share of the answered requests each happens.
"""

import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgpack
import zmq
from harness import model_tables

from chaos import program
from chaos.asker import POLL_MS, Asker, Crowd, Mix, SlowReader, Vanisher, total
from chaos.findings import Findings, spread_ms
from chaos.garbage import Impostor
from chaos.pool import Member, Pool

MODEL = "fixture_models.slow.SleepyEchoModel"
REGEX_MODEL = "fixture_models.slow.RegexModel"
#: The hard limit of the model that hangs.
HANG_LIMIT_S = 1.0
#: Some billion years of backtracking.
HANGING_TEXT = "a" * 100
WORKERS = 6
#: Of the workers, those that are neither dead nor frozen on the average.
EFFECTIVE_WORKERS = 3.5
#: Never hurt one of so few: the load must go on.
LEAST_HEALTHY = 3
MOST_FROZEN = 2
#: Longer than the 2.5 s after which a frozen worker's jobs go to others.
FROZEN_S = 3.0
CLIENTS = 4
#: How long after the last question its answer may take: the slowest way to one is that over a
#: frozen worker, three times.
PATIENCE_S = 60.0
STEP_S = 0.02
#: Between two looks at who is ready.
LOOK_S = 0.1
#: How the gateway names what it drops on its worker port.
DROPS = ("result_", "worker_")
#: What one run needs, at least, for each: seconds.
KILL_S, FREEZE_S, REQUEST_S = 1.2, 1.8, 1 / 450
#: A run over ``--seconds`` asks for so many of each in a second, unless told.
REQUESTS_PER_S, KILLS_PER_S, FREEZES_PER_S, GARBAGE_PER_S = 160, 0.8, 0.4, 8.0
#: Nothing happens after this share of the requests, so that everything ends under load.
LAST_SHARE = 0.97


@dataclass(frozen=True)
class Plan:
    """How much of everything."""

    requests: int = 20_000
    kills: int = 100
    freezes: int = 50
    garbage: int = 1_000
    hangs: int = 5
    seed: int = program.SEED

    @property
    def seconds(self) -> float:
        """How long it should take where nobody else uses the machine."""
        return max(self.requests * REQUEST_S, self.kills * KILL_S, self.freezes * FREEZE_S, 10.0)

    @property
    def sleep_s(self) -> float:
        """What one row costs a worker."""
        return self.seconds * EFFECTIVE_WORKERS / (self.requests * Mix().mean_rows)

    def faults(self) -> list[tuple[float, str]]:
        """What happens at which share of the answered requests, in that order."""
        chance = random.Random(self.seed)
        counts = {
            "kill": self.kills,
            "freeze": self.freezes,
            "garbage": self.garbage,
            "hang": self.hangs,
        }
        return sorted(
            (chance.uniform(0.0, LAST_SHARE), kind)
            for kind, number in counts.items()
            for _ in range(number)
        )


class Hanger(threading.Thread):
    """Asks for predictions that never end; each must be answered with `DeadlineExceeded`."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(daemon=True)
        self.answers: Counter[str] = Counter()
        self.waits_s: list[float] = []
        self.asked = 0
        self._endpoint = endpoint
        self._is_due = threading.Semaphore(0)
        self._is_over = False

    def ask(self) -> None:
        self.asked += 1
        self._is_due.release()

    def stop(self) -> None:
        self._is_over = True
        self._is_due.release()
        self.join()

    def run(self) -> None:
        with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
            socket.linger = 0
            socket.connect(self._endpoint)
            while self._is_due.acquire() and len(self.waits_s) < self.asked:
                asked_at = time.monotonic()
                event = [{"message_id": b"hang", "v": 3}, "regex_predict", [HANGING_TEXT]]
                socket.send_multipart([b"", msgpack.packb(event)])
                self.answers[self._answer(socket, asked_at + PATIENCE_S)] += 1
                self.waits_s.append(time.monotonic() - asked_at)

    def _answer(self, socket: zmq.Socket[bytes], give_up_at: float) -> str:
        while time.monotonic() < give_up_at:
            if socket.poll(POLL_MS):
                _, name, args = msgpack.unpackb(socket.recv_multipart()[-1])
                if name == "ERR":
                    return str(args[0])
                if name == "OK":
                    return "OK"
        return "none"


class Tormentor:
    """Carries the faults out, as the run progresses."""

    def __init__(self, pool: Pool, plan: Plan, impostor: Impostor, hanger: Hanger) -> None:
        self.done: Counter[str] = Counter()
        self.deaths: Counter[int] = Counter()
        #: Workers that came back from a freeze after the gateway had given them up.
        self.zombies = 0
        self._pool = pool
        self._impostor = impostor
        self._hanger = hanger
        self._random = random.Random(plan.seed + 1)
        self._due = plan.faults()[::-1]
        self._ready: list[dict[str, object]] = []
        self._look_at = 0.0
        self._postponed: list[str] = []

    @property
    def is_finished(self) -> bool:
        return not self._due and not self._postponed and not self._frozen()

    def step(self, share: float, jobs: int) -> None:
        """Do what is due at this share of the requests."""
        self.deaths.update(self._pool.tend())
        self._look()
        self._thaw()
        while self._due and self._due[-1][0] <= share:
            self._postponed.append(self._due.pop()[1])
        waiting, self._postponed = self._postponed, []
        for kind in waiting:
            if not self._do(kind, jobs):
                self._postponed.append(kind)

    def _do(self, kind: str, jobs: int) -> bool:
        if kind == "garbage":
            owners = [str(worker["worker"]) for worker in self._ready]
            if not owners:
                return False
            self._impostor.send_one(self._random.choice(owners), jobs)
        elif kind == "hang":
            self._hanger.ask()
        elif not self._hurt(kind):
            return False
        self.done[kind] += 1
        return True

    def _hurt(self, kind: str) -> bool:
        healthy = self._healthy()
        if len(healthy) < LEAST_HEALTHY:
            return False
        victim = self._random.choice(healthy)
        if kind == "kill":
            self._pool.kill(victim)
        elif len(self._frozen()) < MOST_FROZEN:
            self._pool.freeze(victim)
        else:
            return False
        self._look_at = 0.0
        self._ready = [worker for worker in self._ready if worker["pid"] != victim.pid]
        return True

    def _healthy(self) -> list[Member]:
        ready = {worker["pid"] for worker in self._ready}
        return [
            member
            for member in self._pool.members
            if member.pid in ready and not member.is_frozen and member.process.poll() is None
        ]

    def _frozen(self) -> list[Member]:
        return [member for member in self._pool.members if member.is_frozen]

    def _look(self) -> None:
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_S
        self._ready = [
            worker
            for worker in self._pool.desk.status()["workers"]
            if worker["state"] == "ready" and worker["pid"] != os.getpid()
        ]

    def _thaw(self) -> None:
        known = {worker["pid"] for worker in self._ready}
        for member in self._frozen():
            if member.pid not in known and time.monotonic() > member.frozen_at + FROZEN_S:
                self._pool.thaw(member)
                self.zombies += 1


def run(plan: Plan, folder: Path) -> Findings:
    """The whole experiment."""
    findings = Findings("kills", vars(plan) | {"workers": WORKERS, "clients": CLIENTS})
    toml = model_tables(REGEX_MODEL, timeout_s=HANG_LIMIT_S) + model_tables(MODEL)
    with (
        Pool(folder, toml, workers=WORKERS) as pool,
        Impostor(pool.worker_port, folder, plan.seed) as impostor,
    ):
        crowd = Crowd()
        askers = _askers(pool.endpoint, crowd, plan)
        hanger = Hanger(pool.endpoint)
        for thread in (*askers, hanger):
            thread.start()
        tormentor = Tormentor(pool, plan, impostor, hanger)
        _torment(tormentor, askers, plan)
        crowd.stop(PATIENCE_S)
        for asker in askers:
            asker.join()
        hanger.stop()
        tormentor.deaths.update(pool.tend())
        whole_after_s = pool.wait_whole(PATIENCE_S)
        status = pool.desk.status()
        complaints = pool.complaints()
    _judge(findings, plan, askers, hanger, tormentor)
    garbage = impostor.sent.total()
    dropped = {key: n for key, n in status["dropped"].items() if key.startswith(DROPS)}
    findings.expect("all garbage is dropped and counted", sum(dropped.values()) >= garbage, garbage)
    findings.expect("no process prints a traceback", not complaints, complaints[:5])
    left = {key: status[key] for key in ("open_calls", "held_bytes")}
    findings.expect("nothing is left in the gateway", not any(left.values()), left)
    findings.figures |= {
        "garbage": dict(impostor.sent),
        "dropped": {key: number for key, number in dropped.items() if number},
        "redispatched": status["redispatched"],
        "workers_started": pool.started,
        "whole_again_after_s": round(whole_after_s, 2),
    }
    return findings


def _askers(endpoint: str, crowd: Crowd, plan: Plan) -> list[Asker]:
    seeds = random.Random(plan.seed + 2)
    steady = [
        Asker(endpoint, crowd, seed=seeds.getrandbits(32), sleep_s=plan.sleep_s)
        for _ in range(CLIENTS)
    ]
    odd = [
        kind(
            endpoint,
            crowd,
            seed=seeds.getrandbits(32),
            sleep_s=plan.sleep_s,
            in_flight=8,
            pause_s=pause_s,
        )
        for kind, pause_s in ((SlowReader, 0.02), (Vanisher, 0.5))
    ]
    return [*steady, *odd]


def _torment(tormentor: Tormentor, askers: list[Asker], plan: Plan) -> None:
    while not tormentor.is_finished or _answered(askers) < plan.requests:
        answered = _answered(askers)
        tormentor.step(answered / plan.requests, answered)
        failed = [asker.failure for asker in askers if asker.failure]
        if failed:
            raise AssertionError(f"an asker failed: {failed}")
        time.sleep(STEP_S)


def _answered(askers: Iterable[Asker]) -> int:
    return sum(asker.books.answered for asker in askers)


def _judge(
    findings: Findings, plan: Plan, askers: list[Asker], hanger: Hanger, tormentor: Tormentor
) -> None:
    books = total(askers)
    waited_for = books.asked - books.forsaken
    findings.figures |= {
        "requests": waited_for,
        "kinds": dict(books.kinds),
        "forsaken": books.forsaken,
        "waits": spread_ms(books.waits_s),
        "faults": dict(tormentor.done),
        "deaths_by_exit_code": {str(code): n for code, n in tormentor.deaths.items()},
        "zombies": tormentor.zombies,
        "hung_waits_s": [round(wait_s, 2) for wait_s in hanger.waits_s],
    }
    findings.expect("as many requests as wanted", waited_for >= plan.requests, waited_for)
    for kind, wanted in (("kill", plan.kills), ("freeze", plan.freezes), ("garbage", plan.garbage)):
        findings.expect(f"{wanted} times {kind}", tormentor.done[kind] == wanted, wanted)
    findings.expect("0 lost", books.unanswered == 0, books.unanswered)
    findings.expect("0 duplicate", books.unowed == 0, books.unowed)
    findings.expect("0 wrong", not books.wrong, dict(books.wrong.most_common(5)))
    findings.expect("0 errors", not books.errors, dict(books.errors.most_common(5)))
    findings.expect(
        "each request has one answer", books.right == waited_for, (books.right, waited_for)
    )
    findings.expect(
        "each hung prediction ended its worker",
        tormentor.deaths[-signal.SIGALRM] == plan.hangs,
        tormentor.deaths[-signal.SIGALRM],
    )
    findings.expect(
        "a hung call is answered with DeadlineExceeded",
        hanger.answers == Counter(DeadlineExceeded=plan.hangs),
        dict(hanger.answers),
    )


def main() -> int:
    parser = program.options(__doc__)
    plan = Plan()
    parser.add_argument("--seconds", type=float, default=0.0, help="how long, instead of how many")
    for name, per_s in (
        ("requests", REQUESTS_PER_S),
        ("kills", KILLS_PER_S),
        ("freezes", FREEZES_PER_S),
        ("garbage", GARBAGE_PER_S),
    ):
        parser.add_argument(
            f"--{name}",
            type=int,
            default=None,
            help=f"at least; {getattr(plan, name)}, or {per_s:g} for each of --seconds",
        )
    parser.add_argument("--hangs", type=int, default=plan.hangs, help="predictions that never end")
    options = parser.parse_args()
    per_s = {
        "requests": REQUESTS_PER_S,
        "kills": KILLS_PER_S,
        "freezes": FREEZES_PER_S,
        "garbage": GARBAGE_PER_S,
    }
    chosen = {
        name: getattr(options, name)
        if getattr(options, name) is not None
        else int(options.seconds * rate) or getattr(plan, name)
        for name, rate in per_s.items()
    }
    plan = Plan(**chosen, hangs=options.hangs, seed=options.seed)
    with program.private_folder() as folder:
        return program.run(
            lambda: run(plan, folder), options.out, limit_s=plan.seconds * 5 + 4 * PATIENCE_S
        )


if __name__ == "__main__":
    sys.exit(main())
