"""Waits between repeated tries: exponential with jitter, as tenacity computes them.

No I/O, no clock: whoever tries again keeps the time.
"""

from __future__ import annotations

from tenacity import RetryCallState, Retrying
from tenacity.wait import wait_exponential, wait_random


class Backoff:
    """Longer and longer waits, up to a limit, until something succeeds. Seconds."""

    def __init__(self, initial_s: float, max_s: float, jitter_s: float | None = None) -> None:
        self.tries = 0
        self._max_s = max_s
        # Jitter keeps a whole fleet, started at once, from trying in step: also at the limit,
        # hence the room for it below.
        jitter_s = initial_s if jitter_s is None else jitter_s
        longest_s = max(max_s - jitter_s, initial_s)
        self._wait = wait_exponential(initial_s, max=longest_s) + wait_random(0, jitter_s)
        self._retrying = Retrying(wait=self._wait)

    def next_s(self) -> float:
        """The wait after one more try that failed."""
        self.tries += 1
        state = RetryCallState(self._retrying, fn=None, args=(), kwargs={})
        state.attempt_number = self.tries
        return min(self._wait(state), self._max_s)

    def reset(self) -> None:
        """It succeeded: begin again with short waits."""
        self.tries = 0
