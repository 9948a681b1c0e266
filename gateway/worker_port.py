"""The workers' side of the gateway's shell: what they say, and a link of its own to each worker.

It decides nothing. Workers connect to one port and say there what they have to say; jobs go to each
on the gateway's own link to the endpoint that it registered with.
"""

from __future__ import annotations

import contextlib
import logging
import math
import select
from collections.abc import Container
from typing import Final

from zeropool.gateway.core import Gateway
from zeropool.gateway.enrolment import MAX_NAME_CHARACTERS
from zeropool.shared import jobs
from zeropool.shared.errors import ProtocolError
from zeropool.shared.ports.callers import Caller
from zeropool.shared.ports.connections import Connections
from zeropool.shared.ports.listening import listen, unlink_ipc
from zeropool.shared.ports.pull_port import PullPort
from zeropool.shared.ports.reception import MIB, Report
from zeropool.shared.push import Push, dial
from zeropool.shared.sockets import reason_of
from zeropool.shared.trail import log_to_gateway, log_to_worker
from zeropool.shared.wire.kinds import Kind
from zeropool.shared.wire.records import Client

log = logging.getLogger("zeropool.gateway")

#: A frozen worker is noticed when it gives no sign of life for so many of these intervals. It gives
#: them on a connection of their own, whatever its model does; one that has none is asked for them.
WORKER_PING_INTERVAL_S: Final = 0.5
WORKER_PINGS: Final = 4

_READABLE: Final = select.EPOLLIN
_WRITABLE: Final = select.EPOLLOUT
_BOTH: Final = _READABLE | _WRITABLE


def largest_frame_bytes(max_reply_bytes: int) -> int:
    """The largest frame that workers may send: a batch of results, each with its reply.

    A batch of the largest replies would be larger than any memory; some are let through.
    """
    return 4 * max_reply_bytes + 64 * MIB


class WorkerPort(PullPort):
    """The port for what workers say, and the links to them."""

    def __init__(  # noqa: PLR0913 - the whole of what the port is given
        self,
        endpoint: str,
        core: Gateway,
        connections: Connections,
        report: Report,
        *,
        max_reply_bytes: int,
        max_held_bytes: int,
    ) -> None:
        super().__init__(
            Kind.PULL,
            connections,
            report,
            who="worker",
            prefix="worker_",
            max_message_bytes=largest_frame_bytes(max_reply_bytes),
            max_unfinished_bytes=max_held_bytes,
        )
        self._endpoint = endpoint
        self._core = core
        self._is_traced = log.isEnabledFor(logging.DEBUG)
        #: The connections to workers, by the worker's id.
        self._links: dict[str, Push] = {}
        self._workers_by_fd: dict[int, str] = {}
        #: Connections whose only use is to show that a worker lives, and whose they are.
        self._pulses: dict[Client, str] = {}
        #: Workers to whom something was said that was not sent yet.
        self._owed_links: list[str] = []
        #: Links that take no more at the moment.
        self._blocked: set[Push] = set()
        #: When the next sign of life is asked for.
        self._ping_at = -math.inf

    @property
    def unsent_bytes(self) -> int:
        """Bytes of jobs that busy workers do not take yet."""
        if not self._blocked:
            return 0
        return sum([link.outgoing.held_bytes for link in self._blocked])

    def open(self, epoll: select.epoll) -> None:
        """Listen.

        Raises:
            ConfigError: the endpoint cannot be bound.
        """
        self._listen(listen(self._endpoint, "gateway.workers_bind"), epoll)
        self._link_epoll = select.epoll()
        self._link_epoll_fd = self._link_epoll.fileno()
        epoll.register(self._link_epoll_fd, _READABLE)

    def close(self) -> None:
        """Hang up."""
        for worker_id in list(self._links):
            self._forget_link(worker_id)
        self._link_epoll.close()
        unlink_ipc(self._endpoint)
        self._listener.close()
        self._close()

    def step(self, ready: Container[int], now: float) -> None:
        """Take what the poll has found."""
        super().step(ready, now)
        if self._link_epoll_fd in ready:
            self._take_links(now)

    def next_deadline(self) -> float:
        """When `tick` has something to do."""
        deadline = super().next_deadline()
        return min(deadline, self._ping_at) if self._links else deadline

    def tick(self, now: float) -> None:
        """Do what is due by now."""
        super().tick(now)
        if now >= self._ping_at and self._links:
            self._ping_at = now + WORKER_PING_INTERVAL_S
            self._ask_for_life()

    # What workers say

    def _pass_on(self, caller: Caller, payloads: list[bytes], now: float) -> None:
        """Messages have come."""
        core = self._core
        hops = caller.peer.hops
        for place, payload in enumerate(payloads):
            if place in hops:
                # Every message of the protocol is one frame; an empty one before it does no harm.
                core.dropped["worker_malformed"] += 1
                continue
            if payload.startswith(jobs.PULSE_HEAD):
                self._take_pulse(caller, payload)
                continue
            if self._is_traced:
                log_to_gateway(log, "result taken", payload)
            core.worker_message(payload, now)

    def _hear(self, caller: Caller, data: bytes, now: float) -> int:
        worker_id = self._pulses.get(caller.client)
        if worker_id is not None and worker_id in self._links:
            self._links[worker_id].silences = 0
        return super()._hear(caller, data, now)

    def _take_pulse(self, caller: Caller, payload: bytes) -> None:
        try:
            worker_id = jobs.decode_pulse(payload).worker
        except ProtocolError:
            self._core.dropped["worker_malformed"] += 1
            return
        self._end_pulse(caller)
        if 0 < len(worker_id) <= MAX_NAME_CHARACTERS:
            self._pulses[caller.client] = worker_id

    def _end_pulse(self, caller: Caller) -> None:
        worker_id = self._pulses.pop(caller.client, None)
        if worker_id in self._links and worker_id not in self._pulses.values():
            # From here on it is asked, and has as long as any to answer.
            self._links[worker_id].silences = 0

    def _gone(self, caller: Caller, now: float) -> None:  # noqa: ARG002 - as every port
        """That a worker is gone shows on the link to it; without a pulse, it is asked there."""
        self._end_pulse(caller)

    # The links

    def connect(self, worker_id: str, endpoint: str) -> None:
        """Open a link to a worker."""
        try:
            link = Push(dial(endpoint), endpoint)
        except (OSError, ValueError) as error:
            self._cannot_connect(worker_id, endpoint, reason_of(error))
            return
        try:
            self._link_epoll.register(link.fd, _BOTH)
        except OSError as error:
            # This user's share of watches, fs.epoll.max_user_watches, is used up; or the memory.
            link.close()
            self._cannot_connect(worker_id, endpoint, f"epoll: {error.strerror}")
            return
        self._links[worker_id] = link
        self._workers_by_fd[link.fd] = worker_id

    def disconnect(self, worker_id: str) -> None:
        """Close the link to a worker."""
        link = self._links.get(worker_id)
        if link is None:
            return
        if link.is_owed and not link.is_full:
            # The last words. What the kernel does not take now is lost, as always.
            with contextlib.suppress(OSError):
                link.send()
        self._forget_link(worker_id)

    def tell(self, worker_id: str, frame: bytes) -> None:
        """Say something to a worker; `flush` sends it."""
        link = self._links.get(worker_id)
        if link is None:
            return
        if self._is_traced:
            log_to_worker(log, "job given", frame, worker_id)
        link.add(frame)
        self._owe_link(worker_id, link)

    def flush(self, now: float) -> None:
        """Send what was said."""
        super().flush(now)
        if not self._owed_links:
            return
        owed, self._owed_links = self._owed_links, []
        for worker_id in owed:
            link = self._links.get(worker_id)
            if link is not None:
                link.is_owed = False
                if not link.is_full:
                    self._send_on(worker_id, link)

    def _owe_link(self, worker_id: str, link: Push) -> None:
        if not link.is_owed:
            link.is_owed = True
            self._owed_links.append(worker_id)

    def _send_on(self, worker_id: str, link: Push) -> None:
        was_full = link.is_full
        try:
            link.send()
        except OSError:
            self._lose(worker_id)
            return
        if link.is_full == was_full:
            return
        self._link_epoll.modify(link.fd, _BOTH if link.is_full else _READABLE)
        if link.is_full:
            self._blocked.add(link)
        else:
            self._blocked.discard(link)

    def _take_links(self, now: float) -> None:
        for fd, events in self._link_epoll.poll(0):
            worker_id = self._workers_by_fd.get(fd)
            if worker_id is None:
                continue
            link = self._links[worker_id]
            if events & ~_WRITABLE:
                self._hear_link(worker_id, link, now)
            if events & _WRITABLE and link.is_open:
                self._send_on(worker_id, link)

    def _hear_link(self, worker_id: str, link: Push, now: float) -> None:
        was_ready = link.is_ready
        try:
            link.receive()
        except BlockingIOError:
            return
        except OSError as error:
            if not was_ready:
                self._cannot_reach(worker_id, link.endpoint, reason_of(error))
            # What it had goes to another.
            self._lose(worker_id)
            return
        except ProtocolError as error:
            self._cannot_reach(worker_id, link.endpoint, str(error))
            self._lose(worker_id)
            return
        if link.outgoing.held_bytes:
            self._owe_link(worker_id, link)
        if link.is_ready and not was_ready:
            self._core.worker_connected(worker_id, now)

    def _ask_for_life(self) -> None:
        pulsing = set(self._pulses.values())
        for worker_id, link in list(self._links.items()):
            if not link.is_ready:
                # The core knows how long that may take.
                continue
            if worker_id in pulsing:
                if link.is_quiet(WORKER_PINGS):
                    self._lose(worker_id)
            elif link.is_silent(WORKER_PINGS):
                self._lose(worker_id)
            else:
                self._owe_link(worker_id, link)

    def _cannot_connect(self, worker_id: str, endpoint: str, why: str) -> None:
        self._cannot_reach(worker_id, endpoint, why)
        self._core.worker_disconnected(worker_id)

    def _cannot_reach(self, worker_id: str, endpoint: str, why: str) -> None:
        about: dict[str, object] = {"worker": worker_id, "error": f"{endpoint}: {why}"}
        self._report("worker_unreachable", "worker cannot be reached", about)

    def _lose(self, worker_id: str) -> None:
        self._forget_link(worker_id)
        self._core.worker_disconnected(worker_id)

    def _forget_link(self, worker_id: str) -> None:
        link = self._links.pop(worker_id)
        self._blocked.discard(link)
        del self._workers_by_fd[link.fd]
        self._link_epoll.unregister(link.fd)
        link.close()
