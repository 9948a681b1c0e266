"""When a worker has done enough, or has grown too large."""

import pytest

from zeropool.workers.wear import Wear

MIB = 1024 * 1024


@pytest.mark.parametrize("wear", [Wear(), Wear(max_jobs=0, max_rss_bytes=0)])
def test_without_limits_nobody_is_ever_spent(wear):
    wear.answered(10**12)
    wear.weighs(10**15)

    assert wear.reason == ""


def test_a_worker_is_spent_when_it_has_answered_as_many_as_it_may():
    wear = Wear(max_jobs=10)
    wear.answered(4)
    wear.answered(5)
    assert wear.reason == ""

    wear.answered(3)

    assert wear.reason == "answered 12 jobs"


def test_a_worker_is_spent_when_it_takes_up_more_than_it_may():
    wear = Wear(max_rss_bytes=100 * MIB)
    wear.weighs(100 * MIB)
    assert wear.reason == ""

    wear.weighs(101 * MIB)

    assert wear.reason == "takes up 101 MiB"


def test_a_limit_below_what_the_models_need_is_void():
    wear = Wear(max_rss_bytes=100 * MIB, first_rss_bytes=101 * MIB)
    wear.weighs(200 * MIB)

    assert wear.is_born_large
    assert wear.reason == ""


def test_without_a_limit_nobody_is_born_too_large():
    assert not Wear(first_rss_bytes=MIB).is_born_large


def test_the_first_reason_stays():
    wear = Wear(max_jobs=1, max_rss_bytes=MIB)
    wear.answered(1)

    wear.answered(5)
    wear.weighs(2 * MIB)

    assert wear.reason == "answered 1 jobs"


def test_memory_that_was_given_back_does_not_make_it_young_again():
    wear = Wear(max_rss_bytes=MIB)
    wear.weighs(2 * MIB)

    wear.weighs(0)

    assert wear.reason


def test_its_repr_tells_what_it_has_done():
    wear = Wear(max_jobs=2)
    wear.answered(1)

    assert repr(wear) == "<Wear answered=1 reason=None>"
