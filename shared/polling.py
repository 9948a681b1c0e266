"""From a deadline to the timeout of a poll."""

from __future__ import annotations

import math
from typing import Final

#: Polls take a 32-bit count of milliseconds; waking up once an hour costs nothing.
LONGEST_POLL_S: Final = 3600.0


def poll_timeout_ms(deadline: float, now: float) -> int:
    """Whole milliseconds until ``deadline``, rounded up so that it has passed on waking."""
    return math.ceil(min(max(deadline - now, 0.0), LONGEST_POLL_S) * 1000)
