"""What a load generator counts in one run, and the form in which it tells its parent."""

from __future__ import annotations

import math
import time
from collections import Counter
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
    #: CPU time of the load generator's process, all its threads included.
    cpu_s: float
    #: The same of its Python thread alone: when that nears `seconds`, it is the bottleneck.
    python_cpu_s: float

    @property
    def is_clean(self) -> bool:
        """Every call got its right answer."""
        return self.answers > 0 and not self.errors and not self.unanswered


class Count:
    """One run while it goes on; begins when it is made, which is just before the first request.

    Times are seconds of `time.perf_counter`.
    """

    def __init__(self) -> None:
        self._latencies_s: list[float] = []
        self._errors: Counter[str] = Counter()
        self._began_cpu_s, self._began_python_s = time.process_time(), time.thread_time()
        #: When the run began, and when the last answer came.
        self.began_at = self.answered_at = time.perf_counter()

    def __repr__(self) -> str:
        return f"<Count answered={len(self._latencies_s)} errors={self._errors.total()}>"

    def right(self, sent_at: float, now: float) -> None:
        """Count a right answer to a call that was sent then."""
        self._latencies_s.append(now - sent_at)
        self.answered_at = now

    def wrong(self, what: str, now: float) -> None:
        """Count an answer that is none of those that belong to the calls."""
        self._errors[what] += 1
        self.answered_at = now

    def ignored(self, what: str) -> None:
        """Count what came and answers no call."""
        self._errors[what] += 1

    def tally(self, in_flight: int, unanswered: int) -> Tally:
        """End the run, some calls of which may have had no answer."""
        cpu_s, python_s = time.process_time(), time.thread_time()
        latencies_s = sorted(self._latencies_s)
        return Tally(
            in_flight=in_flight,
            seconds=self.answered_at - self.began_at,
            answers=len(latencies_s),
            errors=dict(self._errors),
            unanswered=unanswered,
            p50_ms=percentile(latencies_s, 0.50) * 1000,
            p99_ms=percentile(latencies_s, 0.99) * 1000,
            max_ms=percentile(latencies_s, 1.0) * 1000,
            cpu_s=cpu_s - self._began_cpu_s,
            python_cpu_s=python_s - self._began_python_s,
        )


def percentile(ascending: Sequence[float], share: float) -> float:
    """The nearest-rank percentile, 0 where there are no values."""
    if not ascending:
        return 0.0
    return ascending[max(0, math.ceil(share * len(ascending)) - 1)]
