"""Calls that were begun, whose answers are taken later."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, cast

from zeropool.client.bells import run_callback
from zeropool.client.call import Call
from zeropool.client.crew import Crew
from zeropool.client.gathering import Answers
from zeropool.client.given import seconds
from zeropool.client.outcomes import Lost
from zeropool.client.results import named, value_of
from zeropool.client.stream import Stream


class Pending:
    """The answer of one call, once it is there; what `zerorpc.Client` gives for ``async_=True``.

    Any thread may ask it, as often as it likes. ``client`` is kept: one that nobody has is closed.
    """

    def __init__(self, client: object, crew: Crew, call: Call, timeout_s: float | None) -> None:
        self._client = client
        self._crew = crew
        self._call = call
        self._timeout_s = timeout_s
        self._stream: Stream | None = None

    def __repr__(self) -> str:
        return f"<Pending {self._call!r}>"

    def get(
        self,
        block: bool = True,  # noqa: FBT001, FBT002 - gevent's AsyncResult has it so
        timeout: float | None = None,
    ) -> Any:  # noqa: ANN401 - what the server answers
        """The answer: a value, or an iterator for a stream; waits for it.

        Args:
            block: False: do not wait.
            timeout: seconds to wait here; the call goes on all the same, with a limit of its own.

        Raises:
            TimeoutError: it is not there yet.
            zerorpc.RemoteError, zerorpc.TimeoutExpired, zerorpc.LostRemote: as the call itself.
        """
        if self._stream is not None:
            return self._stream
        if not self.wait(timeout if block else 0.0):
            raise TimeoutError(f"no answer of {self._call.method} yet")
        if self._call.is_stream:
            self._stream = Stream(self._client, self._crew, self._call)
            return self._stream
        return value_of(self._call, self._timeout_s)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the answer, or so many seconds; tell whether it is there."""
        if self._call.has_news or self._stream is not None:
            return True
        if not self._crew.is_here:
            # The answer is for the process that called.
            self._call.outcome = Lost("the call was begun in another process")
            return True
        if timeout is None:
            return self._crew.wait(self._call)
        if timeout > 0.0:
            return self._crew.wait(self._call, time.monotonic() + seconds(timeout))
        self._crew.look()
        return self._call.has_news

    def ready(self) -> bool:
        """Whether the answer is there."""
        return self.wait(0.0)

    def add_done_callback(self, callback: Callable[[Pending], object]) -> None:
        """Have ``callback(self)`` called when the answer is there, or now if it is.

        It is called by the thread that learns of it, and holds up all others that wait for this
        client: it should be short. Its exceptions are logged.
        """

        def call_back() -> None:
            callback(self)

        if not self._crew.is_here:
            self.wait(0.0)
        if self._call.has_news or not self._crew.call_back(self._call, call_back):
            run_callback(call_back)


class Gathering:
    """Calls of which whoever asks wants the one that is answered next."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._answers = Answers()

    def __len__(self) -> int:
        """Calls that `next` has not given yet."""
        return len(self._answers)

    def add(self, call: Call, pending: Pending) -> None:
        """Wait for this call, too; before it is sent."""
        self._answers.add(call, pending)

    def next(self, timeout: float | None = None) -> Pending:
        """The one that is answered next; each is given once.

        Raises:
            TimeoutError: none is, within so many seconds.
            LookupError: there is none to wait for.
            zerorpc.LostRemote: this is a fork of the process in which they were begun.
        """
        answers = self._answers
        if not len(answers):
            raise LookupError("no call is awaited")
        if not answers.has_news:
            if not self._crew.is_here:
                raise named("LostRemote")("the calls were begun in another process")
            until = math.inf if timeout is None else time.monotonic() + seconds(timeout)
            self._crew.wait(answers, until)
        if not answers.has_news:
            raise TimeoutError(f"none of {len(answers)} calls is answered yet")
        return cast("Pending", answers.take())
