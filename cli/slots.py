"""Which child processes of `zeropool serve` should run, and when one that ended starts again.

No I/O, no clock, no processes. Times are monotonic seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from zeropool.shared.backoff import Backoff

#: A process that lived for so long has recovered: its next death is a first one again.
HEALTHY_AFTER_S = 10.0
FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 10.0


def _backoff() -> Backoff:
    return Backoff(FIRST_WAIT_S, LONGEST_WAIT_S)


@dataclass(slots=True)
class Slot:
    """A place for one child process, with its history."""

    name: str
    start_at: float
    is_running: bool = False
    started_at: float = 0.0
    deaths: int = 0
    backoff: Backoff = field(default_factory=_backoff)
    #: Apart from that of deaths: to have become ready does not excuse a worker that lives for
    #: seconds only.
    recycling: Backoff = field(default_factory=_backoff)

    def started(self, now: float) -> None:
        """A process runs in this place."""
        self.is_running = True
        self.started_at = now

    def ready(self) -> None:
        """The process does its work: whatever ended the last one is no reason to wait longer."""
        self.backoff.reset()

    def died(self, now: float) -> float:
        """The process ended by itself. Return the seconds until the next start."""
        self.deaths += 1
        return self._ended(self.backoff, now)

    def recycled(self, now: float) -> float:
        """The process ended by itself and in order, to make room for a fresh one.

        Return the seconds until the next start: none, unless it happens again and again at once.
        """
        if now - self.started_at < HEALTHY_AFTER_S:
            return self._ended(self.recycling, now)
        self.recycling.reset()
        self.is_running = False
        self.start_at = now
        return 0.0

    def _ended(self, backoff: Backoff, now: float) -> float:
        self.is_running = False
        if now - self.started_at >= HEALTHY_AFTER_S:
            backoff.reset()
        wait_s = backoff.next_s()
        self.start_at = now + wait_s
        return wait_s


class Slots:
    """All places, by name, in the order in which they start."""

    def __init__(self, names: list[str], *, now: float) -> None:
        self._slots = {name: Slot(name, start_at=now) for name in names}

    def __repr__(self) -> str:
        running = sum(slot.is_running for slot in self._slots.values())
        return f"<Slots running={running} of={len(self._slots)}>"

    def __getitem__(self, name: str) -> Slot:
        return self._slots[name]

    def add(self, name: str, now: float) -> None:
        """One place more; its process is to be started now."""
        self._slots[name] = Slot(name, start_at=now)

    def remove(self, name: str) -> None:
        """One place less; what runs in it is the caller's business."""
        del self._slots[name]

    def due(self, now: float) -> list[Slot]:
        """The places in which a process is to be started now."""
        return [
            slot for slot in self._slots.values() if not slot.is_running and slot.start_at <= now
        ]

    def next_deadline(self) -> float | None:
        """When the next process is to be started."""
        waiting = [slot.start_at for slot in self._slots.values() if not slot.is_running]
        return min(waiting, default=None)
