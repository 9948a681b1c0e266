"""One request, the right answer to it, and what it may be told instead.

A request carries rows from which the right answer follows, each row in one request only: whoever
sees a row knows whose it is.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from scenario import Kind, ModelPlan

from zeropool.shared.wire.records import RemoteFailure

INVALID = "MLModelSchemaValidationException"
RAISED = "ArithmeticError"
#: Floats of the same instant, added up in different orders.
EPSILON_S = 1e-6

Row = int | str


class Trait(enum.Enum):
    """What is special about a row."""

    #: Ends every worker that starts it.
    POISON = "poison"
    #: Takes longer than the hard limit.
    HANG = "hang"
    SLOW = "slow"
    #: The model raises an exception.
    RAISES = "raises"


class Broken(Exception):  # noqa: N818 - it is the invariant that is broken
    """An invariant does not hold."""


@dataclass(slots=True, eq=False, repr=False)
class Flight:
    """A job that the gateway has sent to a worker, in the oracle's own ledger."""

    job_id: int
    attempt: int
    worker: str
    rows: int
    #: Of its worker's credit: a batch runs at a time, so more rows than that take no more.
    held_rows: int
    request: Request
    is_suspect: bool
    #: It may be with the worker, or taken back.
    is_doubtful: bool = False


@dataclass(slots=True, eq=False, repr=False)
class Request:
    """What one caller wants, and all that has become of it."""

    number: int
    client: str
    kind: Kind
    method: str
    #: None for the gateway's own methods.
    plan: ModelPlan | None
    rows: list[Row]
    timeout_s: float | None
    asked_at: float
    #: The gateway's limits that bear on it.
    max_attempts: int
    idle_s: float
    args_bytes: int = 0
    #: It came to the gateway; None while it has not.
    arrived_at: float | None = None
    #: How the gateway ended it: the name of the event, "" while it did not.
    terminal: str = ""
    #: Its client went away, for the gateway.
    is_gone: bool = False
    credit: int = 1
    data_events: int = 0
    indexes: set[int] = field(default_factory=set)
    #: Rows of a stream that workers have answered.
    computed: int = 0
    flights: dict[int, Flight] = field(default_factory=dict)
    #: Most workers that died while they had one and the same of its jobs.
    deaths: int = 0
    #: Error names that the world's state at its arrival allows.
    excuses: set[str] = field(default_factory=set)
    # At its client:
    outcome: str = ""
    items_seen: set[int] = field(default_factory=set)
    #: The caller closed the channel, or is no more.
    is_abandoned: bool = False

    def __str__(self) -> str:
        return f"request {self.number} of {self.client} ({self.method}, {len(self.rows)} rows)"

    @property
    def is_over(self) -> bool:
        """The gateway owes it nothing more."""
        return bool(self.terminal) or self.is_gone

    def expected(self, row: Row, traits: dict[Row, Trait]) -> tuple[str, int | None]:
        """The name of the error that a row must have, or none, and its prediction."""
        if isinstance(row, str):
            return INVALID, None
        if traits.get(row) is Trait.RAISES:
            return RAISED, None
        assert self.plan is not None
        return "", 3 * row + self.plan.offset

    def check_answer(self, value: object, traits: dict[Row, Trait], now: float) -> None:
        """See that an OK is the right one."""
        if self.kind is Kind.CALL:
            name, prediction = self.expected(self.rows[0], traits)
            if name or value != prediction:
                raise Broken(f"{self} got {value} instead of {name or prediction}")
        elif self.kind is Kind.BATCH:
            self._check_batch(value, traits, now)
        elif self.method != "_zerorpc_ping":
            raise Broken(f"{self} got {value}")

    def _check_batch(self, value: object, traits: dict[Row, Trait], now: float) -> None:
        assert isinstance(value, dict)
        errors = {error["index"]: error["name"] for error in value["errors"]}
        if len(value["predictions"]) != len(self.rows):
            raise Broken(f"{self} got {len(value['predictions'])} predictions")
        for index, (row, prediction) in enumerate(
            zip(self.rows, value["predictions"], strict=True)
        ):
            self.check_row(row, prediction, errors.get(index, ""), traits, now)

    def check_row(
        self, row: Row, prediction: object, error: str, traits: dict[Row, Trait], now: float
    ) -> None:
        """See that one row of a batch or a stream is answered rightly."""
        name, right = self.expected(row, traits)
        if error in ("DeadlineExceeded", "PayloadTooLarge") and prediction is None:
            self.check_excuse(error, now)
        elif (error, prediction) != (name, right):
            raise Broken(f"{self}: row {row} got {error or prediction} instead of {name or right}")

    def check_failure(self, failure: RemoteFailure, traits: dict[Row, Trait], now: float) -> None:
        """See that the error is the right answer, or that there is a reason for it."""
        if self.kind is Kind.CALL and self.expected(self.rows[0], traits)[0] == failure.name:
            return
        self.check_excuse(failure.name, now)

    def check_excuse(self, name: str, now: float) -> None:
        """See that an error that is not the row's own has a reason."""
        if name in self.excuses:
            return
        if name == "DeadlineExceeded" and self.plan is not None and self._is_late(now):
            return
        if name == "WorkerLost" and self.plan is not None and self.deaths >= self._attempts():
            return
        if name == "PayloadTooLarge" and "small replies" in self.excuses:
            return
        raise Broken(f"{self} was told {name} without a reason (deaths={self.deaths})")

    def _attempts(self) -> int:
        assert self.plan is not None
        return self.max_attempts if self.plan.info.retry_safe else 1

    def _is_late(self, now: float) -> bool:
        assert self.plan is not None and self.arrived_at is not None  # noqa: PT018
        limit_s = self.plan.info.timeout_s
        if self.timeout_s is not None:
            limit_s = min(limit_s, self.timeout_s)
        if self.kind is Kind.STREAM:
            limit_s = min(limit_s, self.idle_s)
        return now >= self.arrived_at + limit_s - EPSILON_S
