"""How often something happens, of late."""

from __future__ import annotations

from zeropool.gateway.rate import Rate


def test_a_rate_is_the_average_over_ten_seconds():
    rate = Rate()
    for now in [0.1] * 10 + [0.2] * 10 + [5.0] * 10:
        rate.count(now)
    assert rate.per_s(6.0) == 3.0
    assert rate.per_s(10.5) == 1.0
    assert rate.per_s(15.0) == 0.0


def test_the_second_that_goes_on_counts():
    rate = Rate()
    rate.count(3.5)
    assert rate.per_s(3.5) == 0.1


def test_a_rate_remembers_no_more_than_its_window():
    rate = Rate()
    for second in range(1000):
        rate.count(float(second))
    assert rate.per_s(999.0) == 1.0
    assert len(rate._seconds) == 9
