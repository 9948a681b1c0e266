"""The connections and the one timer of an asyncio client: its core's shell, without any policy.

asyncio's own transports move the bytes, on whatever loop runs. What is called within one turn of
the loop leaves together, in one write for each connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Iterable
from typing import Final, cast

from zeropool.client.call import Call
from zeropool.client.commands import Connect
from zeropool.client.core import Core
from zeropool.client.foreign import ENCODER
from zeropool.client.link import Link
from zeropool.client.making import make_call
from zeropool.client.outcomes import Ended
from zeropool.client.retry import RetryPolicy
from zeropool.shared.endpoints import Ipc, parse

#: What is on its way out when the client closes has this long to leave, if the server reads slowly.
LINGER_S: Final = 1.0
#: As much as asyncio's own reads take at most.
READ_BYTES: Final = 256 * 1024
_encode: Final = ENCODER.encode
_monotonic: Final = time.monotonic
_HUNG_UP: Final = "the server has hung up"


class Wire(asyncio.BufferedProtocol):
    """One connection that the core has asked for, from the attempt to its end.

    It brings the buffer that is read into: asyncio's own way is to ask the system for a large one,
    and to give most of it back, at each read.
    """

    def __init__(self, wires: Wires, link: Link) -> None:
        self.link = link
        self.attempt: asyncio.Task[None] | None = None
        self.transport: asyncio.Transport | None = None
        #: The transport has enough to send already.
        self.is_full = False
        self._is_closed = asyncio.Event()
        self._wires = wires
        self._buffer = bytearray(READ_BYTES)
        self._view = memoryview(self._buffer)

    def __repr__(self) -> str:
        return f"<Wire {self.link.endpoint} is_full={self.is_full}>"

    async def connect(self) -> None:
        """Connect, or tell that it cannot be."""
        loop = asyncio.get_running_loop()
        endpoint = parse(self.link.endpoint)
        try:
            if isinstance(endpoint, Ipc):
                await loop.create_unix_connection(lambda: self, endpoint.path)
            else:
                await loop.create_connection(lambda: self, endpoint.host, endpoint.port)
        except OSError as error:
            self._wires.ended(self, error.strerror or str(error))
        except UnicodeError:
            self._wires.ended(self, "the host is no name")

    def send(self) -> None:
        """Take what the link has to say, unless the connection has ended and only waits to tell."""
        transport = self.transport
        if transport is not None and self.link.has_outgoing and not transport.is_closing():
            transport.write(self.link.take_outgoing())

    async def finish(self) -> None:
        """Return when all that was sent is read: the other end closes then.

        Answers that come meanwhile are read and not looked at: closing a socket that holds unread
        bytes would take back what the other end has not read.
        """
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write_eof()
            await self._is_closed.wait()

    def hang_up(self) -> None:
        """Let go of it, whatever it still has to send."""
        if self.transport is not None:
            self.transport.abort()
        elif self.attempt is not None:
            self.attempt.cancel()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """As asyncio reports it."""
        self.transport = cast("asyncio.Transport", transport)
        self._wires.made(self)

    def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002 - asyncio has none to give
        """As asyncio asks for it."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """As asyncio reports it."""
        self._wires.received(self, bytes(self._view[:nbytes]))

    def pause_writing(self) -> None:
        """As asyncio reports it."""
        self.is_full = True

    def resume_writing(self) -> None:
        """As asyncio reports it."""
        self.is_full = False
        self._wires.flush()

    def eof_received(self) -> None:
        """As asyncio reports it; the transport closes next."""
        self._wires.ended(self, _HUNG_UP)

    def connection_lost(self, exc: Exception | None) -> None:
        """As asyncio reports it."""
        self.transport = None
        self._is_closed.set()
        self._wires.ended(self, str(exc or _HUNG_UP))


class Wires:
    """All connections of one client's core. Each call's owner is a future, or looks like one."""

    def __init__(self, core: Core, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._new_future = loop.create_future
        self._core = core
        self._wires: dict[Link, Wire] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._is_flush_due = False
        #: The flush that is due comes after what lies in the sockets now.
        self._is_reading_first = False
        self._soon: asyncio.Handle | None = None
        #: Who waits for a server to be there.
        self._waiters: set[asyncio.Future[None]] = set()

    def __repr__(self) -> str:
        return f"<Wires {list(self._wires.values())} of {self._core}>"

    # Calls

    def begin(
        self,
        method: str,
        args: tuple[object, ...],
        timeout_s: float | None,
        retry: RetryPolicy | None,
        slots: int,
    ) -> Call:
        """Make a call that a future of this loop owns, and take it.

        Raises:
            Overloaded: too much waits for a server already.
            TypeError, OverflowError, UnicodeEncodeError: an argument has no MessagePack form.
        """
        packed = _encode(args)
        now = _monotonic()
        call = make_call(method, packed, timeout_s, retry, now)
        call.slots = slots
        call.owner = self._new_future()
        self.submit(call, now)
        return call

    def submit(self, call: Call, now: float) -> None:
        """Take a call.

        Raises:
            Overloaded: too much waits for a server already.
        """
        core = self._core
        has_rested = core.submit(call, now)
        if core.wake_at < self._timer_at:
            self._arm(now)
        if has_rested:
            self._flush_after_reading()
        elif self._is_flush_due:
            return
        elif call.link is not None and len(call.link.calls) == 1:
            # Nothing is in flight beside it, so nothing else is about to be sent with it.
            self.flush()
        else:
            self._flush_soon()

    def give_up(self, call: Call) -> None:
        """Nobody waits for this call any more."""
        self._core.give_up(call)

    def end(self, call: Call) -> None:
        """Nobody wants more of this call, also not whoever waits for it."""
        self._core.give_up(call)
        call.outcome = Ended()
        _tell([call])

    def read(self, call: Call) -> None:
        """The reader of a stream wants more."""
        self._core.read(call)
        if call.link is not None and call.link.has_outgoing:
            self._flush_soon()

    # Connections

    async def connected(self) -> None:
        """Return when a server is there."""
        self._core.connect(_monotonic())
        self.flush()
        while not self._core.servers.is_connected:
            waiter = self.loop.create_future()
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)

    def disconnect(self, endpoint: str) -> None:
        """Know a server no more."""
        _tell(self._core.remove(endpoint, _monotonic()))
        self.flush()

    async def close(self) -> None:
        """End all calls and connections."""
        wires = list(self._wires.values())
        busy = [wire for wire in wires if wire.link.calls]
        for wire in busy:
            wire.send()
        _tell(self._core.close())
        self._core.take_commands()
        if self._timer is not None:
            self._timer.cancel()
        self._wires.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                for wire in busy:
                    await wire.finish()
        for wire in wires:
            wire.hang_up()

    def made(self, wire: Wire) -> None:
        """There is a connection: bytes can flow."""
        if self._wires.get(wire.link) is not wire:
            wire.hang_up()
            return
        self._core.connected(wire.link, _monotonic())
        self.flush()

    def received(self, wire: Wire, data: bytes) -> None:
        """Bytes have come."""
        if self._wires.get(wire.link) is not wire:
            return
        core = self._core
        _tell(core.received(wire.link, data, _monotonic()))
        # Within the same turn, but after those who were told: what they call next goes along.
        self._flush_soon()
        if self._waiters and core.servers.is_connected:
            _tell_futures(self._waiters)

    def ended(self, wire: Wire, reason: str) -> None:
        """There is no connection, or no more."""
        if self._wires.get(wire.link) is not wire:
            return
        del self._wires[wire.link]
        _tell(self._core.disconnected(wire.link, _monotonic(), reason))
        self._flush_soon()

    def flush(self) -> None:
        """Do what the core says, and send what there is to send."""
        self._is_flush_due = self._is_reading_first = False
        core = self._core
        for command in core.take_commands():
            if isinstance(command, Connect):
                self._connect(command.link)
            else:
                wire = self._wires.pop(command.link, None)
                if wire is not None:
                    wire.hang_up()
        for link, wire in self._wires.items():
            if link.has_outgoing and not wire.is_full:
                wire.send()
        if core.wake_at < self._timer_at:
            self._arm(_monotonic())

    def _flush_soon(self) -> None:
        if not self._is_flush_due:
            self._is_flush_due = True
            self._soon = self.loop.call_soon(self.flush)

    def _flush_after_reading(self) -> None:
        """News of a connection's end come before what would be sent there."""
        if self._is_reading_first:
            return
        if self._soon is not None:
            self._soon.cancel()
        self._is_flush_due = self._is_reading_first = True
        self._after_reading(self.flush)

    def _connect(self, link: Link) -> None:
        wire = Wire(self, link)
        self._wires[link] = wire
        wire.attempt = self.loop.create_task(wire.connect())

    # Time

    def _arm(self, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = self._core.wake_at
        # A server that spoke while the loop was busy was not silent.
        due_after_s = max(0.0, self._timer_at - now)
        self._timer = self.loop.call_later(due_after_s, self._after_reading, self._tick)

    def _after_reading(self, callback: Callable[[], None]) -> None:
        """Have it called when what lies in the sockets now is delivered.

        Loops differ in when they look at them within a turn, so a whole one has to pass.
        """
        self.loop.call_soon(self.loop.call_soon, callback)

    def _tick(self) -> None:
        self._timer, self._timer_at = None, math.inf
        _tell(self._core.tick(_monotonic()))
        self.flush()


def _tell(news: Iterable[Call]) -> None:
    for call in news:
        owner = call.owner
        if not owner.done():
            owner.set_result(call)


def _tell_futures(futures: Iterable[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)
