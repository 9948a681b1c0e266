"""The kernel's timer that ends this process when a prediction takes too long. Part of the shell.

The default action of SIGALRM needs nothing of the interpreter: it ends the process even while C
code holds the lock. Before that, `faulthandler` writes the stack of every thread.
"""

from __future__ import annotations

import faulthandler
import math
import signal
import sys
import time
from collections.abc import Callable
from typing import Final

#: A timer of 0 would be off.
SHORTEST_S: Final = 0.001
# Bound once: both are set for each batch.
_setitimer: Final = signal.setitimer
_REAL: Final = signal.ITIMER_REAL


class Alarm:
    """Ends the process at the hard limit of what runs, or earlier once its time is cut. Seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._cut_at = math.inf

    def open(self) -> None:
        """Prepare for the worst."""
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        faulthandler.register(signal.SIGALRM, file=sys.stderr, all_threads=True, chain=True)

    def arm(self, limit_s: float) -> None:
        """What begins now may take so long."""
        _setitimer(_REAL, limit_s)
        # Looked at after the timer is set: a signal's handler may cut the time at any moment.
        if self._cut_at != math.inf:
            self._shorten()

    def disarm(self) -> None:
        """It has ended in time."""
        _setitimer(_REAL, 0.0)

    def cut(self, within_s: float) -> None:
        """What runs, and all that follows, has to end so soon. May be called by a handler."""
        self._cut_at = min(self._cut_at, self._clock() + within_s)
        self._shorten()

    def _shorten(self) -> None:
        left_s, _ = signal.getitimer(_REAL)
        if left_s:
            until_cut_s = max(self._cut_at - self._clock(), SHORTEST_S)
            _setitimer(_REAL, min(left_s, until_cut_s))
