"""Which calls a client repeats, when, and when it gives up.

Knows the errors that say "not now" and the methods that only read. Refuses to know sockets and
clocks: times are seconds on the caller's scale.
"""

from __future__ import annotations

import math
import re
from collections.abc import Set as AbstractSet

import msgspec

from zeropool.client.given import seconds
from zeropool.shared.errors import Draining, Overloaded, WorkerLost
from zeropool.shared.methods import model_of
from zeropool.shared.wire.records import RemoteFailure

#: What a gateway answers without changing anything.
READ_ONLY = frozenset({"get_models", "get_model_metadata", "get_status"})
INTROSPECTION_PREFIX = "_zerorpc_"
#: The pool has tried such a call on several workers already: what killed them all, will again.
MOST_REPEATS_OF_LOST = 1

_RETRY_AFTER = re.compile(r"retry_after_s=(\d{1,9}(?:\.\d{1,9})?)\Z")


class RetryPolicy(msgspec.Struct, frozen=True):
    """Repeats calls that failed for want of capacity or of a living server.

    Those are calls that were answered with `Overloaded`, `Draining` or `WorkerLost` (once), and
    those whose server was lost; but never after a call's own deadline, and never a stream that
    has begun. Only calls that are safe to repeat are: reading ones, and predictions of ``models``.
    The published metadata of a model is that of the original service and does not say whether it
    is safe to repeat; a model that is not, as its author tells by ``retry_safe = False``, must not
    stand here.

    Args:
        models: qualified names of the models whose predictions may be computed twice.
        first_wait_s: about how long to wait before the first repetition; doubles from then on.
            To it comes the `retry_after_s` that an overloaded server asks for.
        longest_wait_s: how far it grows.
    """

    models: AbstractSet[str] = frozenset()
    first_wait_s: float = 0.1
    longest_wait_s: float = 2.0

    def __post_init__(self) -> None:
        """Refuse a name in place of a set of names: all its parts would be in it."""
        if isinstance(self.models, str):
            raise TypeError(f"models={self.models!r}: expected a set of names")

    def covers(self, method: str) -> bool:
        """Tell whether calls of this method are safe to repeat."""
        is_reading = method in READ_ONLY or method.startswith(INTROSPECTION_PREFIX)
        return is_reading or model_of(method) in self.models


def policy_or_none(given: object) -> RetryPolicy | None:
    """What a user gives as a client's policy.

    Raises:
        TypeError: it is none.
    """
    if given is None or isinstance(given, RetryPolicy):
        return given
    raise TypeError(f"retry={given!r}: expected a RetryPolicy")


class Tries:
    """The tries of one call."""

    def __init__(self, policy: RetryPolicy, deadline: float = math.inf) -> None:
        from zeropool.shared.backoff import Backoff  # noqa: PLC0415 - tenacity loads asyncio

        self._backoff = Backoff(seconds(policy.first_wait_s), seconds(policy.longest_wait_s))
        self._deadline = deadline
        self._lost_workers = 0

    def after_loss(self, now: float) -> float | None:
        """When to call again after the server was lost; None: not at all."""
        return self._in_time(now + self._backoff.next_s())

    def after_failure(self, failure: RemoteFailure, now: float) -> float | None:
        """When to call again after an error; None: not at all."""
        match failure.name:
            case Overloaded.wire_name:
                asked_for = _RETRY_AFTER.search(failure.message)
                after_s = float(asked_for[1]) if asked_for else 0.0
                # The backoff on top keeps all who were refused from coming back in step.
                return self._in_time(now + after_s + self._backoff.next_s())
            case WorkerLost.wire_name if self._lost_workers < MOST_REPEATS_OF_LOST:
                self._lost_workers += 1
            case Draining.wire_name:
                pass
            case _:
                return None
        return self._in_time(now + self._backoff.next_s())

    def _in_time(self, again_at: float) -> float | None:
        return again_at if again_at < self._deadline else None
