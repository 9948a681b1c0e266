"""How used up a worker is, and when it has had enough. No I/O, no clock.

What a model's libraries leak, or never give back to the system, goes with the process.
"""

from __future__ import annotations

import math
from typing import Final

_MIB: Final = 1024 * 1024


class Wear:
    """What a worker has done so far, against what it may do. A limit of 0 is none.

    ``first_rss_bytes`` is what it takes up before its first job. Where that is above the limit, the
    limit is void: each successor would have to be replaced as well.
    """

    def __init__(
        self, max_jobs: int = 0, max_rss_bytes: int = 0, *, first_rss_bytes: int = 0
    ) -> None:
        #: It was born above its limit of memory.
        self.is_born_large = 0 < max_rss_bytes < first_rss_bytes
        #: Why the worker is spent; empty while it is not.
        self.reason = ""
        self._answered = 0
        self._max_jobs = max_jobs or math.inf
        has_limit = max_rss_bytes and not self.is_born_large
        self._max_rss_bytes = max_rss_bytes if has_limit else math.inf

    def __repr__(self) -> str:
        return f"<Wear answered={self._answered} reason={self.reason or None}>"

    def answered(self, jobs: int) -> None:
        """So many more jobs were answered."""
        self._answered += jobs
        if self._answered >= self._max_jobs and not self.reason:
            self.reason = f"answered {self._answered} jobs"

    def weighs(self, rss_bytes: int) -> None:
        """The process takes up so much memory now, its models included."""
        if rss_bytes > self._max_rss_bytes and not self.reason:
            self.reason = f"takes up {rss_bytes // _MIB} MiB"
