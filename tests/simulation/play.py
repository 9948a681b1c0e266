"""Playing seeds: one, many, or many in several processes; and what came of them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from mutants import MUTANTS
from request import Broken
from world import World

#: Entries of a failing run's log that are told.
TAIL = 40
#: Seeds that a process plays before it reports.
PORTION = 50


@dataclass
class Failure:
    """A seed that broke an invariant."""

    seed: int
    reason: str
    tail: list[str]

    def __str__(self) -> str:
        return "\n".join([f"seed {self.seed}: {self.reason}", *self.tail])


@dataclass
class Tally:
    """What came of some seeds."""

    seeds: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    cpu_s: float = 0.0

    def add(self, other: Tally) -> None:
        """Take in what came of others."""
        self.seeds += other.seeds
        self.counts.update(other.counts)
        self.failures += other.failures
        self.cpu_s += other.cpu_s

    def __str__(self) -> str:
        told = ", ".join(f"{count} {name}" for name, count in self.counts.items())
        return (
            f"{self.seeds} seeds, {len(self.failures)} failed; {told}; "
            f"{1000 * self.cpu_s / max(self.seeds, 1):.1f} ms of CPU a seed"
        )


def play(seed: int, *, check_every: int = 1) -> tuple[World, Failure | None]:
    """Play one seed to its end, or to the step that breaks an invariant."""
    world = World(seed, check_every=check_every)
    try:
        world.run()
    except Broken as broken:
        return world, _failure(world, str(broken))
    # Whatever a core raises is a finding.
    except Exception as error:  # noqa: BLE001
        return world, _failure(world, f"{type(error).__name__}: {error}")
    return world, None


def _failure(world: World, reason: str) -> Failure:
    return Failure(world.scenario.seed, reason, world.chronicle.lines(TAIL))


def play_all(seeds: Iterable[int], *, check_every: int = 1, mutant: str = "") -> Tally:
    """Play seeds one after the other."""
    tally = Tally()
    began_s = time.process_time()
    with MUTANTS[mutant]():
        for seed in seeds:
            world, failure = play(seed, check_every=check_every)
            tally.seeds += 1
            tally.counts.update(world.counts())
            if failure is not None:
                tally.failures.append(failure)
    tally.cpu_s = time.process_time() - began_s
    return tally


def play_in_processes(
    seeds: range, jobs: int, *, check_every: int = 1, mutant: str = ""
) -> Iterator[Tally]:
    """Play seeds in several processes; each portion is told as it is done."""
    portions = [seeds[at : at + PORTION] for at in range(0, len(seeds), PORTION)]
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(
            _Portion(check_every, mutant),
            portions,
        )


@dataclass(frozen=True)
class _Portion:
    """One process's work."""

    check_every: int
    mutant: str

    def __call__(self, seeds: range) -> Tally:
        return play_all(seeds, check_every=self.check_every, mutant=self.mutant)
