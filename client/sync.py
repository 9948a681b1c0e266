"""A blocking ZeroRPC client for any number of threads, in the place of `zerorpc.Client`."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable
from functools import partial
from types import TracebackType
from typing import Any, Self, Unpack

from zeropool.client.asked import BatchOptions, ManyOptions, batch_of, many_of
from zeropool.client.asking import ask, new_call
from zeropool.client.call import Call
from zeropool.client.core import Core
from zeropool.client.crew import Crew
from zeropool.client.flight import Flight
from zeropool.client.given import beat_or_none, count, seconds, seconds_or_none
from zeropool.client.making import Manner
from zeropool.client.many import Many
from zeropool.client.pending import Gathering, Pending
from zeropool.client.results import bad_endpoint
from zeropool.client.retry import RetryPolicy, policy_or_none
from zeropool.client.stream import Stream
from zeropool.client.window import Order
from zeropool.shared.endpoints import Use, check
from zeropool.shared.wire.flow import DEFAULT_SLOTS
from zeropool.shared.wire.heartbeat import BEAT_INTERVAL_S

#: zerorpc.Client's default.
DEFAULT_TIMEOUT_S = 30.0
#: The options of a call; ``async`` is a keyword now, and zerorpc has both spellings.
_OPTIONS = frozenset({"timeout", "slots", "async", "async_"})
#: Two threads of a forked child may be the first to call.
_AFTER_FORK = threading.Lock()


class Client:
    """Calls methods of one server, or of several that serve the same.

    Every attribute that is not listed here is a method of the server: ``client.get_models()``;
    ``client("open")`` calls those whose names are taken. Any number of threads may call at once;
    after a fork, the child has connections of its own.

    Args:
        connect_to: a server's endpoint, such as ``tcp://127.0.0.1:4242``, or several.
        context: not used, as there is no ZeroMQ context; it is here as it is in `zerorpc.Client`.
        timeout: seconds to wait for the first answer of a call; None waits for ever, as long as the
            server's heartbeats come. It travels with the call, and a Zeropool then does not begin
            what nobody awaits any more.
        heartbeat: seconds between heartbeats; after three without any, the server is lost. None:
            neither sends any nor misses any.
        passive_heartbeat: begin to send and to miss them with the server's first one.
        timeout_s: the same as ``timeout``.
        heartbeat_s: the same as ``heartbeat``.
        retry: which calls to repeat; none unless it is given.
    """

    def __init__(  # noqa: PLR0913 - those of zerorpc.Client, and ours
        self,
        connect_to: str | Iterable[str] | None = None,
        context: object = None,  # noqa: ARG002 - see below
        timeout: float | None = DEFAULT_TIMEOUT_S,
        heartbeat: float | None = BEAT_INTERVAL_S,
        passive_heartbeat: bool = False,  # noqa: FBT001, FBT002 - zerorpc.Client has it so
        *,
        timeout_s: float | None = DEFAULT_TIMEOUT_S,
        heartbeat_s: float | None = BEAT_INTERVAL_S,
        retry: RetryPolicy | None = None,
    ) -> None:
        self._timeout_s = seconds_or_none(timeout if timeout_s == DEFAULT_TIMEOUT_S else timeout_s)
        self._heartbeat_s = beat_or_none(
            heartbeat if heartbeat_s == BEAT_INTERVAL_S else heartbeat_s
        )
        self._is_passive = bool(passive_heartbeat)
        self._retry = policy_or_none(retry)
        self._endpoints: list[str] = []
        self._is_closed = False
        self._crew = self._new_crew()
        if connect_to:
            self.connect(connect_to)

    def __repr__(self) -> str:
        return f"<Client {', '.join(self._endpoints)} open={self._crew.core.open_calls}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if sys.is_finalizing():
            # The standby thread stands still, whatever it holds; the system closes the sockets.
            return
        # A constructor that failed has left no crew.
        with contextlib.suppress(AttributeError):
            self.close()

    # Connections

    def connect(self, endpoint: str | Iterable[str], resolve: bool = True) -> list[None]:  # noqa: ARG002, FBT001, FBT002
        """Have calls answered by this server, or these, too.

        The connection is made by the first call, which waits for a server that starts later. With
        several, calls go to the one that has the fewest, and to those that are there.

        Args:
            endpoint: ``tcp://HOST:PORT`` or ``ipc://PATH``, or several.
            resolve: not used: no middleware resolves endpoints here.

        Raises:
            zmq.ZMQError: the endpoint is none.
            ClientClosed: the client is closed.
        """
        if isinstance(endpoint, bytes):
            endpoint = endpoint.decode()
        endpoints = [endpoint] if isinstance(endpoint, str) else list(endpoint)
        for one in endpoints:
            try:
                check(one, Use.CONNECT)
            except ValueError as error:
                raise bad_endpoint(one, error) from error
        crew = self._here()
        for one in endpoints:
            self._endpoints.append(one)
            crew.add(one)
        return [None] * len(endpoints)

    def disconnect(self, endpoint: str, resolve: bool = True) -> None:  # noqa: ARG002, FBT001, FBT002
        """Have this server asked no more; calls that it has not answered are lost."""
        if endpoint in self._endpoints:
            self._endpoints.remove(endpoint)
            self._here().remove(endpoint)

    def bind(self, endpoint: str, resolve: bool = True) -> None:  # noqa: FBT001, FBT002
        """Refused, so that it is not taken for a method of the server.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(f"a client connects to its servers; it does not bind {endpoint}")

    def close(self) -> None:
        """Close the connections; calls and streams that are open end with `zerorpc.LostRemote`."""
        self._is_closed = True
        if self._crew.is_here:
            self._crew.close()
        else:
            self._crew.abandon()

    def wait_connected(self, timeout_s: float) -> bool:
        """Wait until a server is there; False when none is after ``timeout_s`` seconds."""
        return self._here().wait_connected(time.monotonic() + seconds(timeout_s))

    @property
    def connection_failure(self) -> str:
        """Why the last try to connect failed, after the endpoint; empty where none has."""
        return self._here().core.servers.failure

    def _new_crew(self) -> Crew:
        crew = Crew(Core(heartbeat_s=self._heartbeat_s, is_passive=self._is_passive))
        for endpoint in self._endpoints:
            crew.add(endpoint)
        return crew

    def _here(self) -> Crew:
        """This process's crew."""
        crew = self._crew
        if not crew.is_here:
            with _AFTER_FORK:
                crew = self._crew
                if not crew.is_here:
                    # The parent's sockets are the parent's; its threads did not come along.
                    crew.abandon()
                    crew = self._crew = self._new_crew()
                    if self._is_closed:
                        crew.close()
        return crew

    # Calls

    def __getattr__(self, method: str) -> Callable[..., Any]:
        if method.startswith("__"):
            # Python's own protocols, such as copying, are no methods of a server.
            raise AttributeError(method)
        return partial(self, method)

    def __call__(self, method: str, *args: object, **options: Any) -> Any:  # noqa: ANN401
        """Call a method; a stream comes back as an iterator over its items.

        Args:
            method: its name.
            args: its arguments; ZeroRPC has none with names.
            options: ``timeout`` (seconds, None: for ever) instead of the client's; ``slots``: most
                items of a stream that wait here for their reader; ``async_=True`` (or ``async``):
                do not wait, return a `Pending`.

        Raises:
            zerorpc.RemoteError: the server answered with an error.
            zerorpc.TimeoutExpired: there was no answer in time.
            zerorpc.LostRemote: the server fell silent, or the connection to it broke.
            Overloaded: no server takes calls, and too many wait for one already.
            ClientClosed: the client is closed.
            TypeError, OverflowError, UnicodeEncodeError: an argument has no MessagePack form, or an
                option is none.
        """
        timeout_s = self._timeout_s
        slots = DEFAULT_SLOTS
        if options:
            if not options.keys() <= _OPTIONS:
                unknown = ", ".join(sorted(options.keys() - _OPTIONS))
                raise TypeError(
                    f"{unknown}: a call takes no such option, and ZeroRPC no named argument"
                )
            timeout_s = seconds_or_none(options.get("timeout", timeout_s))
            slots = count(options.get("slots", slots))
            if options.get("async_") or options.get("async"):
                return self._begin(method, args, timeout_s, slots)
        crew = self._crew
        if not crew.is_here:
            crew = self._here()
        answer = ask(crew, method, args, timeout_s, self._retry, slots)
        return Stream(self, crew, answer) if type(answer) is Call else answer

    def call(self, method: str, *args: object) -> Any:  # noqa: ANN401 - what the server answers
        """Call a method: ``client.call("m", 1)`` is ``client("m", 1)``."""
        return Client.__call__(self, method, *args)

    def call_async(self, method: str, *args: object, gathering: Gathering | None = None) -> Pending:
        """Begin a call and do not wait for it; ``gathering`` is told when it is answered."""
        return self._begin(method, args, self._timeout_s, DEFAULT_SLOTS, gathering)

    def gather(self) -> Gathering:
        """Something that tells which of many calls is answered next; see `call_async`."""
        return Gathering(self._here())

    def _begin(
        self,
        method: str,
        args: tuple[object, ...],
        timeout_s: float | None,
        slots: int,
        gathering: Gathering | None = None,
    ) -> Pending:
        crew = self._here()
        call, now = new_call(method, args, timeout_s, self._retry, slots)
        pending = Pending(self, crew, call, timeout_s)
        if gathering is not None:
            gathering.add(call, pending)
        crew.make([call], now)
        crew.attend()
        return pending

    # Many calls

    def predict_batch(self, model: str, rows: object, **options: Unpack[BatchOptions]) -> list[Any]:
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
        batch = batch_of(model, rows, Manner(self._timeout_s, self._retry), **options)
        with Flight(self._here(), batch) as flight:
            while flight.goes_on():
                pass
        return batch.result()

    def predict_many(
        self, model: str, rows: object, **options: Unpack[ManyOptions]
    ) -> Generator[Any, None, None]:
        """Predict each row by a call of its own, with a window of them in flight.

        Args:
            model: qualified name.
            rows: any iterable, also an endless one, a numpy array or a pandas frame.
            options: see `ManyOptions`.

        Returns:
            The predictions, in the rows' order. Whoever stops early gives up what is in flight.

        Raises:
            zerorpc.RemoteError, zerorpc.TimeoutExpired, zerorpc.LostRemote: as for any call.
            TypeError, ValueError: a row has no MessagePack form, or an option is none.
        """
        return self._taken(self._many(model, rows, Order.INPUT, options))

    def predict_as_completed(
        self, model: str, rows: object, **options: Unpack[ManyOptions]
    ) -> Generator[tuple[int, Any], None, None]:
        """As `predict_many`, but pairs of a row's number and its prediction, as they come."""
        return self._taken(self._many(model, rows, Order.ARRIVAL, options))

    def _many(self, model: str, rows: object, order: Order, options: ManyOptions) -> Many:
        return many_of(model, rows, Manner(self._timeout_s, self._retry), order, **options)

    def _taken(self, many: Many) -> Generator[Any, None, None]:
        with Flight(self._here(), many) as flight:
            while flight.goes_on():
                yield from many.take()
                many.check()
