"""A ZeroRPC client for asyncio: the same calls, streams, errors and options as `sync`'s.

One `AsyncClient` is for all tasks of one event loop; their calls share its connections. A task that
is cancelled gives its call up, and a stream that nobody reads any more likewise.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable
from functools import partial
from types import TracebackType
from typing import Any, Self, Unpack

from msgspec import UNSET, UnsetType

from zeropool.client.aio_feed import Feed
from zeropool.client.aio_flight import AsyncFlight
from zeropool.client.aio_wires import Wires
from zeropool.client.answered import decoded
from zeropool.client.asked import BatchOptions, ManyOptions, batch_of, many_of
from zeropool.client.call import Call
from zeropool.client.core import Core
from zeropool.client.given import beat_or_none, count, seconds_or_none
from zeropool.client.making import Manner
from zeropool.client.many import Many
from zeropool.client.outcomes import Ended
from zeropool.client.results import bad_endpoint, value_of
from zeropool.client.retry import RetryPolicy, policy_or_none
from zeropool.client.window import Order
from zeropool.shared.endpoints import Use, check
from zeropool.shared.errors import ClientClosed
from zeropool.shared.wire.flow import DEFAULT_SLOTS
from zeropool.shared.wire.heartbeat import BEAT_INTERVAL_S

#: zerorpc.Client's default.
DEFAULT_TIMEOUT_S = 30.0


class AsyncClient:
    """Calls methods of one server, or of several that are alike.

    Args:
        connect_to: endpoint of the server, e.g. ``tcp://127.0.0.1:4242``, or of several.
        timeout: seconds to wait for the first answer of a call; None waits for ever, as long as the
            server's heartbeats come. It travels with the call, and a Zeropool then does not begin
            what nobody awaits any more.
        heartbeat: seconds between heartbeats; after three without any the server is lost. None:
            neither sent nor missed.
        passive_heartbeat: heartbeats of a call begin with the server's first one.
        retry: which calls to repeat; none unless it is given.
    """

    def __init__(
        self,
        connect_to: str | Iterable[str] | None = None,
        *,
        timeout: float | None = DEFAULT_TIMEOUT_S,
        heartbeat: float | None = BEAT_INTERVAL_S,
        passive_heartbeat: bool = False,
        retry: RetryPolicy | None = None,
    ) -> None:
        self._endpoints: list[str] = []
        self._manner = Manner(timeout, policy_or_none(retry))
        self._heartbeat_s = beat_or_none(heartbeat)
        self._is_passive = bool(passive_heartbeat)
        self._is_closed = False
        self._core: Core | None = None
        self._wires: Wires | None = None
        for endpoint in [connect_to] if isinstance(connect_to, str) else connect_to or ():
            self.connect(endpoint)

    def __repr__(self) -> str:
        open_calls = 0 if self._core is None else self._core.open_calls
        return f"<AsyncClient {' '.join(self._endpoints)} open={open_calls}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    # Servers

    def connect(self, endpoint: str) -> None:
        """Know one more server; it is connected to when there is a call.

        Raises:
            zmq.ZMQError: the endpoint is none.
        """
        try:
            check(endpoint, Use.CONNECT)
        except ValueError as error:
            raise bad_endpoint(endpoint, error) from error
        self._endpoints.append(endpoint)
        if self._core is not None:
            self._core.add(endpoint)

    def disconnect(self, endpoint: str) -> None:
        """Know a server no more; calls that it has are lost."""
        if endpoint in self._endpoints:
            self._endpoints.remove(endpoint)
        if self._wires is not None:
            self._wires.disconnect(endpoint)

    async def wait_connected(self, timeout_s: float) -> bool:
        """Wait until a server is there; False when none is after ``timeout_s`` seconds."""
        try:
            async with asyncio.timeout(seconds_or_none(timeout_s)):
                await self._opened().connected()
        except TimeoutError:
            return False
        return True

    @property
    def connection_failure(self) -> str:
        """Why the last try to connect failed, after the endpoint; empty where none has."""
        return "" if self._core is None else self._core.servers.failure

    async def close(self) -> None:
        """Close the connections; calls and streams that are open end with `zerorpc.LostRemote`."""
        self._is_closed = True
        if self._wires is not None:
            await self._wires.close()

    def _opened(self) -> Wires:
        loop = asyncio.get_running_loop()
        if self._is_closed:
            raise ClientClosed("the client is closed")
        if self._wires is None:
            self._core = Core(heartbeat_s=self._heartbeat_s, is_passive=self._is_passive)
            for endpoint in self._endpoints:
                self._core.add(endpoint)
            self._wires = Wires(self._core, loop)
        if self._wires.loop is not loop:
            raise RuntimeError("an AsyncClient is for the event loop on which it was used first")
        return self._wires

    # Calls

    def __getattr__(self, method: str) -> Callable[..., Awaitable[Any]]:
        # The machinery of copying and the like asks for names that no server has.
        if method.startswith("__"):
            raise AttributeError(method)
        return partial(self, method)

    async def __call__(
        self,
        method: str,
        *args: object,
        timeout: float | UnsetType | None = UNSET,  # noqa: ASYNC109 - as `Client` has it
        slots: int = DEFAULT_SLOTS,
    ) -> Any:  # noqa: ANN401 - what the server answers
        """Call a method; a stream comes back as an `AsyncStream` over its items.

        Args:
            method: its name.
            args: its arguments; what numpy and pandas hold becomes numbers, lists and maps.
            timeout: as the client's, for this call.
            slots: most items of a stream that wait here for their reader.

        Raises:
            zerorpc.RemoteError: the server answered with an error.
            zerorpc.TimeoutExpired: there was no answer in time.
            zerorpc.LostRemote: the server fell silent, or the connection to it broke.
            Overloaded: too many calls wait for a server already.
            ClientClosed: the client is closed.
            TypeError, OverflowError, UnicodeEncodeError: an argument has no MessagePack form, or an
                option is none.
        """
        wires = self._wires
        # As a rule it is open, and this loop's.
        if wires is None or self._is_closed or wires.loop is not asyncio.get_running_loop():
            wires = self._opened()
        manner = self._manner
        timeout_s = manner.timeout_s if timeout is UNSET else seconds_or_none(timeout)
        if type(slots) is not int:
            slots = count(slots)
        call = wires.begin(method, args, timeout_s, manner.retry, slots)
        try:
            await call.owner
        except (asyncio.CancelledError, GeneratorExit):
            wires.give_up(call)
            raise
        if call.is_stream:
            return AsyncStream(wires, call)
        return value_of(call, timeout_s)

    call = __call__

    # Many calls

    async def predict_batch(
        self, model: str, rows: object, **options: Unpack[BatchOptions]
    ) -> list[Any]:
        """Predict many rows by `Q_predict_batch`, in pieces where they are many.

        Args:
            model: qualified name.
            rows: a list, a numpy array or a pandas frame.
            options: see `BatchOptions`.

        Returns:
            The predictions, in the rows' order.

        Raises:
            zerorpc.RemoteError, zerorpc.TimeoutExpired, zerorpc.LostRemote: as for any call.
            TypeError, ValueError: a row has no MessagePack form, or an option is none.
        """
        batch = batch_of(model, rows, self._manner, **options)
        async with AsyncFlight(self._opened(), batch) as flight:
            while await flight.goes_on():
                pass
        return batch.result()

    def predict_many(
        self, model: str, rows: object, **options: Unpack[ManyOptions]
    ) -> AsyncGenerator[Any]:
        """Predict each row by a call of its own, with a window of them in flight.

        Args:
            model: qualified name.
            rows: any iterable, also an endless one, or an asynchronous one, of which a few are
                taken ahead; a numpy array or a pandas frame.
            options: see `ManyOptions`.

        Returns:
            The predictions, in the rows' order. Whoever stops early gives up what is in flight: at
            once with `aclose`, otherwise when the iterator is collected.

        Raises:
            zerorpc.RemoteError, zerorpc.TimeoutExpired, zerorpc.LostRemote: as for any call.
            TypeError, ValueError: a row has no MessagePack form, or an option is none.
        """
        fed = Feed(rows) if isinstance(rows, AsyncIterable) else rows
        return self._taken(many_of(model, fed, self._manner, Order.INPUT, **options), fed)

    def predict_as_completed(
        self, model: str, rows: object, **options: Unpack[ManyOptions]
    ) -> AsyncGenerator[tuple[int, Any]]:
        """As `predict_many`, but pairs of a row's number and its prediction, as they come."""
        fed = Feed(rows) if isinstance(rows, AsyncIterable) else rows
        return self._taken(many_of(model, fed, self._manner, Order.ARRIVAL, **options), fed)

    async def _taken(self, many: Many, rows: object) -> AsyncGenerator[Any]:
        async with self._flight(many, rows) as flight:
            while await flight.goes_on():
                for each in many.take():
                    yield each
                many.check()

    def _flight(self, many: Many, rows: object) -> AsyncFlight:
        return AsyncFlight(self._opened(), many, rows if isinstance(rows, Feed) else None)


class AsyncStream:
    """The items of a stream, as they come: for one reader, with `async for`."""

    def __init__(self, wires: Wires, call: Call) -> None:
        self._wires = wires
        self._call = call

    def __repr__(self) -> str:
        return f"<AsyncStream of {self._call}>"

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:  # noqa: ANN401 - what the server sends
        """The next item.

        Raises:
            StopAsyncIteration: the stream is complete, or was given up.
            zerorpc.RemoteError, zerorpc.LostRemote: as for any call.
        """
        call, wires = self._call, self._wires
        while not call.items:
            if call.outcome is not None:
                self._end()
                raise StopAsyncIteration
            call.owner = future = wires.loop.create_future()
            await future
        item = call.items.popleft()
        if call.wants_credit:
            wires.read(call)
        return decoded(item)

    def _end(self) -> None:
        call = self._call
        if not isinstance(call.outcome, Ended):
            # An error is raised once. A value in the midst of a stream ends it, as in zerorpc.
            try:
                value_of(call, None)
            finally:
                call.outcome = Ended()

    async def aclose(self) -> None:
        """Read no more; the server notices by its own means, as the protocol has no word for it."""
        self._give_up()

    def __del__(self) -> None:
        # It may be another thread that collects garbage, and any time.
        if self._call.outcome is None and not self._wires.loop.is_closed():
            self._wires.loop.call_soon_threadsafe(self._wires.give_up, self._call)

    def _give_up(self) -> None:
        if self._call.outcome is None:
            self._wires.end(self._call)
        if self._call.items:
            self._call.items.clear()
