"""What Zeropool claims to be in comparison, and whether the points of a run bear it out. No I/O.

A claim compares two servers within each round, between points that were measured one after the
other, and only then reduces the ratios to a median: what disturbs a shared machine disturbs both
halves of a pair. `None` stands for a comparison for which no round has both points.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from point import Point
from spread import Spread, spread

#: What can be compared: right answers a second, milliseconds, microseconds.
FIGURES: dict[str, Callable[[Point], float]] = {
    "calls/s": lambda point: point.calls_per_s,
    "p50": lambda point: point.tally.p50_ms,
    "CPU per call": lambda point: point.cpu_us(""),
}


class Claim(msgspec.Struct, frozen=True):
    """One server's figure divided by another's, at the same number of calls in flight."""

    in_flight: int
    figure: str
    against: str
    #: More is better where this is a lower bound, less where it is an upper one.
    at_least: float | None = None
    at_most: float | None = None
    #: Beyond the bound, what is aimed at.
    aim: float | None = None
    of: str = "zeropool-2"

    def bound(self) -> str:
        """The bound in words."""
        words = f"≥ {self.at_least:g}" if self.at_least is not None else f"≤ {self.at_most:g}"
        return words + (f", aim {self.aim:g}" if self.aim is not None else "")


class Verdict(msgspec.Struct, frozen=True):
    """A claim and what was measured of it."""

    claim: Claim
    ratio: Spread | None
    #: The median keeps to the bound.
    holds: bool | None


MOSECS = ("mosec", "mosec-default", "mosec-single")
PROXIES = ("proxy", "proxy-dealer")

#: Mosec is set up in three ways, and the proxy's worker is written in two.
CLAIMS: tuple[Claim, ...] = (
    *(Claim(64, "calls/s", mosec, at_least=2, aim=3) for mosec in MOSECS),
    Claim(64, "calls/s", "zerorpc-original", at_least=15),
    Claim(256, "calls/s", "zerorpc-original", at_least=20),
    *(
        Claim(in_flight, "calls/s", proxy, at_least=1)
        for in_flight in (64, 256)
        for proxy in PROXIES
    ),
    Claim(1, "p50", "zerorpc", at_most=1.2),
    *(Claim(1, "p50", mosec, at_most=0.5) for mosec in MOSECS),
    *(
        Claim(in_flight, "CPU per call", mosec, at_most=0.25)
        for in_flight in (64, 256)
        for mosec in MOSECS
    ),
)


def judge(claim: Claim, points: Sequence[Point]) -> Verdict:
    """Compare round by round."""
    mine, theirs = (
        {
            point.round: FIGURES[claim.figure](point)
            for point in points
            if point.is_clean and (point.server, point.in_flight) == (server, claim.in_flight)
        }
        for server in (claim.of, claim.against)
    )
    ratios = [mine[number] / theirs[number] for number in mine if theirs.get(number)]
    if not ratios:
        return Verdict(claim, None, None)
    ratio = spread(ratios)
    holds = (claim.at_least is None or ratio.median >= claim.at_least) and (
        claim.at_most is None or ratio.median <= claim.at_most
    )
    return Verdict(claim, ratio, holds)
