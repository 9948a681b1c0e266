"""What the load generator counted in one run, and the form in which it tells its parent."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the load generator. Latencies are milliseconds from send to answer."""

    in_flight: int
    #: From the first request to the last answer.
    seconds: float
    #: Right answers; the rate and the latencies are theirs.
    answers: int
    #: Wrong answers, by what was wrong with them.
    errors: dict[str, int]
    #: Calls that were not answered in time.
    unanswered: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    #: CPU time of the load generator's process, libzmq's thread included.
    cpu_s: float
    #: The same of its Python thread alone: when that nears `seconds`, it is the bottleneck.
    python_cpu_s: float

    @property
    def is_clean(self) -> bool:
        """Every call got its right answer."""
        return self.answers > 0 and not self.errors and not self.unanswered


def percentile(ascending: Sequence[float], share: float) -> float:
    """The nearest-rank percentile, 0 where there are no values."""
    if not ascending:
        return 0.0
    return ascending[max(0, math.ceil(share * len(ascending)) - 1)]
