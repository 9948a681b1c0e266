"""How the calls of one method are made, from what a client was told. No I/O, no clock."""

from __future__ import annotations

import math
from typing import Any, Final

import msgspec

from zeropool.client.answered import Answered
from zeropool.client.call import Call
from zeropool.client.given import seconds_or_none
from zeropool.client.results import failure_of
from zeropool.client.retry import RetryPolicy, Tries
from zeropool.shared.errors import ProtocolError
from zeropool.shared.methods import STREAM_SUFFIX

_STREAM_SUFFIX: Final = STREAM_SUFFIX


def make_call(
    method: str,
    args: bytes,
    timeout_s: float | None,
    retry: RetryPolicy | None,
    now: float,
) -> Call:
    """A call with packed arguments, that is given up and repeated as the client was told."""
    deadline = math.inf if timeout_s is None else now + timeout_s
    return Call(
        method,
        args,
        deadline,
        sends_deadline=timeout_s is not None and _is_limited(method),
        tries=Tries(retry, deadline) if retry is not None and retry.covers(method) else None,
    )


def _is_limited(method: str) -> bool:
    # The time of a stream is its reader's own affair: only the first item has a limit.
    return not method.endswith(_STREAM_SUFFIX)


class Maker:
    """Makes many calls of one method, and says what came of them."""

    def __init__(self, method: str, timeout_s: float | None, retry: RetryPolicy | None) -> None:
        self.method = method
        #: Results that were none.
        self.failures = 0
        self._timeout_s = timeout_s
        self._after_s = math.inf if timeout_s is None else float(timeout_s)
        self._sends_deadline = timeout_s is not None and _is_limited(method)
        self._retry = retry if retry is not None and retry.covers(method) else None

    def make(self, args: bytes, now: float) -> Call:
        """One call, with its packed arguments."""
        deadline = now + self._after_s
        retry = self._retry
        tries = None if retry is None else Tries(retry, deadline)
        return Call(self.method, args, deadline, sends_deadline=self._sends_deadline, tries=tries)

    def result_of(self, call: Call) -> Any:  # noqa: ANN401 - what the server answers
        """The value of a call that has news, or an exception: no answer of a server is one."""
        outcome = call.outcome
        if isinstance(outcome, Answered):
            try:
                return outcome.value()
            except ProtocolError as error:
                self.failures += 1
                return error
        self.failures += 1
        return failure_of(call, self._timeout_s)


class Manner:
    """How a client makes its calls, where a call does not say otherwise.

    Timeouts are as users give them: seconds as a number of any kind, or None.
    """

    def __init__(self, timeout: object, retry: RetryPolicy | None) -> None:
        self.timeout_s = seconds_or_none(timeout)
        self.retry = retry

    def maker(self, method: str, timeout: object) -> Maker:
        """For calls of one method; UNSET: with the client's timeout.

        Raises:
            TypeError: the timeout is none.
        """
        timeout_s = self.timeout_s if timeout is msgspec.UNSET else seconds_or_none(timeout)
        return Maker(method, timeout_s, self.retry)
