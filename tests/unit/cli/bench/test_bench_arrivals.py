"""When calls are due, in literal times."""

import itertools
import math
import random

import pytest

from zeropool.cli.bench.arrivals import Arrivals, poisson, steady


def test_a_steady_rate_has_equal_gaps():
    arrivals = Arrivals(steady(4.0), began_at=10.0)

    assert [arrivals.take() for _ in range(4)] == [10.25, 10.5, 10.75, 11.0]


def test_the_next_call_is_known_before_it_is_taken():
    arrivals = Arrivals(steady(2.0), began_at=0.0)

    assert arrivals.next_at == 0.5
    assert arrivals.take() == 0.5
    assert arrivals.next_at == 1.0
    assert repr(arrivals) == "<Arrivals next_at=1.000000>"


def test_who_comes_late_for_one_call_does_not_move_the_next():
    arrivals = Arrivals(steady(1.0), began_at=0.0)
    late_at = 3.5

    due = list(itertools.takewhile(lambda due_at: due_at <= late_at, iter(arrivals.take, None)))

    assert due == [1.0, 2.0, 3.0]


def test_gaps_of_independent_callers_follow_the_draw():
    draws = iter([0.0, 0.5, 1 - math.exp(-2)])

    gaps = list(itertools.islice(poisson(10.0, lambda: next(draws)), 3))

    assert gaps == pytest.approx([0.0, math.log(2) / 10, 0.2])


def test_independent_callers_come_at_the_rate_on_average_and_unevenly():
    gaps = list(itertools.islice(poisson(100.0, random.Random(5).random), 20_000))

    mean = sum(gaps) / len(gaps)
    assert mean == pytest.approx(0.01, rel=0.03)
    # An exponential distribution: as wide as its mean.
    assert math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) == pytest.approx(
        mean, rel=0.05
    )
