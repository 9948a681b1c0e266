"""The clients' side of the gateway's shell: requests to the core, and what it says to them.

It contains no policy: what arrives goes into the core, what the core commands goes out; a client
that is gone, or does not read, is reported to the core and costs nobody else anything.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from typing import Final

from zeropool.gateway.core import Gateway
from zeropool.gateway.head_start import LEAST_CALLS, Habit
from zeropool.gateway.unread import Unread
from zeropool.shared.config import GatewaySettings
from zeropool.shared.ports.callers import READ_BYTES, Caller
from zeropool.shared.ports.connections import Connections
from zeropool.shared.ports.listening import Port, listen, unlink_ipc
from zeropool.shared.ports.reception import MAX_DRAIN, MIB, Reception, Report
from zeropool.shared.wire.kinds import Kind
from zeropool.shared.wire.records import Client, Route

#: A connection ends over this limit; the configured one, which gives the caller a named error, must
#: be met first.
FRAME_MARGIN_BYTES: Final = MIB
#: At the end, requests that are still on their way get so long to come, and all together.
LAST_REQUEST_S: Final = 0.1
LAST_REQUESTS_S: Final = 1.0
#: And then clients so long to take what was sent, and hang up.
FAREWELL_S: Final = 1.0


class ClientPort(Reception):
    """The port for clients.

    Args:
        carry_out: does what the core commands; `step` may call it before it is done.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the whole of what the port is given
        self,
        settings: GatewaySettings,
        core: Gateway,
        connections: Connections,
        report: Report,
        port: Port,
        carry_out: Callable[[], None],
    ) -> None:
        super().__init__(
            Kind.ROUTER,
            connections,
            report,
            who="client",
            prefix="",
            max_message_bytes=settings.max_request_bytes + FRAME_MARGIN_BYTES,
            max_unfinished_bytes=settings.max_held_bytes,
        )
        self._settings = settings
        self._port = port
        self._core = core
        self._carry_out = carry_out
        #: Of clients that have sent many requests together.
        self._habits: dict[Client, Habit] = {}
        self._unread = Unread(
            max_client_bytes=settings.max_unread_bytes,
            max_total_bytes=settings.max_held_bytes,
            max_wait_s=settings.max_unread_s,
        )

    @property
    def has_unread(self) -> bool:
        """Replies wait for clients."""
        return bool(self._unread)

    @property
    def unread_bytes(self) -> int:
        """Bytes of replies that wait for clients."""
        return self._unread.held_bytes

    @property
    def connections(self) -> int:
        """Number of open connections."""
        return len(self._by_fd)

    def open(self, epoll: select.epoll) -> None:
        """Listen.

        Raises:
            ConfigError: the endpoint cannot be bound.
        """
        self._listen(listen(self._settings.bind, "gateway.bind", self._port), epoll)

    def close(self, clock: Callable[[], float]) -> None:
        """Hang up, when clients have taken what was sent."""
        unlink_ipc(self._settings.bind)
        self._listener.close()
        for caller in list(self._by_fd.values()):
            # To close a socket in which something lies unread would throw away what the peer has
            # not read either.
            try:
                caller.sock.shutdown(socket.SHUT_WR)
            except OSError:
                self._forget(caller)
                continue
            # Only its end is waited for; a place for more to say would be told of for ever.
            self._epoll.modify(caller.fd, select.EPOLLIN)
        until = clock() + FAREWELL_S
        while self._by_fd and clock() < until:
            for fd, _ in self._epoll.poll(LAST_REQUEST_S, MAX_DRAIN):
                self._throw_away(fd)
        self._close()

    def _throw_away(self, fd: int) -> None:
        caller = self._by_fd.get(fd)
        if caller is None:
            return
        try:
            if caller.sock.recv(READ_BYTES):
                return
        except BlockingIOError:
            return
        except OSError:
            # It has hung up in its own way.
            pass
        self._forget(caller)

    def next_deadline(self) -> float:
        """As of any port, or when the first client has not read for too long."""
        return min(super().next_deadline(), self._unread.next_deadline())

    def tick(self, now: float) -> None:
        """Do what is due by now."""
        for client in self._unread.take_overdue(now):
            self._give_up(client, now)
        super().tick(now)

    # Incoming

    def _pass_on(self, caller: Caller, payloads: list[bytes], now: float) -> None:
        """Requests have come."""
        count = len(payloads)
        habit = self._habits.get(caller.client)
        if habit is None and count >= 2 * LEAST_CALLS:
            habit = self._habits[caller.client] = Habit()
        if habit is None or not habit.wants_parting(count):
            self._take_requests(caller, payloads, 0, now)
            return
        half = count // 2
        self._take_requests(caller, payloads[:half], 0, now)
        if self._core.has_head_start():
            habit.parted(count)
            self._carry_out()
            if not caller.is_open:
                # It has not read for too long, or is gone.
                return
        self._take_requests(caller, payloads[half:], half, now)

    def _take_requests(self, caller: Caller, payloads: list[bytes], first: int, now: float) -> None:
        """Take requests, of which the first has this place among all that one read has brought."""
        hops = caller.peer.hops
        if not hops:
            for payload in payloads:
                self._core.client_message(caller.route, payload, now)
            return
        caller.has_hops = True
        for place, payload in enumerate(payloads, first):
            through = hops.get(place)
            route = caller.route if through is None else (caller.client, *through)
            self._core.client_message(route, payload, now)

    def refuse_the_rest(self, clock: Callable[[], float]) -> None:
        """Have the core answer what has arrived, until nothing more comes.

        The port stays open: who is connected may still be sending.
        """
        until = clock() + LAST_REQUESTS_S
        while (now := clock()) < until:
            if not self._epoll.poll(LAST_REQUEST_S, 1) and not self.has_unread:
                break
            self._take(now)
            self._carry_out()

    # Outgoing

    def reply(self, route: Route, payload: bytes) -> None:
        """Say something to a client; `flush` sends it."""
        caller = self._by_client.get(route[0])
        if caller is None:
            # The core was told that it is gone, after it had decided this.
            return
        if len(route) == 1:
            caller.outgoing.add(caller.peer.frame(payload))
        else:
            caller.outgoing.add(caller.peer.frame_through(list(route[1:]), payload))
        self._owe(caller)

    def _keep_unread(self, caller: Caller, now: float, *, has_taken: bool) -> None:
        """So much waits for a client who takes no more now, or nothing any more."""
        outgoing = caller.outgoing
        for given_up in self._unread.keep(
            caller.client, outgoing.held_bytes, outgoing.behind_bytes, now, has_taken=has_taken
        ):
            self._give_up(given_up, now)

    # Who comes and goes

    def _give_up(self, client: Client, now: float) -> None:
        caller = self._by_client[client]
        about: dict[str, object] = {"peer": caller.address or "local"}
        self._report("client_unread", "client does not read its replies", about)
        self._hang_up(caller, now)

    def _gone(self, caller: Caller, now: float) -> None:
        """A client has gone, or is given up: tell the core."""
        self._core.client_gone(caller.client, now, has_hops=caller.has_hops)

    def _forget(self, caller: Caller) -> None:
        self._unread.forget(caller.client)
        self._habits.pop(caller.client, None)
        super()._forget(caller)
