"""Peers that do not read, vanish, stay silent or never end: memory bounded, others unharmed.

    PYTHONPATH=tests .venv/bin/python -m overload.slow_readers --seconds 10 --out slow_readers.json

For each kind of peer quiet and hostile phases take turns. An honest caller asks at a steady pace
all the time; what it waits beside the hostile peers is compared with what it waits without them.
The hostile peers of a phase are killed at its end, so that every kind is also one that vanishes.
"""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil
from harness import Service, free_endpoint, model_tables, wait_until
from overload.books import Books, Demand, milliseconds, total
from overload.hostile import LARGE_REPLY_BYTES
from overload.report import Report, parser
from overload.rig import MIB, Child, Watch, mib, run_callers, service

from zeropool.gateway.clients import FRAME_MARGIN_BYTES
from zeropool.gateway.worker_port import largest_frame_bytes
from zeropool.shared.config import DEFAULT_MAX_REPLY_BYTES
from zeropool.shared.ports.callers import LARGE_READ_BYTES
from zeropool.shared.ports.reception import MAX_DRAIN_BYTES

HONEST_PER_S = 100.0
ROUNDS = 2
SLOWER_THAN_QUIET = 2.0

BUDGET_BYTES = 256 * MIB
BUDGET_MARGIN = 1.1
MAX_REQUEST_BYTES = 16 * MIB
MAX_UNREAD_BYTES = 16 * MIB
#: The honest caller, status calls, connections that end while others begin.
SPARE_FDS = 40
SETTLE_S = 15.0
SETTLED_FDS = 16

WORKERS = 3
#: What hostile callers ask for keeps one worker busy, as anybody's calls may; the harm that counts
#: here is what they do to those who need no worker of theirs.
MODELS = model_tables("fixture_models.steady.SteadyModel") + model_tables(
    "fixture_models.plain.WideModel", workers=1
)


@dataclass(frozen=True)
class Kind:
    """One kind of hostile peer: how many, and what they may cost."""

    name: str
    processes: int
    #: Connections of each process.
    each: int
    #: Memory above the quiet gateway's.
    bound_bytes: float
    on_worker_port: bool = False

    @property
    def title(self) -> str:
        return f"{self.name} on the worker port" if self.on_worker_port else self.name

    @property
    def connections(self) -> int:
        return self.processes * self.each


#: Whoever never ends is hung up on when the message is larger than any may be.
_ENDLESS_BYTES = BUDGET_MARGIN * largest_frame_bytes(DEFAULT_MAX_REPLY_BYTES)
_UNFINISHED_BYTES = BUDGET_MARGIN * 4 * (MAX_REQUEST_BYTES + FRAME_MARGIN_BYTES + LARGE_READ_BYTES)
#: For each connection the gateway holds so much, and the reply that is on its way; beside them it
#: reads results from the one worker that makes them, some of them in one step.
_PER_READER = MAX_UNREAD_BYTES + LARGE_REPLY_BYTES
_ON_THEIR_WAY = 4 * MAX_DRAIN_BYTES
_UNREAD_BYTES = BUDGET_MARGIN * (4 * _PER_READER + _ON_THEIR_WAY)
KINDS = (
    Kind("unread", 2, 2, _UNREAD_BYTES),
    Kind("slow", 2, 2, _UNREAD_BYTES),
    Kind("streams", 2, 2, BUDGET_MARGIN * BUDGET_BYTES),
    Kind("silent", 4, 250, 64 * MIB),
    Kind("endless", 1, 4, _UNFINISHED_BYTES),
    Kind("huge", 1, 4, 4 * MIB),
    Kind("half", 1, 200, 32 * MIB),
    Kind("endless", 1, 4, _ENDLESS_BYTES, on_worker_port=True),
    Kind("huge", 1, 4, 4 * MIB, on_worker_port=True),
    Kind("half", 1, 200, 32 * MIB, on_worker_port=True),
)


def honest(running: Service, seconds: float) -> Books:
    demand = Demand(endpoint=running.endpoint, seconds=seconds, rate_per_s=HONEST_PER_S)
    (books,) = run_callers([demand])
    return books


def beside(running: Service, kind: Kind, target: str, seconds: float) -> Books:
    """What the honest caller sees while the hostile peers are at work."""
    arguments = (kind.name, target, str(kind.each))
    with contextlib.ExitStack() as stack:
        peers = [
            stack.enter_context(Child("overload.hostile", *arguments))
            for _ in range(kind.processes)
        ]
        for peer in peers:
            peer.wait_for_line()
        return honest(running, seconds)


def settles(gateway: psutil.Process, running: Service, fds: int) -> bool:
    """Tell whether the vanished peers' calls and descriptors are given back in time."""

    def is_settled() -> bool:
        status = running.call("get_status")
        return not status["open_calls"] and gateway.num_fds() <= fds + SETTLED_FDS

    try:
        wait_until(is_settled, "given back", SETTLE_S)
    except AssertionError:
        return False
    return True


def look_at(report: Report, running: Service, kind: Kind, target: str, seconds: float) -> None:
    report.chapter(f"{kind.title}: {kind.connections} connections")
    gateway = running.gateway_process()
    quiet: list[Books] = []
    hostile: list[Books] = []
    fds = gateway.num_fds()
    with Watch(gateway) as watch:
        for _ in range(ROUNDS):
            quiet.append(honest(running, seconds))
            hostile.append(beside(running, kind, target, seconds))
        is_settled = settles(gateway, running, fds)
    title = kind.title
    waits = {"quiet": milliseconds(total(quiet).right_s)}
    waits["hostile"] = milliseconds(total(hostile).right_s)
    report.figure(f"{title}: honest calls, ms", waits)
    report.figure(f"{title}: gateway", watch.figures())
    both = total([*quiet, *hostile])
    unhappy = both.sent - both.right
    report.exactly(f"{title}: honest calls without a right answer", unhappy, 0)
    bound_mib = mib(watch.samples[0][1] + kind.bound_bytes)
    report.at_most(f"{title}: gateway memory at its peak", mib(watch.peak_bytes), bound_mib, "MiB")
    bound_fds = fds + kind.connections + SPARE_FDS
    report.at_most(f"{title}: descriptors at their peak", watch.peak_fds, bound_fds, "")
    report.exactly(f"{title}: all given back", is_settled, wanted=True)
    bound_ms = SLOWER_THAN_QUIET * (waits["quiet"]["p99"] or 0.0)
    report.at_most(f"{title}: p99 of others", waits["hostile"]["p99"], bound_ms, "ms")


def experiment(seconds: float, kinds: tuple[Kind, ...] = KINDS) -> Report:
    settings = {"seconds": seconds, "rounds": ROUNDS, "max_held_mib": mib(BUDGET_BYTES)}
    report = Report("slow readers", settings)
    workers_bind = free_endpoint()
    toml = (
        f'[gateway]\nworkers_bind = "{workers_bind}"\nmax_held_bytes = {BUDGET_BYTES}\n'
        f"max_request_bytes = {MAX_REQUEST_BYTES}\nmax_unread_bytes = {MAX_UNREAD_BYTES}\n\n"
    )
    for kind in kinds:
        # A fresh service for each: what one kind left behind must not count for the next.
        with service(toml + MODELS, WORKERS) as running:
            target = workers_bind if kind.on_worker_port else running.endpoint
            look_at(report, running, kind, target, seconds)
    return report


def main() -> int:
    made = parser(__doc__.splitlines()[0])
    made.set_defaults(seconds=10.0)
    made.add_argument("--kind", choices=sorted({kind.name for kind in KINDS}), default=None)
    options = made.parse_args()
    kinds = tuple(kind for kind in KINDS if options.kind in (None, kind.name))
    out: Path | None = options.out
    return experiment(options.seconds, kinds).finish(out)


if __name__ == "__main__":
    sys.exit(main())
