"""Signals of one process, as facts that its loop reads. Handlers only set a flag and wake it.

Source of the meanings: gunicorn's table of signals: TERM drains, INT and QUIT are quick.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from types import FrameType
from typing import Any


class Signals:
    """Which of the watched signals have arrived. Open it in the main thread only.

    ``ignored`` signals are none of this process's business: a child leaves Ctrl-C to its parent.
    ``at_once`` is called by the handler, for what cannot wait until the loop comes round.
    """

    def __init__(
        self,
        watched: tuple[signal.Signals, ...],
        *,
        ignored: tuple[signal.Signals, ...] = (),
        at_once: Callable[[], None] = lambda: None,
    ) -> None:
        self._watched = tuple(number for number in watched if number not in ignored)
        self._ignored = ignored
        self._at_once = at_once
        self._arrived: list[signal.Signals] = []
        self._before: dict[signal.Signals, Any] = {}  # what signal.signal gives and takes
        self._wake: socket.socket | None = None
        self._woken: socket.socket | None = None

    def open(self) -> None:
        """Install the handlers. From here on `fileno` becomes readable when a signal arrives."""
        self._woken, self._wake = socket.socketpair()
        self._woken.setblocking(False)
        self._wake.setblocking(False)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        for watched in self._watched:
            self._before[watched] = signal.signal(watched, self._handle)
        for ignored in self._ignored:
            self._before[ignored] = signal.signal(ignored, signal.SIG_IGN)

    def close(self) -> None:
        """Give the signals back the effect that they had before."""
        signal.set_wakeup_fd(-1)
        for number, effect in self._before.items():
            signal.signal(number, effect)
        for end in (self._woken, self._wake):
            if end is not None:
                end.close()
        self._woken = self._wake = None

    def fileno(self) -> int:
        """File descriptor to poll."""
        return -1 if self._woken is None else self._woken.fileno()

    def take(self) -> list[signal.Signals]:
        """The signals that arrived since the last call, in order."""
        if self._woken is not None:
            try:
                while self._woken.recv(4096):
                    pass
            except BlockingIOError:
                pass
        arrived, self._arrived = self._arrived, []
        return arrived

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self._arrived.append(signal.Signals(number))
        self._at_once()
