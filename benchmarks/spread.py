"""A median over rounds, and how far the rounds lie apart."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median

import msgspec


class Spread(msgspec.Struct, frozen=True):
    """In the unit of what it was made of."""

    median: float
    lowest: float
    highest: float


def spread(values: Iterable[float]) -> Spread:
    """All zero where there are no values."""
    found = sorted(values)
    if not found:
        return Spread(0.0, 0.0, 0.0)
    return Spread(median(found), found[0], found[-1])
