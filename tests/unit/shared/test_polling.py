"""Poll timeouts are whole milliseconds, rounded up and bounded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeropool.shared.polling import poll_timeout_ms


@pytest.mark.parametrize(
    ("deadline", "now", "timeout_ms"),
    [
        (10.0, 10.0, 0),
        (9.0, 10.0, 0),
        (12.0, 10.0, 2000),
        (10.0001, 10.0, 1),
        (10.5004, 10.0, 501),
        (float("inf"), 10.0, 3_600_000),
        (1e9, 10.0, 3_600_000),
        (float("-inf"), 10.0, 0),
    ],
)
def test_a_timeout_reaches_to_the_deadline(deadline, now, timeout_ms):
    assert poll_timeout_ms(deadline, now) == timeout_ms


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_on_waking_the_deadline_has_passed_or_an_hour_has(deadline, now):
    timeout_ms = poll_timeout_ms(deadline, now)
    assert type(timeout_ms) is int
    assert 0 <= timeout_ms <= 3_600_000
    # Sums of such floats are off by less than a nanosecond.
    assert timeout_ms == 3_600_000 or now + timeout_ms / 1000 >= deadline - 1e-9
