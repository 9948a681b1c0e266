"""Values counted by upper bounds."""

from __future__ import annotations

from bisect import bisect_left

from hypothesis import given
from hypothesis import strategies as st

from zeropool.gateway.histogram import Histogram, Spread

BOUNDS = (0.1, 1.0, 10.0)


def test_a_value_counts_under_every_bound_that_it_does_not_pass():
    histogram = Histogram(BOUNDS)
    for value in (0.05, 0.1, 0.5, 10.0, 11.0):
        histogram.observe(value)
    assert histogram.spread() == Spread(BOUNDS, (2, 3, 4), 5, 21.65)


def test_values_count_once_however_often_somebody_asks():
    histogram = Histogram(BOUNDS)
    histogram.observe(0.5)
    assert histogram.spread() == histogram.spread() == Spread(BOUNDS, (0, 1, 1), 1, 0.5)
    histogram.observe(0.5)
    assert histogram.spread() == Spread(BOUNDS, (0, 2, 2), 2, 1.0)


def test_the_length_is_the_number_of_values_that_wait_to_be_counted():
    histogram = Histogram(BOUNDS)
    histogram.observe(0.5)
    assert len(histogram) == 1
    histogram.count()
    assert len(histogram) == 0


@given(st.lists(st.one_of(st.floats(0.0, 20.0), st.just(None))))
def test_when_values_are_counted_makes_no_difference(values):
    histogram = Histogram(BOUNDS)
    for value in values:
        if value is None:
            histogram.count()
        else:
            histogram.observe(value)
    seen = [value for value in values if value is not None]
    at_most = tuple(
        sum(bisect_left(BOUNDS, value) <= index for value in seen) for index in range(len(BOUNDS))
    )
    assert histogram.spread().counts == at_most
    assert histogram.spread().total == len(seen)
