"""The clients' side of the gateway's shell: their port, their connections, and bytes both ways.

It contains no policy: what arrives goes into the core, what the core commands goes out; a client
that is gone, or does not read, is reported to the core and costs nobody else anything. The sockets
are the kernel's, not libzmq's: see ``docs/architecture.md`` for why.
"""

from __future__ import annotations

import select
import socket
import struct
from collections import OrderedDict, deque
from collections.abc import Callable, Container

from zeropool.gateway.binding import unlink_ipc
from zeropool.gateway.callers import LARGE_READ_BYTES, READ_BYTES, Caller
from zeropool.gateway.complaints import Report
from zeropool.gateway.connections import Connections, Offence
from zeropool.gateway.core import Gateway
from zeropool.gateway.listening import Listener, Port, listen
from zeropool.gateway.unfinished import Unfinished
from zeropool.gateway.unread import Unread
from zeropool.gateway.zmtp import Peer
from zeropool.shared.config import GatewaySettings
from zeropool.shared.errors import MessageTooLarge, ProtocolError
from zeropool.shared.poller import Pollable, Poller
from zeropool.shared.wire.records import Client, Route

#: Requests taken from the clients before the first of them go to workers, which can then begin:
#: what one read brings is taken to its end.
MAX_DRAIN = 32
#: Reads of one large message before others get their turn: a megabyte.
MAX_READS = 8
#: A connection ends over this limit; the configured one, which gives the caller a named error, must
#: be met first.
FRAME_MARGIN_BYTES = 1024 * 1024
HANDSHAKE_TIMEOUT_S = 5.0
#: A client whose host vanished gives its descriptor back.
KEEPALIVE_IDLE_S = 60
#: At the end, requests that are still on their way get so long to come, and all together.
LAST_REQUEST_S = 0.1
LAST_REQUESTS_S = 1.0
#: And then clients so long to take what was sent, and hang up.
FAREWELL_S = 1.0

_CLIENT = struct.Struct(">Q")
_READABLE = select.EPOLLIN
_BOTH = select.EPOLLIN | select.EPOLLOUT


class ClientPort:
    """The port for clients."""

    def __init__(
        self,
        settings: GatewaySettings,
        core: Gateway,
        connections: Connections,
        report: Report,
        port: Port,
    ) -> None:
        self._settings = settings
        self._port = port
        self._core = core
        self._report = report
        self._connections = connections
        self._max_message_bytes = settings.max_request_bytes + FRAME_MARGIN_BYTES
        self._unread = Unread(
            max_client_bytes=settings.max_unread_bytes,
            max_total_bytes=settings.max_held_bytes,
            max_wait_s=settings.max_unread_s,
        )
        self._unfinished = Unfinished(max(settings.max_held_bytes, self._max_message_bytes))
        self._by_fd: dict[int, Caller] = {}
        self._by_client: dict[Client, Caller] = {}
        self._number = 0
        #: Of what the kernel has told, what was not looked at.
        self._found: deque[tuple[int, int]] = deque()
        #: Callers to whom something was said that was not sent yet.
        self._owed: list[Caller] = []
        #: Those whose handshakes are unfinished, in order.
        self._strangers: OrderedDict[Client, Caller] = OrderedDict()

    @property
    def has_unread(self) -> bool:
        """Replies wait for clients."""
        return bool(self._unread)

    @property
    def connections(self) -> int:
        """Number of open connections."""
        return len(self._by_fd)

    @property
    def unfinished_bytes(self) -> int:
        """What is held of messages that are not complete."""
        return self._unfinished.held_bytes

    # The port

    def open(self, poller: Poller) -> None:
        """Listen.

        Raises:
            ConfigError: the endpoint cannot be bound.
        """
        self._listener = Listener(listen(self._settings.bind, "gateway.bind", self._port))
        self._epoll = select.epoll()
        self._listener_fd = self._listener.fileno()
        self._epoll.register(self._listener_fd, _READABLE)
        self._epoll_fd = self._epoll.fileno()
        poller.register(self._epoll_fd)

    def close(self, clock: Callable[[], float]) -> None:
        """Hang up, when clients have taken what was sent."""
        self._listener.close()
        unlink_ipc(self._settings.bind)
        for caller in list(self._by_fd.values()):
            # To close a socket in which something lies unread would throw away what the peer has
            # not read either.
            try:
                caller.sock.shutdown(socket.SHUT_WR)
            except OSError:
                self._forget(caller)
                continue
            # Only its end is waited for; a place for more to say would be told of for ever.
            self._epoll.modify(caller.fd, _READABLE)
        until = clock() + FAREWELL_S
        while self._by_fd and clock() < until:
            for fd, _ in self._epoll.poll(LAST_REQUEST_S, MAX_DRAIN):
                self._throw_away(fd)
        for caller in list(self._by_fd.values()):
            self._forget(caller)
        self._epoll.close()

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

    def step(self, ready: Container[Pollable], now: float) -> None:
        """Take what the poll has found."""
        if self._epoll_fd in ready:
            self._take(now)

    def next_deadline(self) -> float:
        """When `tick` has something to do."""
        deadline = self._unread.next_deadline()
        if self._strangers:
            return min(deadline, next(iter(self._strangers.values())).silent_until)
        return deadline

    def tick(self, now: float) -> None:
        """Do what is due by now."""
        for client in self._unread.take_overdue(now):
            self._give_up(client, now)
        while self._strangers:
            caller = next(iter(self._strangers.values()))
            if caller.silent_until > now:
                return
            self._hang_up(caller, now)

    # Incoming

    def _take(self, now: float) -> None:
        taken = 0
        found = self._found
        if not found:
            found.extend(self._epoll.poll(0, MAX_DRAIN))
        while found:
            # A connection may have ended since; it does no harm to look at its successor.
            fd, events = found.popleft()
            caller = self._by_fd.get(fd)
            if caller is None:
                if fd == self._listener_fd:
                    self._accept(now)
                continue
            if events & select.EPOLLOUT:
                self._send(caller, now)
            if events & ~select.EPOLLOUT and caller.is_open:
                taken += self._read(caller, now)
                if taken >= MAX_DRAIN:
                    # Whoever is left comes first the next time.
                    break

    def _read(self, caller: Caller, now: float) -> int:
        """Take what a client says; return how many requests that were."""
        taken = 0
        try:
            for _ in range(MAX_READS):
                data = self._receive(caller, now)
                if not data:
                    break
                requests = self._hear(caller, data, now)
                caller.has_read(len(data), requests)
                taken += requests
                if not caller.is_open or caller.peer.missing_bytes <= LARGE_READ_BYTES:
                    break
        except MessageTooLarge:
            self._shut_out(caller, Offence.UNFINISHED_TOO_LARGE.value, "", now)
        except ProtocolError as error:
            self._shut_out(caller, "client_no_zmtp", str(error), now)
        return taken

    def _receive(self, caller: Caller, now: float) -> bytes:
        """What lies there; nothing, and the client is gone, where that is the end."""
        try:
            data = caller.sock.recv(caller.next_read_bytes)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        if not data:
            self._hang_up(caller, now)
        return data

    def _hear(self, caller: Caller, data: bytes, now: float) -> int:
        peer = caller.peer
        held_bytes = peer.held_bytes
        payloads = peer.receive(data)
        if peer.replies:
            self._speak(caller)
        if self._strangers and peer.is_ready:
            self._strangers.pop(caller.client, None)
        if payloads:
            self._pass_on(caller, payloads, now)
        if held_bytes or peer.held_bytes:
            self._keep_unfinished(caller, now)
        return len(payloads)

    def _pass_on(self, caller: Caller, payloads: list[bytes], now: float) -> None:
        hops = caller.peer.hops
        if not hops:
            for payload in payloads:
                self._core.client_message(caller.route, payload, now)
            return
        caller.has_hops = True
        for place, payload in enumerate(payloads):
            through = hops.get(place)
            route = caller.route if through is None else (caller.client, *through)
            self._core.client_message(route, payload, now)

    def _speak(self, caller: Caller) -> None:
        """Say what the protocol has to say."""
        for part in caller.peer.replies:
            caller.outgoing.add(part)
        caller.peer.replies.clear()
        self._owe(caller)

    def _keep_unfinished(self, caller: Caller, now: float) -> None:
        most = self._unfinished.keep(caller.client, caller.peer.held_bytes)
        if most is not None:
            self._shut_out(self._by_client[most], Offence.UNFINISHED_TOO_MUCH.value, "", now)

    def refuse_the_rest(self, carry_out: Callable[[], None], clock: Callable[[], float]) -> None:
        """Have the core answer what has arrived, until nothing more comes.

        The port stays open: who is connected may still be sending.
        """
        until = clock() + LAST_REQUESTS_S
        while (now := clock()) < until:
            if not self._epoll.poll(LAST_REQUEST_S, 1) and not self.has_unread:
                break
            self._take(now)
            carry_out()

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

    def flush(self, now: float) -> None:
        """Send what was said; who does not take it has to wait, or is given up."""
        if self._owed:
            owed, self._owed = self._owed, []
            for caller in owed:
                caller.is_owed = False
                if not caller.is_open:
                    continue
                if caller.is_full:
                    self._keep_unread(caller, now, has_taken=False)
                else:
                    self._send(caller, now)
        self._core.keeps(self._unread.held_bytes)

    def _owe(self, caller: Caller) -> None:
        if not caller.is_owed:
            caller.is_owed = True
            self._owed.append(caller)

    def _send(self, caller: Caller, now: float) -> None:
        """Send as much as a connection takes."""
        outgoing = caller.outgoing
        sock = caller.sock
        has_taken = False
        try:
            while outgoing.held_bytes:
                parts = outgoing.parts()
                sent = sock.send(parts[0]) if len(parts) == 1 else sock.sendmsg(parts)
                outgoing.took(sent)
                has_taken = True
        except BlockingIOError:
            pass
        except OSError:
            self._hang_up(caller, now)
            return
        is_full = outgoing.held_bytes > 0
        if is_full != caller.is_full:
            caller.is_full = is_full
            self._epoll.modify(caller.fd, _BOTH if is_full else _READABLE)
            self._keep_unread(caller, now, has_taken=True)
        elif is_full:
            self._keep_unread(caller, now, has_taken=has_taken)

    def _keep_unread(self, caller: Caller, now: float, *, has_taken: bool) -> None:
        outgoing = caller.outgoing
        for given_up in self._unread.keep(
            caller.client, outgoing.held_bytes, outgoing.behind_bytes, now, has_taken=has_taken
        ):
            self._give_up(given_up, now)

    # Who comes and goes

    def _accept(self, now: float) -> None:
        accepted = self._listener.accept()
        for sock, address in accepted:
            self._admit(sock, address, now)
        if self._listener.failure:
            about: dict[str, object] = {"error": self._listener.failure}
            self._report("connection_no_descriptor", "client shut out", about)

    def _admit(self, sock: socket.socket, address: str, now: float) -> None:
        fd = sock.fileno()
        offence = self._connections.opened(fd, b"", address)
        if offence is not None:
            sock.close()
            self._report(offence.value, "client shut out", {"peer": address or "local"})
            return
        sock.setblocking(False)
        if address:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S)
        self._number += 1
        client = _CLIENT.pack(self._number)
        peer = Peer(self._max_message_bytes)
        caller = Caller(sock, client, address, peer, now + HANDSHAKE_TIMEOUT_S)
        self._by_fd[fd] = self._by_client[client] = caller
        self._strangers[client] = caller
        self._epoll.register(fd, _READABLE)
        self._speak(caller)

    def _give_up(self, client: Client, now: float) -> None:
        caller = self._by_client[client]
        about: dict[str, object] = {"peer": caller.address or "local"}
        self._report("client_unread", "client does not read its replies", about)
        self._hang_up(caller, now)

    def _shut_out(self, caller: Caller, reason: str, error: str, now: float) -> None:
        about: dict[str, object] = {"peer": caller.address or "local"}
        if error:
            about["error"] = error
        self._report(reason, "client shut out", about)
        self._hang_up(caller, now)

    def _hang_up(self, caller: Caller, now: float) -> None:
        """The connection has ended, or is to end: tell the core."""
        self._forget(caller)
        self._core.client_gone(caller.client, now, has_hops=caller.has_hops)

    def _forget(self, caller: Caller) -> None:
        caller.is_open = False
        del self._by_fd[caller.fd]
        del self._by_client[caller.client]
        self._strangers.pop(caller.client, None)
        self._connections.closed(caller.fd)
        self._unread.forget(caller.client)
        self._unfinished.forget(caller.client)
        self._epoll.unregister(caller.fd)
        caller.sock.close()
