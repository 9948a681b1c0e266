"""Ratios are formed within a round, and a claim is judged by their median."""

import pytest
from claims import CLAIMS, Claim, judge
from servers import SERVERS
from unit_points import made_point

FASTER = Claim(64, "calls/s", "mosec", at_least=2)
CHEAPER = Claim(64, "CPU per call", "mosec", at_most=0.25)


def pair(round_number, mine, theirs, **unanswered):
    return [
        made_point("zeropool-2", 64, round_number, calls_per_s=mine, **unanswered),
        made_point("mosec", 64, round_number, calls_per_s=theirs),
    ]


def test_the_ratio_is_that_of_each_round_and_not_that_of_the_medians():
    points = [*pair(1, 100, 10), *pair(2, 200, 100), *pair(3, 300, 100)]
    verdict = judge(FASTER, points)
    assert verdict.ratio is not None
    assert (verdict.ratio.median, verdict.ratio.lowest, verdict.ratio.highest) == (3.0, 2.0, 10.0)
    assert verdict.holds is True


def test_a_median_below_the_bound_misses_the_claim():
    verdict = judge(FASTER, [*pair(1, 190, 100), *pair(2, 500, 100), *pair(3, 150, 100)])
    assert verdict.holds is False


def test_less_is_better_where_the_bound_is_an_upper_one():
    mine, theirs = (
        made_point("zeropool-2", 64, 1, cpu_us=30),
        made_point("mosec", 64, 1, cpu_us=100),
    )
    assert judge(CHEAPER, [mine, theirs]).holds is False
    assert judge(Claim(64, "CPU per call", "mosec", at_most=0.5), [mine, theirs]).holds is True


def test_a_failed_point_and_another_load_count_for_nothing():
    points = [
        *pair(1, 1000, 100, unanswered=1),
        *pair(2, 300, 100),
        made_point("zeropool-2", 1, 3, calls_per_s=900),
        made_point("mosec", 64, 3, calls_per_s=100),
    ]
    verdict = judge(FASTER, points)
    assert verdict.ratio is not None
    assert (verdict.ratio.lowest, verdict.ratio.highest) == (3.0, 3.0)


def test_without_a_round_that_has_both_there_is_no_verdict():
    verdict = judge(FASTER, [made_point("zeropool-2", 64, 1), made_point("mosec", 64, 2)])
    assert verdict.ratio is None
    assert verdict.holds is None


@pytest.mark.parametrize("claim", CLAIMS)
def test_every_claim_names_servers_that_are_measured(claim):
    assert {claim.of, claim.against} <= {server.key for server in SERVERS}
    assert (claim.at_least is None) != (claim.at_most is None)
