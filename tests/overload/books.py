"""What a load generator knows of its calls: one entry for each, and what became of it.

No socket, no clock: times are given, monotonic seconds. Every call is in exactly one of the counts,
so that nothing is lost by the one who looks for losses.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

#: Right answers are counted over spans of so many seconds, from the common start on.
BUCKET_S = 0.25


class Demand(msgspec.Struct, frozen=True, kw_only=True):
    """What one generator asks for."""

    endpoint: str
    seconds: float
    #: Calls to begin each second, whatever becomes of them; 0: as fast as answers come.
    rate_per_s: float = 0.0
    #: Most calls without an answer; 0: any number.
    max_open: int = 0
    #: Bytes of each call beside the few that it needs.
    body_bytes: int = 0
    #: What the header says that the caller will wait; later answers count as late.
    timeout_s: float | None = None
    #: After `Overloaded`, ask nothing for as long as the reply says.
    heeds_retry_after: bool = False
    method: str = "steady_predict"


class Books(msgspec.Struct, kw_only=True):
    """One generator's account. The sum of all outcomes is ``sent``."""

    sent: int = 0
    #: Calls that the connection did not take: the gateway read too slowly to be offered more.
    pushed_back: int = 0
    right: int = 0
    wrong: int = 0
    #: Right, but after the caller's own time was over.
    late: int = 0
    #: Error replies by their name.
    errors: dict[str, int] = {}
    unanswered: int = 0
    #: Replies to no open call: a second answer to one, or to somebody else's.
    strays: int = 0
    #: Right answers in each `BUCKET_S` from the start on.
    buckets: list[int] = []
    #: Seconds from before the send to after the receipt.
    right_s: list[float] = []
    overloaded_s: list[float] = []
    #: Longest time that the generator itself did not look at its socket, in seconds.
    own_pause_s: float = 0.0
    #: Examples of wrong answers, for whoever has to find out.
    examples: list[str] = []

    def count_right(self, took_s: float, since_start_s: float, timeout_s: float | None) -> None:
        """A right answer came."""
        if timeout_s is not None and took_s > timeout_s:
            self.late += 1
            return
        self.right += 1
        self.right_s.append(took_s)
        bucket = int(since_start_s / BUCKET_S)
        if bucket >= len(self.buckets):
            self.buckets.extend([0] * (bucket + 1 - len(self.buckets)))
        self.buckets[bucket] += 1

    def count_error(self, name: str, took_s: float) -> None:
        """An error reply came."""
        self.errors[name] = self.errors.get(name, 0) + 1
        if name == "Overloaded":
            self.overloaded_s.append(took_s)

    def count_wrong(self, example: str) -> None:
        """An answer came that does not follow from its question."""
        self.wrong += 1
        if len(self.examples) < 5:
            self.examples.append(example[:200])


def total(books: list[Books]) -> Books:
    """Several generators' accounts as one."""
    whole = Books()
    errors: Counter[str] = Counter()
    for one in books:
        for name in ("sent", "pushed_back", "right", "wrong", "late", "unanswered", "strays"):
            setattr(whole, name, getattr(whole, name) + getattr(one, name))
        errors.update(one.errors)
        width = max(len(whole.buckets), len(one.buckets))
        whole.buckets = [
            sum(buckets[at] for buckets in (whole.buckets, one.buckets) if at < len(buckets))
            for at in range(width)
        ]
        whole.right_s += one.right_s
        whole.overloaded_s += one.overloaded_s
        whole.own_pause_s = max(whole.own_pause_s, one.own_pause_s)
        whole.examples += one.examples
    whole.errors = dict(errors)
    return whole


def lowest_rate(buckets: list[int], seconds: float, window_s: float) -> float:
    """Right answers per second in the poorest window of so many seconds."""
    per_window = round(window_s / BUCKET_S)
    whole = list(buckets) + [0] * (int(seconds / BUCKET_S) - len(buckets))
    counts = [
        sum(whole[at : at + per_window]) for at in range(int(seconds / BUCKET_S) - per_window + 1)
    ]
    return min(counts) / window_s if counts else 0.0


def milliseconds(seconds: list[float]) -> dict[str, Any]:
    """p50, p99 and the longest of some spans, as milliseconds."""
    ordered = sorted(seconds)
    if not ordered:
        return {"n": 0, "p50": None, "p99": None, "max": None}

    def at(share: float) -> float:
        return round(1000 * ordered[min(int(share * len(ordered)), len(ordered) - 1)], 2)

    return {"n": len(ordered), "p50": at(0.5), "p99": at(0.99), "max": at(1.0)}
