"""How the calls of one method are made, from what a client was told. No I/O, no clock."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from zeropool.client.answered import Answered
from zeropool.client.call import Call
from zeropool.client.given import seconds_or_none
from zeropool.client.results import failure_of
from zeropool.client.retry import RetryPolicy, Tries
from zeropool.shared.errors import ProtocolError
from zeropool.shared.methods import STREAM_SUFFIX


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
        deadline=deadline,
        # The time of a stream is its reader's own affair: only the first item has a limit.
        sends_deadline=timeout_s is not None and not method.endswith(STREAM_SUFFIX),
        tries=Tries(retry, deadline) if retry is not None and retry.covers(method) else None,
    )


class Maker:
    """Makes many calls of one method."""

    def __init__(self, method: str, timeout_s: float | None, retry: RetryPolicy | None) -> None:
        self.method = method
        self._timeout_s = timeout_s
        self._retry = retry

    def make(self, args: bytes, now: float) -> Call:
        """One call, with its packed arguments."""
        return make_call(self.method, args, self._timeout_s, self._retry, now)

    def result_of(self, call: Call) -> Any:  # noqa: ANN401 - what the server answers
        """The value of a call that has news, or an exception: no answer of a server is one."""
        outcome = call.outcome
        if not isinstance(outcome, Answered):
            return failure_of(call, self._timeout_s)
        try:
            return outcome.value()
        except ProtocolError as error:
            return error


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
