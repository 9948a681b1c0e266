"""How often each kind of trouble may be written to the log, whoever causes it.

No I/O, no clock. A flood must not fill the disk, and must not hide what else happens.
"""

from __future__ import annotations

#: Lines of one kind within one window; the workers of a whole machine may die at once.
MAX_LINES = 32
WINDOW_S = 10.0


class Complaints:
    """The lines of each kind in its present window, and what was kept silent."""

    def __init__(self) -> None:
        #: When the kind's window began, lines in it, events without a line.
        self._kinds: dict[str, tuple[float, int, int]] = {}

    def __repr__(self) -> str:
        return f"<Complaints kinds={len(self._kinds)}>"

    def told(self, kind: str, about: dict[str, object], now: float) -> dict[str, object] | None:
        """Take note of an event; None: write nothing, else the fields of its line."""
        silent = self.count(kind, now)
        if silent is None:
            return None
        return about | {"not_logged": silent} if silent else about

    def count(self, kind: str, now: float) -> int | None:
        """Take note of an event; None: write nothing, else events unwritten since the last line."""
        began_at, lines, silent = self._kinds.get(kind, (now, 0, 0))
        if now - began_at >= WINDOW_S:
            began_at, lines = now, 0
        if lines >= MAX_LINES:
            self._kinds[kind] = (began_at, lines, silent + 1)
            return None
        self._kinds[kind] = (began_at, lines + 1, 0)
        return silent
