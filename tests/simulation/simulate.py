"""The simulator's command line: many seeds, or the whole story of one. See README.md beside it."""

# ruff: noqa: T201 - it is a command

from __future__ import annotations

import argparse
import os
import sys
import time

from zeropool.shared import native

if any(argument.startswith("--mutant") for argument in sys.argv):
    # What is compiled cannot be replaced.
    os.environ[native.PURE] = "1"
native.choose()

from mutants import MUTANTS  # noqa: E402 - `choose` comes first
from play import Tally, play, play_in_processes  # noqa: E402 - the same

#: Failures that are told in full.
MAX_TOLD = 3


def main() -> int:
    """Play what the command line asks for; 1 if an invariant was broken."""
    options = _options()
    if options.seed is not None:
        return _replay(options.seed, options.mutant)
    return _play_many(options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000, help="how many seeds to play")
    parser.add_argument("--from", dest="first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=2, help="processes that play them")
    parser.add_argument("--seed", type=int, help="play this one alone and tell all of it")
    parser.add_argument(
        "--mutant", choices=MUTANTS, default="", help="break a rule of the cores on purpose"
    )
    parser.add_argument(
        "--check-every",
        type=int,
        default=1,
        help="steps between two checks of the gateway's own invariants; the oracle's are always on",
    )
    return parser.parse_args()


def _replay(seed: int, mutant: str) -> int:
    with MUTANTS[mutant]():
        world, failure = play(seed)
    print(world.scenario)
    print(*world.chronicle.lines(), sep="\n")
    print(f"{len(world.chronicle)} entries, {world.chronicle.digest()}")
    if failure is None:
        print(f"seed {seed}: all invariants held")
        return 0
    print(f"seed {seed}: {failure.reason}")
    return 1


def _play_many(options: argparse.Namespace) -> int:
    seeds = range(options.first, options.first + options.seeds)
    total = Tally()
    began_s = time.monotonic()
    for tally in play_in_processes(
        seeds, options.jobs, check_every=options.check_every, mutant=options.mutant
    ):
        for failure in tally.failures[: MAX_TOLD - len(total.failures)]:
            print(failure)
            print(f"replay: make simulate SEED={failure.seed}{_mutant(options.mutant)}\n")
        total.add(tally)
        if options.mutant and total.failures:
            break
    print(f"{total}; {time.monotonic() - began_s:.0f} s on {options.jobs} processes")
    if total.failures:
        print("failed:", *(failure.seed for failure in total.failures))
    return int(bool(total.failures))


def _mutant(name: str) -> str:
    return f" MUTANT={name}" if name else ""


if __name__ == "__main__":
    sys.exit(main())
