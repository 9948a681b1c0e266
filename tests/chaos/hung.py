"""Predictions that hang in C and never let go of the interpreter lock, past their hard limit.

The process must be gone within the limit and a tenth, counted from the start of the prediction; the
caller gets `DeadlineExceeded`; the other callers, of a model that works, must not notice. These are
measured twice with the same load: before, and while there is always one prediction that hangs.
"""

import os
import select
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from harness import Service, model_tables
from raw_dealer import RawDealer

from chaos import program
from chaos.asker import Asker, Books, Crowd, Mix, total
from chaos.findings import Findings, percentile, spread_ms
from chaos.starts import Starts
from chaos.status import Desk

ECHO = "fixture_models.slow.SleepyEchoModel"
HANG = "fixture_models.chaos.HangModel"
WORKERS = 4
SLEEP_S = 0.005
#: One less than there are workers at the worst moment: nobody has to queue.
CLIENTS = 2
QUIET_S = 10.0
#: Beside the limit, for the process to be gone and for the answer.
MARGIN_SHARE = 0.10
#: "Unaffected": the 99th percentile of the others less than twice the quiet one.
MOST_RATIO = 2.0
WAIT_LIMIT_S = 60.0
LOOK_S = 0.02


@dataclass(frozen=True)
class Plan:
    """Hard limits in seconds, and how many predictions hang at each."""

    limits_s: tuple[float, ...] = (1.0, 5.0)
    hangs: int = 10
    quiet_s: float = QUIET_S
    seed: int = program.SEED


@dataclass
class Seen:
    """What came of the predictions that hung."""

    #: Seconds from the start of the prediction to the end of its process.
    ends_s: list[float] = field(default_factory=list)
    #: Seconds from the question to its answer.
    answers_s: list[float] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)


def run(plan: Plan, folder: Path) -> Findings:
    """The whole experiment."""
    findings = Findings("hung", vars(plan) | {"workers": WORKERS})
    for limit_s in plan.limits_s:
        place = folder / f"limit-{limit_s:g}"
        place.mkdir()
        _run(findings, plan, limit_s, place)
    return findings


def _run(findings: Findings, plan: Plan, limit_s: float, folder: Path) -> None:
    starts = Starts(folder)
    toml = model_tables(ECHO) + model_tables(HANG, timeout_s=limit_s)
    service = Service(folder, toml, workers=WORKERS)
    try:
        service.ready()
        quiet, _ = _measure(service, starts, plan, hangs=0)
        beside, seen = _measure(service, starts, plan, hangs=plan.hangs)
    finally:
        service.stop()
    _judge(findings, f"limit {limit_s:g} s", limit_s, (quiet, beside), seen)


def _measure(service: Service, starts: Starts, plan: Plan, hangs: int) -> tuple[Books, Seen]:
    crowd = Crowd()
    askers = [
        Asker(
            service.endpoint,
            crowd,
            seed=plan.seed + at,
            sleep_s=SLEEP_S,
            in_flight=1,
            mix=Mix(batch_every=0, stream_every=0),
        )
        for at in range(CLIENTS)
    ]
    for asker in askers:
        asker.start()
    seen = Seen()
    with Desk(service.endpoint) as desk:
        for value in range(hangs):
            _hang(service.endpoint, starts, value, seen)
            _wait_whole(desk)
    if not hangs:
        time.sleep(plan.quiet_s)
    crowd.stop(WAIT_LIMIT_S)
    for asker in askers:
        asker.join()
        if asker.failure:
            raise AssertionError(asker.failure)
    return total(askers), seen


def _hang(endpoint: str, starts: Starts, value: int, seen: Seen) -> None:
    with RawDealer(endpoint) as caller:
        asked_at = time.monotonic()
        channel = caller.request("hang_predict", value)
        started = starts.wait(value, 1, WAIT_LIMIT_S)
        process = os.pidfd_open(started.pid)
        try:
            is_gone, _, _ = select.select([process], [], [], WAIT_LIMIT_S)
            seen.ends_s.append(time.monotonic() - started.at if is_gone else float("inf"))
        finally:
            os.close(process)
        name, args = caller.receive(channel, WAIT_LIMIT_S)
        # It may have come before the end of the process was seen: this is an upper bound.
        seen.answers_s.append(time.monotonic() - asked_at)
        seen.answers[args[0] if name == "ERR" else name] += 1


def _wait_whole(desk: Desk) -> None:
    give_up_at = time.monotonic() + WAIT_LIMIT_S
    while len(desk.ready_pids()) < WORKERS:
        if time.monotonic() > give_up_at:
            raise AssertionError("the worker that hung is not replaced")
        time.sleep(LOOK_S)


def _judge(
    findings: Findings, name: str, limit_s: float, others: tuple[Books, Books], seen: Seen
) -> None:
    quiet, beside = (percentile(books.waits_s, 0.99) for books in others)
    findings.figures |= {
        f"{name}: process gone after": spread_ms(seen.ends_s),
        f"{name}: answered after": spread_ms(seen.answers_s),
        f"{name}: others, quiet": spread_ms(others[0].waits_s),
        f"{name}: others, beside": spread_ms(others[1].waits_s),
    }
    latest_s = max(seen.ends_s)
    findings.expect_speed(
        f"{name}: the process is gone within the limit and a tenth",
        latest_s <= limit_s * (1 + MARGIN_SHARE),
        round(latest_s, 3),
    )
    findings.expect(
        f"{name}: the caller gets DeadlineExceeded",
        set(seen.answers) == {"DeadlineExceeded"},
        dict(seen.answers),
    )
    findings.expect(
        f"{name}: the others get their answers",
        all(books.right == books.asked > 0 and not books.unowed for books in others),
        [(books.right, books.asked, dict(books.errors)) for books in others],
    )
    findings.expect_speed(
        f"{name}: the others' p99 is less than {MOST_RATIO:g} times the quiet one",
        beside < MOST_RATIO * quiet,
        f"{beside * 1000:.1f} ms, quiet {quiet * 1000:.1f} ms",
    )


def main() -> int:
    parser = program.options(__doc__)
    parser.add_argument("--hangs", type=int, default=Plan.hangs, help="at each limit")
    parser.add_argument("--limits", type=float, nargs="+", default=list(Plan.limits_s))
    options = parser.parse_args()
    plan = Plan(tuple(options.limits), options.hangs, seed=options.seed)
    limit_s = 120 + sum(each + 10 for each in plan.limits_s) * plan.hangs * 2
    with program.private_folder() as folder:
        return program.run(lambda: run(plan, folder), options.out, limit_s=limit_s)


if __name__ == "__main__":
    sys.exit(main())
