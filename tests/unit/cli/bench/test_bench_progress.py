"""The line that tells how far a run is, in literal times."""

import pytest

from zeropool.cli.bench.progress import ERASE, Progress
from zeropool.cli.bench.trial import CpuTime, Rules, Trial

IDLE = CpuTime(0.0, 0.0)
RULES = Rules(warm_up_s=1.0, window_s=2.0, tolerance=0.1, max_windows=10)


@pytest.fixture
def progress():
    progress = Progress(loads=3, max_windows=10)
    progress.begin("concurrency 1")
    progress.begin("concurrency 16")
    return progress


@pytest.fixture
def trial():
    return Trial(RULES, 10.0, IDLE)


def test_the_warm_up_is_told(progress, trial):
    assert progress.line(trial, 10.1) == f"{ERASE}concurrency 16 (2/3) warming up"
    assert repr(progress) == "<Progress 2 of 3>"


def test_a_window_is_told_with_its_pace_so_far(progress, trial):
    trial.advance(11.0, IDLE)
    for _ in range(1000):
        trial.current.latencies.observe(0.002)

    assert progress.line(trial, 11.5) == (
        f"{ERASE}concurrency 16 (2/3) window 1/10: 2,000 calls/s, p99 1.99 ms"
    )
    trial.current.errors["Overloaded"] += 7
    assert progress.line(trial, 12.0).endswith(": 1,000 calls/s, p99 1.99 ms, 7 errors")


def test_the_line_is_written_anew_twice_a_second(progress, trial):
    assert progress.line(trial, 10.0)

    assert not progress.line(trial, 10.4)
    assert progress.line(trial, 10.5)


def test_a_window_that_has_only_begun_has_no_pace(progress, trial):
    trial.advance(11.0, IDLE)

    assert progress.line(trial, 11.0).endswith("window 1/10: 0 calls/s, p99 0 ms")


def test_the_longest_line_fits_a_terminal():
    progress = Progress(loads=20, max_windows=10)
    for _ in range(20):
        progress.begin("concurrency 256")
    trial = Trial(RULES, 0.0, IDLE)
    trial.advance(1.0, IDLE)
    for _ in range(50_000):
        trial.current.latencies.observe(0.12345)
    trial.current.errors["Overloaded"] += 50_000

    assert len(progress.line(trial, 2.0).removeprefix(ERASE)) < 80
