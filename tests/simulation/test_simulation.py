"""Two thousand seeds of the whole service; and the proof that a seed is the same every time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from play import play, play_in_processes

SEEDS = 2000
#: The suite is split so that a failure tells its hundreds, and a run-away portion its own.
PORTION = 500
PROCESSES = min(os.cpu_count() or 1, 4)
#: Seeds with restarts, drains, freezes and streams among them.
REPLAYED = range(40, 60)

HERE = Path(__file__).parent


@pytest.mark.parametrize("first", range(0, SEEDS, PORTION))
def test_every_promise_holds_in_every_seed(first):
    seeds = range(first, first + PORTION)

    failures = [
        failure for tally in play_in_processes(seeds, PROCESSES) for failure in tally.failures
    ]

    told = "\n\n".join(f"{each}\nmake simulate SEED={each.seed}" for each in failures[:3])
    assert not failures, told


def test_a_seed_is_the_same_story_every_time():
    first = [play(seed)[0].chronicle.digest() for seed in REPLAYED]

    assert [play(seed)[0].chronicle.digest() for seed in REPLAYED] == first
    assert len(set(first)) == len(first)


def test_how_often_the_cores_are_checked_changes_nothing():
    always, _ = play(7, check_every=1)
    never, _ = play(7, check_every=10**9)

    assert always.chronicle.digest() == never.chronicle.digest()


@pytest.mark.parametrize("hash_seed", ["0", "1", "4711"])
def test_a_seed_is_the_same_story_in_every_process(hash_seed):
    told = subprocess.run(
        [sys.executable, "simulate.py", "--seed", "42"],
        cwd=HERE,
        env=os.environ | {"PYTHONHASHSEED": hash_seed},
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    ).stdout

    world, _ = play(42)
    assert world.chronicle.digest() in told


def test_a_replay_tells_who_did_what_and_when():
    lines = play(42)[0].chronicle.lines()

    assert any(" asks request " in line for line in lines)
    assert [float(line.split()[0]) for line in lines] == sorted(
        float(line.split()[0]) for line in lines
    )
