"""Hours of the same, in minutes: does memory grow, or the number of file descriptors?

Mixed calls at a moderate rate, with errors, streams, clients that come and go and clients that
vanish, and a worker killed now and then: always the youngest, so that the others grow old. RSS and
descriptors of every process are sampled; after a warm-up a straight line through the samples tells
the slope. The promise about RSS is judged in runs of `JUDGED_MINUTES` and more: in shorter ones a
single page more or less is a slope.
"""

import os
import random
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from harness import Service, model_tables, wait_until

from chaos import program
from chaos.asker import LISTEN_ON_S, ROWS, Asker, Conversation, Crowd, Mix, Vanisher, total
from chaos.findings import Findings, Line, fit, spread_ms
from chaos.status import Desk

ECHO = "fixture_models.slow.SleepyEchoModel"
WORKERS = 3
SLEEP_S = 0.002
MIX = Mix(batch_every=15, stream_every=15, invalid_every=20)
PATIENCE_S = 30.0
SAMPLE_S = 1.0
#: This share of the run is warm-up: allocators and tables find their size, the gateway's in about
#: eight minutes at this load.
WARM_UP_SHARE = 0.5
JUDGED_MINUTES = 10.0
MOST_RSS_MIB_PER_H = 1.0
KILLS_IN_A_MINUTE = 2.0
CALLS_OF_A_CONNECTION = 20
MIB = 1024 * 1024
HOUR_S = 3600.0
#: How long the gateway may take to notice that its clients are gone.
SETTLE_S = 15.0


@dataclass(frozen=True)
class Plan:
    """How long."""

    minutes: float = 20.0
    seed: int = program.SEED


class Visitor(Asker):
    """Comes, asks, gets its answers, hangs up: again and again."""

    def _talk(self) -> None:
        while self._crowd.asks_on:
            talk = Conversation(self._endpoint, self.books, sleep_s=self._sleep_s)
            for _ in range(CALLS_OF_A_CONNECTION):
                kind = self._kind()
                talk.ask(kind, ROWS if kind in ("predict_batch", "predict_stream") else 1)
            give_up_at = time.monotonic() + PATIENCE_S
            while talk.open and time.monotonic() < give_up_at:
                talk.listen()
            self.books.unanswered += len(talk.open)
            talk.close()
            time.sleep(self._pause_s)


@dataclass
class Life:
    """One process, sampled."""

    role: str
    process: psutil.Process
    #: Seconds since the start of the load, MiB of RSS, descriptors.
    samples: list[tuple[float, float, int]] = field(default_factory=list)

    def sample(self, at_s: float) -> None:
        try:
            memory, fds = self.process.memory_info().rss, self.process.num_fds()
        except psutil.NoSuchProcess:
            return
        self.samples.append((at_s, memory / MIB, fds))

    def lines(self, after_s: float) -> tuple[Line, Line]:
        """Slopes in MiB and descriptors an hour, from then on."""
        late = [sample for sample in self.samples if sample[0] >= after_s]
        return (
            fit([(at_s / HOUR_S, rss) for at_s, rss, _ in late]),
            fit([(at_s / HOUR_S, float(fds)) for at_s, _, fds in late]),
        )

    def by_minute(self) -> list[float]:
        """RSS in MiB at the first sample of each minute: whether it still bends."""
        minutes = {int(at_s // 60): rss for at_s, rss, _ in reversed(self.samples)}
        return [round(minutes[minute], 2) for minute in sorted(minutes)]

    def figures(self, after_s: float) -> dict[str, object]:
        rss, fds = self.lines(after_s)
        return {
            "rss_mib": [round(self.samples[0][1], 2), round(self.samples[-1][1], 2)],
            "rss_mib_each_minute": self.by_minute(),
            "rss_mib_per_h": round(rss.slope, 2),
            "rss_error": round(rss.error, 2),
            "fds": [self.samples[0][2], self.samples[-1][2]],
            "fds_per_h": round(fds.slope, 2),
            "fds_error": round(fds.error, 2),
        }


class Watch:
    """All processes of a service, each from its first sample on."""

    def __init__(self, service: Service) -> None:
        gateway = service.gateway_process()
        self.gateway = Life("gateway", gateway)
        self.workers: dict[int, Life] = {}

    def sample(self, at_s: float, ready_pids: set[int]) -> None:
        for pid in ready_pids - self.workers.keys():
            self.workers[pid] = Life("worker", psutil.Process(pid))
        for life in (self.gateway, *self.workers.values()):
            life.sample(at_s)

    def old(self, run_s: float) -> list[Life]:
        """The gateway, and the workers that lived from before the end of the warm-up to the end."""
        return [
            self.gateway,
            *(
                life
                for life in self.workers.values()
                if life.samples[0][0] < WARM_UP_SHARE * run_s
                and life.samples[-1][0] > run_s - 3 * SAMPLE_S
            ),
        ]


def run(plan: Plan, folder: Path) -> Findings:
    """The whole experiment."""
    findings = Findings("soak", vars(plan) | {"workers": WORKERS})
    service = Service(folder, model_tables(ECHO), workers=WORKERS)
    try:
        service.ready()
        watch = Watch(service)
        with Desk(service.endpoint) as desk:
            watch.sample(0.0, desk.ready_pids())
            before = watch.gateway.process.num_fds()
            crowd = Crowd()
            askers = _askers(service.endpoint, crowd, plan.seed)
            for asker in askers:
                asker.start()
            kills, run_s = _soak(watch, desk, askers, plan)
            crowd.stop(PATIENCE_S)
            for asker in askers:
                asker.join()
            wait_until(lambda: len(desk.ready_pids()) == WORKERS, "a whole pool", PATIENCE_S)
            after = _settled_fds(watch.gateway.process, before)
            status = desk.status()
    finally:
        service.stop()
    _judge(findings, plan, watch, run_s)
    books = total(askers)
    failures = [asker.failure for asker in askers if asker.failure]
    owed = books.asked - books.forsaken
    findings.figures |= {
        "requests": dict(books.kinds),
        "requests_per_s": round(books.asked / run_s, 1),
        "waits": spread_ms(books.waits_s),
        "kills": kills,
        "redispatched": status["redispatched"],
    }
    findings.expect(
        "every call has its one right answer",
        books.right == owed > 0 and not books.unowed and not failures,
        (books.right, owed, books.unowed, dict(books.errors), dict(books.wrong), failures),
    )
    findings.expect(
        "the gateway has as many descriptors as before", after <= before, (before, after)
    )
    return findings


def _askers(endpoint: str, crowd: Crowd, seed: int) -> list[Asker]:
    seeds = random.Random(seed)

    def ask(kind: type[Asker], in_flight: int, pause_s: float) -> Asker:
        return kind(
            endpoint,
            crowd,
            seed=seeds.getrandbits(32),
            sleep_s=SLEEP_S,
            in_flight=in_flight,
            mix=MIX,
            pause_s=pause_s,
        )

    return [ask(Asker, 4, 0.05), ask(Asker, 4, 0.05), ask(Visitor, 1, 1.0), ask(Vanisher, 1, 1.0)]


def _soak(watch: Watch, desk: Desk, askers: list[Asker], plan: Plan) -> tuple[int, float]:
    """Sample and kill until the time is over; return the kills and the seconds."""
    started_at = time.monotonic()
    run_s = plan.minutes * 60
    kills, kill_at_s = 0, 60 / KILLS_IN_A_MINUTE
    while (at_s := time.monotonic() - started_at) < run_s:
        ready = desk.ready_pids()
        watch.sample(at_s, ready)
        if at_s >= kill_at_s and len(ready) == WORKERS:
            os.kill(max(ready, key=lambda pid: psutil.Process(pid).create_time()), signal.SIGKILL)
            kills += 1
            kill_at_s = at_s + 60 / KILLS_IN_A_MINUTE
        failed = [asker.failure for asker in askers if asker.failure]
        if failed:
            raise AssertionError(f"an asker failed: {failed}")
        time.sleep(SAMPLE_S)
    return kills, time.monotonic() - started_at


def _settled_fds(process: psutil.Process, wanted: int) -> int:
    give_up_at = time.monotonic() + SETTLE_S
    while process.num_fds() > wanted and time.monotonic() < give_up_at:
        time.sleep(LISTEN_ON_S / 10)
    return process.num_fds()


def _judge(findings: Findings, plan: Plan, watch: Watch, run_s: float) -> None:
    after_s = WARM_UP_SHARE * run_s
    for number, life in enumerate(watch.old(run_s)):
        name = life.role if life.role == "gateway" else f"worker {number}"
        findings.figures[name] = life.figures(after_s)
        rss, _ = life.lines(after_s)
        if plan.minutes >= JUDGED_MINUTES:
            findings.expect(
                f"{name}: RSS slope below {MOST_RSS_MIB_PER_H:g} MiB/h",
                rss.slope < MOST_RSS_MIB_PER_H,
                f"{rss.slope:.2f} ± {2 * rss.error:.2f}",
            )
        first, last = _floors(life, after_s)
        findings.expect(f"{name}: descriptors do not grow", last <= first, (first, last))
    short = [life for life in watch.workers.values() if life not in watch.old(run_s)]
    findings.figures["other workers"] = {
        "incarnations": len(short),
        "rss_mib_at_the_end": sorted(round(life.samples[-1][1], 1) for life in short)[-5:],
        "fds_at_the_end": sorted(life.samples[-1][2] for life in short)[-5:],
    }


def _floors(life: Life, after_s: float) -> tuple[int, int]:
    """Fewest descriptors in the first and in the last third: what comes and goes is no growth."""
    fds = [fds for at_s, _, fds in life.samples if at_s >= after_s]
    third = max(1, len(fds) // 3)
    return min(fds[:third]), min(fds[-third:])


def main() -> int:
    parser = program.options(__doc__)
    parser.add_argument("--minutes", type=float, default=Plan.minutes)
    options = parser.parse_args()
    plan = Plan(options.minutes, options.seed)
    with program.private_folder() as folder:
        return program.run(lambda: run(plan, folder), options.out, limit_s=plan.minutes * 60 + 300)


if __name__ == "__main__":
    sys.exit(main())
