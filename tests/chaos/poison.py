"""Jobs that kill every worker which starts them, amid the calls of others.

Each must end with `WorkerLost` after three attempts, all other calls must succeed, and the pool of
`zeropool serve` must be whole again soon. One that is alone has started three times by then. Of
several at once, one may have lost a worker to another before it started there itself.
"""

import sys
import time
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from harness import Service, model_tables
from raw_dealer import RawDealer

from chaos import program
from chaos.asker import Asker, Crowd, total
from chaos.findings import Findings
from chaos.starts import Starts
from chaos.status import Desk

ECHO = "fixture_models.slow.SleepyEchoModel"
POISON = "fixture_models.chaos.PoisonModel"
WORKERS = 4
CLIENTS = 2
#: The two clients keep all workers busy, and hardly anybody waiting.
IN_FLIGHT = 2
SLEEP_S = 0.004
#: gateway.max_attempts, as it ships.
ATTEMPTS = 3
#: Three workers in a row have to come back.
ANSWER_LIMIT_S = 60.0
WHOLE_LIMIT_S = 5.0
LOOK_S = 0.02
#: Between two doses: the pool is to be well before the next.
PAUSE_S = 1.0


@dataclass(frozen=True)
class Plan:
    """How many jobs at once, dose by dose."""

    doses: tuple[int, ...] = (1, 1, 1, 1, 1, 2, 3, 5)
    seed: int = program.SEED


def run(plan: Plan, folder: Path) -> Findings:
    """The whole experiment."""
    findings = Findings("poison", vars(plan) | {"workers": WORKERS})
    starts = Starts(folder)
    values = count(1)
    service = Service(folder, model_tables(ECHO, POISON), workers=WORKERS)
    try:
        service.ready()
        crowd = Crowd()
        askers = [
            Asker(
                service.endpoint, crowd, seed=plan.seed + at, sleep_s=SLEEP_S, in_flight=IN_FLIGHT
            )
            for at in range(CLIENTS)
        ]
        for asker in askers:
            asker.start()
        with Desk(service.endpoint) as desk:
            doses = []
            for jobs in plan.doses:
                chosen = [next(values) for _ in range(jobs)]
                doses.append(_dose(service.endpoint, desk, starts, chosen))
                time.sleep(PAUSE_S)
            crowd.stop(ANSWER_LIMIT_S)
            for asker in askers:
                asker.join()
            status = desk.status()
    finally:
        service.stop()
    _judge(findings, doses)
    books = total(askers)
    failures = [asker.failure for asker in askers if asker.failure]
    findings.figures |= {"others": books.asked, "redispatched": status["redispatched"]}
    findings.expect(
        "every other call has its one right answer",
        books.right == books.asked > 0 and not books.unowed and not failures,
        (books.right, books.asked, books.unowed, books.errors, books.wrong, failures),
    )
    return findings


@dataclass(frozen=True)
class Dose:
    """What came of poison jobs that were asked for together."""

    answers: list[object]
    starts: list[int]
    answered_after_s: float
    #: From the last answer on; infinite where the pool did not recover.
    whole_after_s: float


def _dose(endpoint: str, desk: Desk, starts: Starts, values: list[int]) -> Dose:
    asked_at = time.monotonic()
    with RawDealer(endpoint) as caller:
        channels = [caller.request("poison_predict", value) for value in values]
        answers = [caller.receive(channel, ANSWER_LIMIT_S) for channel in channels]
    answered_at = time.monotonic()
    whole_after_s = float("inf")
    while time.monotonic() < answered_at + ANSWER_LIMIT_S:
        if len(desk.ready_pids()) == WORKERS:
            whole_after_s = time.monotonic() - answered_at
            break
        time.sleep(LOOK_S)
    return Dose(
        [args[0] if name == "ERR" else (name, args) for name, args in answers],
        [len(starts.of(value)) for value in values],
        answered_at - asked_at,
        whole_after_s,
    )


def _judge(findings: Findings, doses: list[Dose]) -> None:
    answers = [answer for dose in doses for answer in dose.answers]
    alone = [number for dose in doses for number in dose.starts if len(dose.starts) == 1]
    together = [number for dose in doses for number in dose.starts if len(dose.starts) > 1]
    slowest_s = max(dose.whole_after_s for dose in doses)
    findings.figures |= {
        "answered_after_s": [round(dose.answered_after_s, 2) for dose in doses],
        "whole_after_s": [round(dose.whole_after_s, 2) for dose in doses],
    }
    findings.expect(
        "its caller gets WorkerLost", set(answers) == {"WorkerLost"}, [str(a) for a in answers]
    )
    findings.expect(f"alone, after {ATTEMPTS} starts", set(alone) <= {ATTEMPTS}, alone)
    findings.expect(
        f"together, after {ATTEMPTS} starts at most",
        all(0 < number <= ATTEMPTS for number in together),
        together,
    )
    findings.expect_speed(
        f"the pool is whole within {WHOLE_LIMIT_S:.0f} s",
        slowest_s <= WHOLE_LIMIT_S,
        round(slowest_s, 2),
    )


def main() -> int:
    parser = program.options(__doc__)
    parser.add_argument(
        "--doses", type=int, nargs="+", default=list(Plan.doses), help="poison jobs at once"
    )
    options = parser.parse_args()
    plan = Plan(tuple(options.doses), options.seed)
    limit_s = 120 + 3 * ANSWER_LIMIT_S + 30 * len(plan.doses)
    with program.private_folder() as folder:
        return program.run(lambda: run(plan, folder), options.out, limit_s=limit_s)


if __name__ == "__main__":
    sys.exit(main())
