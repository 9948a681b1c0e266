"""Numbers of every kind that users have, and what is none."""

from fractions import Fraction

import numpy as np
import pytest

from zeropool.client.given import beat_or_none, count, seconds, seconds_or_none


@pytest.mark.parametrize(
    "given", [1.5, Fraction(3, 2), np.float16(1.5), np.float32(1.5), np.float64(1.5)]
)
def test_a_time_of_any_kind_becomes_a_float(given):
    assert seconds(given) == seconds_or_none(given) == 1.5
    assert type(seconds(given)) is float


@pytest.mark.parametrize("given", [np.int64(5), np.uint8(5), Fraction(5)])
def test_so_does_a_whole_one(given):
    assert seconds(given) == 5.0
    assert type(seconds(given)) is float


def test_an_int_stays_what_it_is_as_errors_name_it():
    assert f"{seconds(5)}s" == "5s"


@pytest.mark.parametrize("given", [5, np.int64(5), np.uint8(5), np.float32(5.0), Fraction(5)])
def test_a_count_of_any_kind_becomes_an_int(given):
    assert count(given) == 5
    assert type(count(given)) is int


def test_none_is_a_time_only_where_it_may_be():
    assert seconds_or_none(None) is None
    with pytest.raises(TypeError, match="None: expected a number of seconds"):
        seconds(None)


@pytest.mark.parametrize("given", [0, -1, -0.5, float("nan")])
def test_heartbeats_have_some_time_between_them(given):
    with pytest.raises(ValueError, match=f"heartbeat of {given} s: expected more than 0, or None"):
        beat_or_none(given)
    assert beat_or_none(None) is None
    assert beat_or_none(0.5) == 0.5


@pytest.mark.parametrize("given", ["5", b"5", [5], object()])
@pytest.mark.parametrize("read", [seconds, seconds_or_none, beat_or_none, count])
def test_what_is_no_number_is_refused(given, read):
    with pytest.raises(TypeError, match="expected a number"):
        read(given)
