"""A port of a shell: whoever connects to it, what they say, and bytes back.

It contains no policy. Each port says what to do with messages, and with a peer that is gone or does
not read. The sockets are the kernel's, not libzmq's: see ``docs/architecture.md`` for why.
"""

from __future__ import annotations

import abc
import math
import select
import socket
import struct
from collections import OrderedDict, deque
from collections.abc import Callable, Container
from typing import Final, TypeAlias

from zeropool.shared.errors import MessageTooLarge, ProtocolError
from zeropool.shared.ports.callers import LARGE_READ_BYTES, Caller
from zeropool.shared.ports.connections import Connections, Offence
from zeropool.shared.ports.listening import Listener
from zeropool.shared.ports.unfinished import Unfinished
from zeropool.shared.sending import send
from zeropool.shared.wire.answerer import Answerer
from zeropool.shared.wire.kinds import Kind
from zeropool.shared.wire.records import Client

#: Takes the reason under which an event is counted, the line for the log, and its fields.
Report: TypeAlias = Callable[[str, str, dict[str, object]], None]

MIB: Final = 1024 * 1024

#: Messages taken before the first of them go on their way, which others then work on: what one read
#: brings is taken to its end.
MAX_DRAIN: Final = 32
#: The same in bytes: a megabyte costs the loop 0.4 ms, in which nobody else is served.
MAX_DRAIN_BYTES: Final = 4 * MIB
#: Reads of one large message before others get their turn: a megabyte.
MAX_READS: Final = 8
HANDSHAKE_TIMEOUT_S: Final = 5.0
#: A listener on which somebody waits who can neither be taken in nor turned away is not looked at
#: for so long: the poll would name it without end. nginx's `accept_mutex_delay` is the same.
ACCEPT_PAUSE_S: Final = 0.5
#: A peer whose host vanished gives its descriptor back.
KEEPALIVE_IDLE_S: Final = 60

_CLIENT: Final = struct.Struct(">Q")
_READABLE: Final = select.EPOLLIN
_WRITABLE: Final = select.EPOLLOUT
_BOTH: Final = _READABLE | _WRITABLE


class Reception(abc.ABC):
    """The port for peers of one sort.

    Args:
        kind: whom they find here.
        who: what they are called in the log.
        prefix: what stands before the reasons for which they are shut out.
        max_message_bytes: a connection ends over this limit.
        max_unfinished_bytes: the same for what all have sent of messages that are not complete.
    """

    def __init__(  # noqa: PLR0913 - the whole of what a port is given
        self,
        kind: Kind,
        connections: Connections,
        report: Report,
        *,
        who: str,
        prefix: str,
        max_message_bytes: int,
        max_unfinished_bytes: int,
    ) -> None:
        self._kind = kind
        self._connections = connections
        self._report = report
        self._who = who
        self._prefix = prefix
        self._max_message_bytes = max_message_bytes
        self._unfinished = Unfinished(max(max_unfinished_bytes, max_message_bytes))
        self._by_fd: dict[int, Caller] = {}
        self._by_client: dict[Client, Caller] = {}
        self._number = 0
        #: Of what the kernel has told, what was not looked at.
        self._found: deque[tuple[int, int]] = deque()
        #: Read in this step.
        self._taken_bytes = 0
        #: Callers to whom something was said that was not sent yet.
        self._owed: list[Caller] = []
        #: Those whose handshakes are unfinished, in order.
        self._strangers: OrderedDict[Client, Caller] = OrderedDict()
        #: When the listener is looked at again.
        self._accept_at = math.inf

    def _listen(self, sock: socket.socket, epoll: select.epoll) -> None:
        """Accept connections from now on."""
        self._listener = Listener(sock)
        self._epoll = select.epoll()
        self._listener_fd = self._listener.fileno()
        self._epoll.register(self._listener_fd, _READABLE)
        self._epoll_fd = self._epoll.fileno()
        epoll.register(self._epoll_fd, _READABLE)

    def _close(self) -> None:
        """Hang up."""
        for caller in list(self._by_fd.values()):
            self._forget(caller)
        self._epoll.close()

    def step(self, ready: Container[int], now: float) -> None:
        """Take what the poll has found."""
        if self._epoll_fd in ready:
            self._take(now)

    def next_deadline(self) -> float:
        """When `tick` has something to do."""
        if self._strangers:
            return min(self._accept_at, next(iter(self._strangers.values())).silent_until)
        return self._accept_at

    def tick(self, now: float) -> None:
        """Do what is due by now."""
        if now >= self._accept_at:
            self._accept_at = math.inf
            self._epoll.modify(self._listener_fd, _READABLE)
        while self._strangers:
            caller = next(iter(self._strangers.values()))
            if caller.silent_until > now:
                return
            self._hang_up(caller, now)

    # What each port makes of it

    @abc.abstractmethod
    def _pass_on(self, caller: Caller, payloads: list[bytes], now: float) -> None:
        """Messages have come."""

    @abc.abstractmethod
    def _keep_unread(self, caller: Caller, now: float, *, has_taken: bool) -> None:
        """So much waits for a caller who takes no more now, or nothing any more."""

    @abc.abstractmethod
    def _gone(self, caller: Caller, now: float) -> None:
        """A connection has ended."""

    # Incoming

    def _take(self, now: float) -> None:
        taken = self._taken_bytes = 0
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
            if events & _WRITABLE:
                self._send(caller, now)
            if events & ~_WRITABLE and caller.is_open:
                taken += self._read(caller, now)
                if taken >= MAX_DRAIN or self._taken_bytes >= MAX_DRAIN_BYTES:
                    # Whoever is left comes first the next time.
                    break

    def _read(self, caller: Caller, now: float) -> int:
        """Take what a peer says; return how many messages that were."""
        taken = 0
        try:
            for _ in range(MAX_READS):
                data = self._receive(caller, now)
                if not data:
                    break
                self._taken_bytes += len(data)
                messages = self._hear(caller, data, now)
                caller.has_read(len(data), messages)
                taken += messages
                if not caller.is_open or caller.peer.missing_bytes <= LARGE_READ_BYTES:
                    break
        except MessageTooLarge:
            self._shut_out(caller, self._reason(Offence.UNFINISHED_TOO_LARGE), "", now)
        except ProtocolError as error:
            self._shut_out(caller, f"{self._who}_no_zmtp", str(error), now)
        return taken

    def _receive(self, caller: Caller, now: float) -> bytes:
        """What lies there; nothing, and the peer is gone, where that is the end."""
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

    def _speak(self, caller: Caller) -> None:
        """Say what the protocol has to say."""
        for part in caller.peer.replies:
            caller.outgoing.add(part)
        caller.peer.replies.clear()
        self._owe(caller)

    def _keep_unfinished(self, caller: Caller, now: float) -> None:
        if not caller.is_open:
            return
        most = self._unfinished.keep(caller.client, caller.peer.held_bytes)
        if most is not None:
            reason = self._reason(Offence.UNFINISHED_TOO_MUCH)
            self._shut_out(self._by_client[most], reason, "", now)

    # Outgoing

    def flush(self, now: float) -> None:
        """Send what was said; who does not take it has to wait, or is given up."""
        if not self._owed:
            return
        owed, self._owed = self._owed, []
        for caller in owed:
            caller.is_owed = False
            if not caller.is_open:
                continue
            if caller.is_full:
                self._keep_unread(caller, now, has_taken=False)
            else:
                self._send(caller, now)

    def _owe(self, caller: Caller) -> None:
        if not caller.is_owed:
            caller.is_owed = True
            self._owed.append(caller)

    def _send(self, caller: Caller, now: float) -> None:
        """Send as much as a connection takes."""
        outgoing = caller.outgoing
        try:
            has_taken = send(caller.sock, outgoing)
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

    # Who comes and goes

    def _accept(self, now: float) -> None:
        accepted = self._listener.accept()
        for sock, address in accepted:
            self._admit(sock, address, now)
        if self._listener.failure:
            about: dict[str, object] = {"error": self._listener.failure}
            self._complain(f"{self._prefix}connection_no_descriptor", about)
        if self._listener.is_stuck:
            self._epoll.modify(self._listener_fd, 0)
            self._accept_at = now + ACCEPT_PAUSE_S

    def _admit(self, sock: socket.socket, address: str, now: float) -> None:
        fd = sock.fileno()
        offence = self._connections.opened(fd, address)
        if offence is not None:
            sock.close()
            self._complain(self._reason(offence), {"peer": address or "local"})
            return
        try:
            self._epoll.register(fd, _READABLE)
        except OSError as error:
            # This user's share of watches, fs.epoll.max_user_watches, is used up; or the memory.
            self._connections.closed(fd)
            sock.close()
            why = f"epoll: {error.strerror}"
            about: dict[str, object] = {"peer": address or "local", "error": why}
            self._complain(f"{self._prefix}connection_not_watched", about)
            return
        sock.setblocking(False)
        if address:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S)
        self._number += 1
        client = _CLIENT.pack(self._number)
        peer = Answerer(self._kind, self._max_message_bytes)
        caller = Caller(sock, client, address, peer, now + HANDSHAKE_TIMEOUT_S)
        self._by_fd[fd] = self._by_client[client] = caller
        self._strangers[client] = caller
        self._speak(caller)

    def _shut_out(self, caller: Caller, reason: str, error: str, now: float) -> None:
        about: dict[str, object] = {"peer": caller.address or "local"}
        if error:
            about["error"] = error
        self._complain(reason, about)
        self._hang_up(caller, now)

    def _complain(self, reason: str, about: dict[str, object]) -> None:
        self._report(reason, f"{self._who} shut out", about)

    def _reason(self, offence: Offence) -> str:
        return self._prefix + offence.value

    def _hang_up(self, caller: Caller, now: float) -> None:
        """The connection has ended, or is to end."""
        self._forget(caller)
        self._gone(caller, now)

    def _forget(self, caller: Caller) -> None:
        caller.is_open = False
        del self._by_fd[caller.fd]
        del self._by_client[caller.client]
        self._strangers.pop(caller.client, None)
        self._connections.closed(caller.fd)
        self._unfinished.forget(caller.client)
        self._epoll.unregister(caller.fd)
        caller.sock.close()
