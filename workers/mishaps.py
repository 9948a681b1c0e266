"""Which failed predictions are worth a line in the log: all, while they are few. No I/O, no clock.

A model that fails every call must not fill the disk: beyond a bound, failures are only counted, and
the next line tells how many. Refuses to know messages of exceptions, which may quote the data.
"""

from __future__ import annotations

import msgspec

from zeropool.shared.jobs import Job

#: Most lines in any `INTERVAL_S`.
MAX_LINES = 10
INTERVAL_S = 10.0


class Mishap(msgspec.Struct, frozen=True):
    """One failure of a model's method."""

    job: int
    attempt: int
    model: str
    #: The model's method.
    method: str
    #: The exception's class.
    error: str
    #: File and line that raised it; "" where nothing did.
    raised_at: str
    #: Failures since the line before that got none.
    unsaid: int = 0


class Mishaps:
    """Failures of one worker, from where they happen to its log."""

    def __init__(self) -> None:
        self._found: list[tuple[Job, Exception, str]] = []
        self._unsaid = 0
        self._lines = 0
        self._interval_ends_at = 0.0

    def add(self, job: Job, error: Exception, method: str) -> None:
        """A method of its model failed for a job, which may have been answered by another one."""
        if len(self._found) < MAX_LINES:
            self._found.append((job, error, method))
        else:
            self._unsaid += 1

    def take(self, now: float) -> list[Mishap]:
        """What to log now."""
        if not self._found:
            return []
        if now >= self._interval_ends_at:
            self._interval_ends_at = now + INTERVAL_S
            self._lines = 0
        found, self._found = self._found, []
        said = found[: MAX_LINES - self._lines]
        self._lines += len(said)
        mishaps = []
        for job, error, method in said:
            mishaps.append(
                Mishap(
                    job.job_id,
                    job.attempt,
                    job.model,
                    method,
                    type(error).__name__,
                    _raised_at(error),
                    self._unsaid,
                )
            )
            self._unsaid = 0
        self._unsaid += len(found) - len(said)
        return mishaps


def _raised_at(error: Exception) -> str:
    frame = error.__traceback__
    if frame is None:
        return ""
    while frame.tb_next is not None:
        frame = frame.tb_next
    file = frame.tb_frame.f_code.co_filename.rpartition("/")[2]
    return f"{file}:{frame.tb_lineno}"
