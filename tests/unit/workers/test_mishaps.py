"""Failed predictions in the log: told while they are few, counted when they are many."""

from __future__ import annotations

from zeropool.shared.jobs import Job, Kind
from zeropool.workers.mishaps import INTERVAL_S, MAX_LINES, Mishap, Mishaps


def job(job_id=1):
    return Job(job_id, 2, Kind.CALL, "double", b"\x90", 1.0)


def test_a_failure_is_told_with_its_job_and_without_its_message():
    mishaps = Mishaps()
    mishaps.add(job(7), ValueError("the patient's name"), "predict")
    assert mishaps.take(0.0) == [Mishap(7, 2, "double", "predict", "ValueError", "")]


def test_a_failure_names_the_place_that_raised_it():
    mishaps = Mishaps()
    try:
        int("x")
    except ValueError as error:
        mishaps.add(job(), error, "predict")
    (mishap,) = mishaps.take(0.0)
    assert mishap.raised_at.startswith("test_mishaps.py:")


def test_nothing_is_told_twice():
    mishaps = Mishaps()
    mishaps.add(job(), ValueError(), "predict")
    assert len(mishaps.take(0.0)) == 1
    assert mishaps.take(0.0) == []


def test_many_failures_of_one_batch_become_few_lines():
    mishaps = Mishaps()
    for number in range(100):
        mishaps.add(job(number), ValueError(), "predict")
    assert len(mishaps.take(0.0)) == MAX_LINES


def test_beyond_the_bound_failures_are_counted_and_told_later():
    mishaps = Mishaps()
    said = []
    for number in range(100):
        mishaps.add(job(number), ValueError(), "predict")
        said += mishaps.take(number / 100)
    assert len(said) == MAX_LINES
    mishaps.add(job(100), ValueError(), "predict")
    (mishap,) = mishaps.take(INTERVAL_S + 1.0)
    assert mishap.unsaid == 100 - MAX_LINES
    mishaps.add(job(101), ValueError(), "predict")
    (mishap,) = mishaps.take(INTERVAL_S + 1.0)
    assert mishap.unsaid == 0
