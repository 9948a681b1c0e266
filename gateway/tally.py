"""What happened to the calls of one model, counted. No I/O, no clock.

Times are seconds. Names of outcomes come from models and are bounded: whoever invents a new
exception class for each call fills no memory and no monitoring system.
"""

from __future__ import annotations

import enum
from collections import Counter
from typing import Final

from zeropool.gateway.histogram import Histogram
from zeropool.shared import errors

#: The outcome of a call that got its result.
OK: Final = "OK"
#: The outcome of a call whose caller fell silent or vanished.
CALLER_LOST: Final = "CallerLost"
#: Stands for all names beyond the first `MAX_NAMES`.
OTHER: Final = "other"
#: Names of exceptions that are told apart, for each model; no sound model has so many.
MAX_NAMES: Final = 30
#: Longest name of an outcome; class names are shorter unless somebody generates them.
MAX_NAME_CHARS: Final = 100

#: From a fast model's prediction on an idle pool to the default `timeout_s`.
TIME_BOUNDS_S = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0),
)
#: Rows of one batch; the default `max_batch_size` is 64.
ROWS_BOUNDS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)

#: Names that Zeropool itself gives; they are always told apart.
_OWN_NAMES = frozenset(
    {OK, CALLER_LOST, OTHER}
    | {
        error.wire_name
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, errors.ZeropoolError)
    }
)


class Shed(enum.Enum):
    """Why a call was answered with `Overloaded`."""

    QUEUE = "queue"
    MEMORY = "memory"
    #: Its turn would come after its deadline.
    DEADLINE = "deadline"


class Tally:
    """Counts of one model, since the gateway's start."""

    __slots__ = (
        *(
            "batch_rows",
            "batch_s",
            "execution_s",
            "executed",
            "outcomes",
            "queue_s",
            "shed",
            "waited",
        ),
    )

    def __init__(self) -> None:
        #: Calls that ended, by the wire name of their error or `OK`.
        self.outcomes: dict[str, int] = {}
        self.shed: Counter[Shed] = Counter()
        #: From the acceptance of a call to its first task's way to a worker.
        self.queue_s = Histogram(TIME_BOUNDS_S)
        #: From a task's way to a worker to its result.
        self.execution_s = Histogram(TIME_BOUNDS_S)
        # Each costs every call some of its time; so nothing is looked up twice.
        self.waited = self.queue_s.observe
        self.executed = self.execution_s.observe
        #: What workers took for each batch, and its rows.
        self.batch_s = Histogram(TIME_BOUNDS_S)
        self.batch_rows = Histogram(ROWS_BOUNDS)

    def __repr__(self) -> str:
        return f"<Tally ended={sum(self.outcomes.values())}>"

    def ended(self, outcome: str) -> None:
        """A call is over."""
        ended = self.outcomes.get(outcome)
        if ended is None:
            outcome = self._bounded(outcome)
            ended = self.outcomes.get(outcome, 0)
        self.outcomes[outcome] = ended + 1

    def count(self) -> None:
        """Put away what was observed; to be called before it becomes much."""
        for histogram in (self.queue_s, self.execution_s, self.batch_s, self.batch_rows):
            histogram.count()

    def _bounded(self, outcome: str) -> str:
        name = outcome[:MAX_NAME_CHARS]
        if name in _OWN_NAMES or name in self.outcomes:
            return name
        named = sum(known not in _OWN_NAMES for known in self.outcomes)
        return name if named < MAX_NAMES else OTHER
