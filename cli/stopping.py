"""The end of `zeropool serve`: its children are asked, waited for, and killed when time is over.

Part of the shell. Whoever asks a second time does not want to wait for the drain.
"""

from __future__ import annotations

import logging
import select
import signal
from collections.abc import Callable, Sequence

from zeropool.cli.processes import Child
from zeropool.shared.logs import fields
from zeropool.shared.polling import poll_timeout_ms
from zeropool.shared.signals import Signals

log = logging.getLogger("zeropool.serve")

#: Ctrl-C is in a hurry.
QUICK_STOP_S = 2.0
#: Signals that ask for the end.
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


class Stopping:
    """Stops children, group by group."""

    def __init__(self, signals: Signals, clock: Callable[[], float]) -> None:
        self._signals = signals
        self._clock = clock
        self._is_hurried = False

    def quickly(self, children: Sequence[Child]) -> None:
        """Stop all of them at once."""
        self._stop(children, QUICK_STOP_S, signal.SIGQUIT, [])

    def drain(self, children: Sequence[Child], patience_s: float, later: Sequence[Child]) -> None:
        """Let them finish, as long as patience lasts; hurry calls for those of ``later``, too."""
        self._stop(children, patience_s, signal.SIGTERM, later)

    def _stop(
        self,
        children: Sequence[Child],
        patience_s: float,
        how: signal.Signals,
        later: Sequence[Child],
    ) -> None:
        for child in children:
            child.send(how)
        end_at = self._clock() + (QUICK_STOP_S if self._is_hurried else patience_s)
        while (alive := [child for child in children if child.is_alive]) and (
            (now := self._clock()) < end_at
        ):
            self._wait(alive, poll_timeout_ms(end_at, now))
            if any(arrived in ENDING for arrived in self._signals.take()):
                self._is_hurried = True
                end_at = min(end_at, self._clock() + QUICK_STOP_S)
                for child in [*alive, *later]:
                    child.send(signal.SIGQUIT)
        for child in alive:
            log.warning("killed", extra=fields(child=child.place, pid=child.pid))
            child.send(signal.SIGKILL)
        # Only now: the end of one must not be waited for while others have their time prolonged.
        for child in children:
            child.forget()

    def _wait(self, children: Sequence[Child], timeout_ms: int) -> None:
        poll = select.poll()
        poll.register(self._signals.fileno(), select.POLLIN)
        for child in children:
            poll.register(child.process.sentinel, select.POLLIN)
        poll.poll(timeout_ms)
