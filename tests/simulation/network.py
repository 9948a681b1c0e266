"""Connections with their faults: delay, loss at their end, and an end that is noticed late.

A pipe keeps order; different pipes know nothing of each other, so that what was sent later on one
may arrive earlier than what was sent on another.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from clock import Clock

#: Few messages take longer, so that the usual case stays usual.
SPIKE_RATE = 0.02


class Latency:
    """How long messages take on one host or network."""

    def __init__(self, rng: Random, usual_s: float, spike_s: float) -> None:
        self._random = rng.random
        self._usual_s = usual_s
        self._spike_s = spike_s

    def draw(self) -> float:
        """The way of one message."""
        chance = self._random()
        if chance < SPIKE_RATE:
            return self._spike_s * chance / SPIKE_RATE
        return self._usual_s * (0.2 + chance)


class Pipe:
    """One direction of one connection."""

    def __init__(self, clock: Clock, latency: Latency, deliver: Callable[[bytes], None]) -> None:
        self._clock = clock
        self._draw = latency.draw
        self._deliver = deliver
        self._last_at = 0.0
        self._sent = 0
        self._arrived = 0
        #: Messages from this number on never arrive.
        self._lost_from: int | None = None

    @property
    def in_flight(self) -> int:
        """Messages that are on their way."""
        return self._sent - self._arrived

    def send(self, payload: bytes) -> None:
        """Put a message on its way; on a pipe that is cut it goes nowhere."""
        if self._lost_from is not None:
            return
        at = max(self._last_at, self._clock.now + self._draw())
        self._last_at = at
        self._clock.at(at, self._arrive, self._sent, payload)
        self._sent += 1

    def cut(self, rng: Random) -> None:
        """The connection breaks: some of what is on its way arrives, in order, the rest never."""
        if self._lost_from is None:
            self._lost_from = self._arrived + rng.randint(0, self.in_flight)

    def lose_all(self) -> None:
        """The receiver is dead."""
        self._lost_from = self._arrived

    def _arrive(self, number: int, payload: bytes) -> None:
        if self._lost_from is not None and number >= self._lost_from:
            return
        self._arrived += 1
        self._deliver(payload)
