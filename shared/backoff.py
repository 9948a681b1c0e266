"""Waits between repeated tries: exponential with jitter, as tenacity computes them.

No I/O, no clock: whoever tries again keeps the time.
"""

from __future__ import annotations

from tenacity import RetryCallState, Retrying
from tenacity.wait import wait_exponential_jitter


class Backoff:
    """Longer and longer waits, up to a limit, until something succeeds. Seconds."""

    def __init__(self, initial_s: float, max_s: float, jitter_s: float | None = None) -> None:
        self.tries = 0
        # Jitter keeps a whole fleet, started at once, from trying in step.
        self._wait = wait_exponential_jitter(
            initial=initial_s, max=max_s, jitter=initial_s if jitter_s is None else jitter_s
        )
        self._retrying = Retrying(wait=self._wait)

    def next_s(self) -> float:
        """The wait after one more try that failed."""
        self.tries += 1
        state = RetryCallState(self._retrying, fn=None, args=(), kwargs={})
        state.attempt_number = self.tries
        return self._wait(state)

    def reset(self) -> None:
        """It succeeded: begin again with short waits."""
        self.tries = 0
