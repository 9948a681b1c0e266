"""Ten times more calls than the workers can do: memory bounded, refusals prompt, no collapse.

    PYTHONPATH=tests .venv/bin/python -m overload.goodput --seconds 60 --out goodput.json

The capacity is measured first; everything else is relative to it. The parts: a flood of small calls
(the queue's count is the limit), of calls of 100 kB (the bytes are), of callers who name a deadline
of one second (only what they get in time counts), and a polite client beside one that floods.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from harness import Service, model_tables
from overload.books import Books, Demand, lowest_rate, milliseconds, total
from overload.report import Report, parser
from overload.rig import MIB, Watch, mib, run_callers, service

WORKERS = 2
FACTOR = 10
#: What the gateway may hold, and what its memory is compared with.
BUDGET_BYTES = 256 * MIB
#: Calls that may wait: 2.5 s of work.
MAX_QUEUE = 1_000
LARGE_BODY_BYTES = 100_000
DEADLINE_S = 1.0
FLOODERS = 2

BUDGET_MARGIN = 1.1
OVERLOADED_WITHIN_MS = 100.0
GOODPUT_SHARE = 0.9
WINDOW_S = 5.0
#: An offer may fall short by this much before the experiment says that it was none.
OFFER_SHARE = 0.95
FAIR_SHARE = 0.4
POLITE_PER_S = 50.0
#: Calls that a polite client has open at most.
POLITE_OPEN = 8
CAPACITY_IN_FLIGHT = 32


@dataclass(frozen=True)
class Plan:
    """How long each part lasts."""

    seconds: float
    capacity_s: float
    #: For windows of goodput; shorter where the whole is shorter.
    window_s: float


def configuration(max_queue: int) -> str:
    return (
        f"[gateway]\nmax_held_bytes = {BUDGET_BYTES}\nmax_queue = {max_queue}\n\n"
        + model_tables("fixture_models.steady.SteadyModel")
    )


def measure_capacity(endpoint: str, seconds: float) -> float:
    """Right answers per second where calls are always waiting, and never too many."""
    demand = Demand(endpoint=endpoint, seconds=seconds, max_open=CAPACITY_IN_FLIGHT)
    (books,) = run_callers([demand])
    assert not books.wrong
    assert not books.errors
    assert books.right
    return books.right / seconds


def account(books: Books) -> dict[str, Any]:
    return {
        "sent": books.sent,
        "pushed_back": books.pushed_back,
        "right": books.right,
        "late": books.late,
        "errors": books.errors,
        "right_ms": milliseconds(books.right_s),
        "overloaded_ms": milliseconds(books.overloaded_s),
        "generator_pause_ms": round(1000 * books.own_pause_s, 1),
    }


def check_ledger(report: Report, part: str, books: Books) -> None:
    """Each call has exactly one reply, and the right one."""
    found = {"wrong": books.wrong, "unanswered": books.unanswered, "strays": books.strays}
    report.exactly(f"{part}: one right reply to each call", found, dict.fromkeys(found, 0))
    if books.examples:
        report.figure(f"{part}: examples", books.examples)


def flood(  # noqa: PLR0917 - one for each thing that a flood is made of
    report: Report,
    part: str,
    running: Service,
    capacity: float,
    plan: Plan,
    body_bytes: int = 0,
    timeout_s: float | None = None,
) -> None:
    """Offer too much, and look at everything that was promised."""
    demand = Demand(
        endpoint=running.endpoint,
        seconds=plan.seconds,
        rate_per_s=FACTOR * capacity / FLOODERS,
        body_bytes=body_bytes,
        timeout_s=timeout_s,
    )
    with Watch(running.gateway_process()) as watch:
        books = total(run_callers([demand] * FLOODERS))
    report.figure(f"{part}: calls", account(books))
    report.figure(f"{part}: gateway", watch.figures())
    check_ledger(report, part, books)
    offered = books.sent / plan.seconds
    report.at_least(
        f"{part}: offered per second", round(offered), round(OFFER_SHARE * FACTOR * capacity), "/s"
    )
    report.at_most(
        f"{part}: gateway memory at its peak",
        mib(watch.peak_bytes),
        mib(BUDGET_MARGIN * BUDGET_BYTES),
        "MiB",
    )
    report.at_most(
        f"{part}: longest wait for Overloaded",
        milliseconds(books.overloaded_s)["max"] if books.overloaded_s else 0.0,
        OVERLOADED_WITHIN_MS,
        "ms",
    )
    report.at_least(
        f"{part}: right answers in the poorest {plan.window_s:g} s",
        round(lowest_rate(books.buckets, plan.seconds, plan.window_s), 1),
        round(GOODPUT_SHARE * capacity, 1),
        "/s",
    )


def polite(report: Report, name: str, running: Service, capacity: float, demand: Demand) -> None:
    """One client that keeps to its share, alone and beside one that floods."""
    (alone,) = run_callers([demand])
    flooder = Demand(
        endpoint=running.endpoint, seconds=demand.seconds, rate_per_s=FACTOR * capacity
    )
    beside, flooded = run_callers([demand, flooder])
    alone_per_s = alone.right / demand.seconds
    beside_per_s = beside.right / demand.seconds
    fair_per_s = min(alone_per_s, capacity / 2)
    report.figure(f"{name}: alone", account(alone))
    report.figure(f"{name}: beside", account(beside))
    report.figure(f"{name}: the flooding client", account(flooded))
    check_ledger(report, name, total([alone, beside, flooded]))
    report.at_least(
        f"{name}: share of its fair {fair_per_s:.0f}/s that it keeps",
        round(beside_per_s / fair_per_s, 3),
        FAIR_SHARE,
        "",
    )


def experiment(plan: Plan) -> Report:
    settings = {
        "workers": WORKERS,
        "factor": FACTOR,
        "max_held_mib": mib(BUDGET_BYTES),
        "max_queue": MAX_QUEUE,
        "large_body_bytes": LARGE_BODY_BYTES,
        "seconds": plan.seconds,
    }
    report = Report("goodput", settings)
    with service(configuration(MAX_QUEUE), WORKERS) as running:
        capacity = measure_capacity(running.endpoint, plan.capacity_s)
        report.chapter(f"capacity: {capacity:.0f} calls/s; offered: {FACTOR} times that")
        report.figure("capacity_per_s", round(capacity, 1))
        report.chapter("small calls")
        flood(report, "small", running, capacity, plan)
        report.chapter(f"calls with a deadline of {DEADLINE_S:g} s")
        flood(report, "deadline", running, capacity, plan, timeout_s=DEADLINE_S)
        report.chapter("a polite client beside one that floods")
        paced = Demand(
            endpoint=running.endpoint,
            seconds=plan.seconds / 2,
            rate_per_s=POLITE_PER_S,
            max_open=POLITE_OPEN,
        )
        polite(report, "polite, paced", running, capacity, paced)
        closed = Demand(
            endpoint=running.endpoint,
            seconds=plan.seconds / 2,
            max_open=POLITE_OPEN,
            heeds_retry_after=True,
        )
        polite(report, "polite, closed loop", running, capacity, closed)
    # Here the bytes are the limit, not the number.
    with service(configuration(10 * MAX_QUEUE), WORKERS) as running:
        report.chapter(f"calls of {LARGE_BODY_BYTES} bytes")
        flood(report, "large", running, capacity, plan, body_bytes=LARGE_BODY_BYTES)
    return report


def main() -> int:
    options = parser(__doc__.splitlines()[0]).parse_args()
    plan = Plan(
        seconds=options.seconds,
        capacity_s=min(10.0, options.seconds),
        window_s=min(WINDOW_S, options.seconds / 2),
    )
    return experiment(plan).finish(options.out)


if __name__ == "__main__":
    sys.exit(main())
