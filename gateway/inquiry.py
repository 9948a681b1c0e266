"""Questions of other threads to the gateway's loop, which alone may read the cores.

A question wakes the loop; everybody who asks before it answers gets the same answer, so that no
number of askers makes the loop work more than once for each of its turns.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future

from zeropool.gateway.metrics import Snapshot


class Inquiry:
    """One loop that answers, any number of threads that ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._question: Future[Snapshot] | None = None
        self._fd = -1

    def open(self) -> None:
        """From here on `fileno` becomes readable when somebody asks."""
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def close(self) -> None:
        """Answer nobody any more."""
        with self._lock:
            os.close(self._fd)
            self._fd = -1
            question, self._question = self._question, None
        if question is not None:
            question.set_exception(TimeoutError())

    def fileno(self) -> int:
        """File descriptor to poll."""
        return self._fd

    def ask(self, timeout_s: float) -> Snapshot:
        """The loop's next answer.

        Raises:
            TimeoutError: the loop has not answered within ``timeout_s``, or has ended.
        """
        with self._lock:
            if self._fd < 0:
                raise TimeoutError
            question = self._question
            if question is None:
                question = self._question = Future()
                os.eventfd_write(self._fd, 1)
        return question.result(timeout_s)

    def answer(self, snapshot: Callable[[], Snapshot]) -> None:
        """In the loop: answer everybody who has asked so far."""
        os.eventfd_read(self._fd)
        with self._lock:
            question, self._question = self._question, None
        if question is not None:
            question.set_result(snapshot())
