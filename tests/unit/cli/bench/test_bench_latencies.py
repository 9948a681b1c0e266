"""Quantiles from buckets, against the exact ones."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeropool.cli.bench.latencies import RELATIVE_ERROR, Latencies

#: From a nanosecond to a day.
LATENCIES = st.floats(min_value=0.0, max_value=86_400.0, allow_subnormal=False)


def observed(*values_s):
    latencies = Latencies()
    for value_s in values_s:
        latencies.observe(value_s)
    return latencies


def exact(values_s, share):
    return sorted(values_s)[max(1, math.ceil(share * len(values_s))) - 1]


@given(st.lists(LATENCIES, min_size=1, max_size=300), st.sampled_from([0.0, 0.5, 0.9, 0.99, 1.0]))
def test_a_quantile_is_within_the_relative_error_of_the_exact_one(values_s, share):
    found_s = observed(*values_s).quantile_s(share)

    # Below a nanosecond, the error is absolute.
    assert found_s == pytest.approx(exact(values_s, share), rel=RELATIVE_ERROR * 1.001, abs=1e-9)


def test_the_error_is_at_most_one_percent():
    assert RELATIVE_ERROR <= 0.01


def test_the_longest_latency_is_exact():
    latencies = observed(0.001, 0.123456789, 0.002)

    assert latencies.quantile_s(1.0) == 0.123456789
    assert latencies.summary().max == pytest.approx(123.456789)


def test_a_quantile_never_exceeds_the_longest_latency():
    latencies = observed(*[0.001] * 1000)

    assert latencies.quantile_s(0.5) <= 0.001


def test_a_summary_is_in_milliseconds():
    summary = observed(*[0.001] * 98, 0.1, 0.2).summary()

    assert summary.p50 == pytest.approx(1.0, rel=RELATIVE_ERROR)
    assert summary.p90 == pytest.approx(1.0, rel=RELATIVE_ERROR)
    assert summary.p99 == pytest.approx(100.0, rel=RELATIVE_ERROR)
    assert summary.p999 == summary.max == pytest.approx(200.0)
    assert summary.mean == pytest.approx((98 + 100 + 200) / 100)


def test_without_latencies_all_figures_are_0():
    summary = observed().summary()

    assert {summary.mean, summary.p50, summary.p99, summary.p999, summary.max} == {0.0}


def test_a_latency_of_0_is_counted():
    latencies = observed(0.0, 0.0)

    assert (len(latencies), latencies.quantile_s(0.5)) == (2, 0.0)


@given(st.lists(st.lists(LATENCIES, max_size=50), max_size=5))
def test_the_parts_of_a_run_make_the_same_distribution_as_the_whole(parts):
    merged = Latencies.merged(observed(*part) for part in parts)
    whole = observed(*[value_s for part in parts for value_s in part])

    assert len(merged) == len(whole)
    for share in (0.1, 0.5, 0.99, 1.0):
        assert merged.quantile_s(share) == whole.quantile_s(share)
    assert merged.summary().mean == pytest.approx(whole.summary().mean)


def test_counting_in_between_changes_nothing():
    latencies = observed(0.001, 0.002)
    latencies.count()
    assert latencies.waiting == 0
    latencies.observe(0.003)

    assert (latencies.waiting, len(latencies)) == (1, 3)
    assert latencies.quantile_s(0.5) == pytest.approx(0.002, rel=RELATIVE_ERROR)


def test_memory_grows_with_the_range_and_not_with_the_number():
    latencies = observed(*[1e-6 * 1.00001**step for step in range(100_000)])

    latencies.count()

    assert len(latencies.buckets) < 120
    assert repr(latencies) == ("<Latencies total=100000 longest=0.000003 s>")
