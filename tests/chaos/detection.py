"""How long until a lost worker's job starts on another one, counted from the very signal.

Killed with -9: from the return of the system call. Frozen with SIGSTOP, over tcp and over ipc: the
same; libzmq's heartbeats must tell. The models write down when they start, on the same clock.
"""

import itertools
import random
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from harness import model_tables
from raw_dealer import RawDealer

from chaos import program
from chaos.asker import Asker, Crowd, Mix, total
from chaos.findings import Findings, percentile, spread_ms
from chaos.pool import Member, Pool
from chaos.starts import Starts

STAMPED = "fixture_models.chaos.StampedModel"
ECHO = "fixture_models.slow.SleepyEchoModel"
WORKERS = 4
#: What the job that loses its worker does: long enough to be met while it runs.
JOB_S = 0.15
#: The others' calls, where there are any.
LOAD_SLEEP_S = 0.004
LOAD_IN_FLIGHT = 6
START_LIMIT_S = 20.0
WHOLE_LIMIT_S = 60.0
DEATH_P99_LIMIT_S = 0.050
FROZEN_LIMIT_S = 3.0
#: The signal comes so long after the start, at most.
MOST_LEAD_S = 0.05


@dataclass(frozen=True)
class Plan:
    """How many samples of each."""

    kills: int = 200
    #: As many again while others call.
    loaded_kills: int = 200
    #: Over each transport.
    freezes: int = 20
    seed: int = program.SEED


class Stopwatch:
    """Takes samples from one pool."""

    def __init__(self, pool: Pool, starts: Starts, seed: int) -> None:
        self.wrong: list[object] = []
        self._pool = pool
        self._starts = starts
        self._random = random.Random(seed)
        self._values = itertools.count(1)

    def kill(self) -> float:
        """Seconds from kill -9 to the start of the job elsewhere."""
        with RawDealer(self._pool.endpoint) as caller:
            value, victim, channel = self._begin(caller)
            hurt_at = self._pool.kill(victim)
            span_s = self._restarted(value, victim, hurt_at)
            self._check(caller, channel, value)
        self._pool.wait_whole(WHOLE_LIMIT_S)
        return span_s

    def freeze(self) -> float:
        """Seconds from SIGSTOP to the start of the job elsewhere."""
        with RawDealer(self._pool.endpoint) as caller:
            value, victim, channel = self._begin(caller)
            hurt_at = self._pool.freeze(victim)
            try:
                span_s = self._restarted(value, victim, hurt_at)
                self._check(caller, channel, value)
            finally:
                self._pool.thaw(victim)
        self._pool.wait_whole(WHOLE_LIMIT_S)
        return span_s

    def _begin(self, caller: RawDealer) -> tuple[int, Member, bytes]:
        value = next(self._values)
        channel = caller.request("stamped_predict", {"value": value, "sleep_s": JOB_S})
        started = self._starts.wait(value, 1, START_LIMIT_S)
        time.sleep(self._random.uniform(0.0, MOST_LEAD_S))
        return value, self._pool.by_pid(started.pid), channel

    def _restarted(self, value: int, victim: Member, hurt_at: float) -> float:
        again = self._starts.wait(value, 2, START_LIMIT_S)
        if again.pid == victim.pid:
            self.wrong.append(f"value {value} started again on its lost worker")
        return again.at - hurt_at

    def _check(self, caller: RawDealer, channel: bytes, value: int) -> None:
        answer = caller.receive(channel)
        if answer != ("OK", [{"value": value}]):
            self.wrong.append(answer)


def run(plan: Plan, folder: Path) -> Findings:
    """The whole experiment."""
    findings = Findings("detection", vars(plan) | {"workers": WORKERS})
    for name, transports in (("mixed", ("ipc", "tcp")), ("tcp", ("tcp",)), ("ipc", ("ipc",))):
        place = folder / name
        place.mkdir(mode=0o700)
        starts = Starts(place)
        toml = model_tables(STAMPED, ECHO)
        with Pool(place, toml, workers=WORKERS, transports=transports) as pool:
            stopwatch = Stopwatch(pool, starts, plan.seed)
            if name == "mixed":
                _deaths(findings, stopwatch, plan, pool)
            else:
                _freezes(findings, stopwatch, plan, name)
        findings.expect(f"{name}: every answer is right", not stopwatch.wrong, stopwatch.wrong[:5])
    return findings


def _deaths(findings: Findings, stopwatch: Stopwatch, plan: Plan, pool: Pool) -> None:
    quiet = [stopwatch.kill() for _ in range(plan.kills)]
    _judge_deaths(findings, "killed, idle pool", quiet)
    if not plan.loaded_kills:
        return
    crowd = Crowd()
    load = Asker(
        pool.endpoint,
        crowd,
        seed=plan.seed,
        sleep_s=LOAD_SLEEP_S,
        in_flight=LOAD_IN_FLIGHT,
        mix=Mix(batch_every=0, stream_every=0),
    )
    load.start()
    loaded = [stopwatch.kill() for _ in range(plan.loaded_kills)]
    crowd.stop(WHOLE_LIMIT_S)
    load.join()
    books = total([load])
    _judge_deaths(findings, "killed, under load", loaded)
    findings.expect(
        "under load: others get their answers",
        not load.failure and books.right == books.asked > 0,
        (books.right, books.asked),
    )


def _judge_deaths(findings: Findings, name: str, spans_s: list[float]) -> None:
    if not spans_s:
        return
    findings.figures[name] = spread_ms(spans_s)
    p99_s = percentile(spans_s, 0.99)
    limit = f"{DEATH_P99_LIMIT_S * 1000:.0f} ms"
    findings.expect_speed(
        f"{name}: p99 to redispatch within {limit}", p99_s <= DEATH_P99_LIMIT_S, p99_s
    )


def _freezes(findings: Findings, stopwatch: Stopwatch, plan: Plan, transport: str) -> None:
    spans_s = [stopwatch.freeze() for _ in range(plan.freezes)]
    findings.figures[f"frozen, {transport}"] = spread_ms(spans_s)
    longest_s = max(spans_s, default=0.0)
    findings.expect_speed(
        f"frozen, {transport}: all within {FROZEN_LIMIT_S:.0f} s",
        longest_s <= FROZEN_LIMIT_S,
        longest_s,
    )


def main() -> int:
    parser = program.options(__doc__)
    parser.add_argument("--kills", type=int, default=Plan.kills)
    parser.add_argument("--loaded-kills", type=int, default=Plan.loaded_kills)
    parser.add_argument("--freezes", type=int, default=Plan.freezes, help="over tcp, and over ipc")
    options = parser.parse_args()
    plan = Plan(options.kills, options.loaded_kills, options.freezes, options.seed)
    limit_s = 120 + 5 * (plan.kills + plan.loaded_kills) + 20 * plan.freezes
    with program.private_folder() as folder:
        return program.run(lambda: run(plan, folder), options.out, limit_s=limit_s)


if __name__ == "__main__":
    sys.exit(main())
