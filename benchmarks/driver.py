"""What all load generators have in common: their command line, and how they talk to their parent.

A generator warms the server up, prints that `Tally` as a line of JSON, waits for a line on standard
input, measures, and prints another. Run by hand, it takes `</dev/null` as the line.
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

import msgspec
from tally import Tally

#: A call without an answer for so long counts as lost; no answer here takes a hundredth of it.
ANSWER_TIMEOUT_S = 30.0


class Load(Protocol):
    """A load generator that is connected to a server."""

    def measure(self, in_flight: int, seconds: float) -> Tally:
        """Keep ``in_flight`` calls open for so long, wait for the last, and count."""
        ...


def drive(connect: Callable[[str, int], AbstractContextManager[Load]], what: str | None) -> None:
    """Run a load as the command line says; ``connect`` gets an address and the calls in flight."""
    parser = argparse.ArgumentParser(description=(what or "").splitlines()[0])
    parser.add_argument("address")
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--warm-up", type=float, default=1.0, metavar="SECONDS")
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    # No cycles here, and a collection would count as the server's latency.
    gc.disable()
    with connect(options.address, options.in_flight) as load:
        warm_up = load.measure(options.in_flight, options.warm_up)
        _tell(warm_up)
        sys.stdin.readline()
        if not warm_up.unanswered:
            _tell(load.measure(options.in_flight, options.seconds))


def _tell(tally: Tally) -> None:
    sys.stdout.write(msgspec.json.encode(tally).decode() + "\n")
    sys.stdout.flush()
