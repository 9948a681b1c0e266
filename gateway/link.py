"""The workers' side of the gateway's shell: the PULL, and a PUSH of its own for each worker.

It decides nothing. Source of the options: measured with libzmq 4.3.5, see
``docs/architecture.md``.
"""

from __future__ import annotations

import logging
import select
from collections.abc import Callable, Container

import zmq

from zeropool.gateway.binding import bind, unlink_ipc
from zeropool.gateway.complaints import Report
from zeropool.gateway.connections import MIB, Connections, Offence
from zeropool.gateway.core import Gateway
from zeropool.gateway.watch import Watch
from zeropool.shared.monitor import monitor_event
from zeropool.shared.poller import Pollable, Poller
from zeropool.shared.trail import log_to_gateway, log_to_worker

log = logging.getLogger("zeropool.gateway")

#: A frozen worker is noticed after interval plus timeout, by libzmq's thread.
WORKER_PING_INTERVAL_MS = 500
WORKER_PING_TIMEOUT_MS = 2_000
#: Messages that wait for a worker to which the network takes nothing. Its credit bounds the jobs;
#: a living worker's libzmq reads everything else at once, whatever its model does.
SEND_HIGH_WATER = 10_000
#: Messages taken from the workers before others get their turn; each holds a batch of results.
MAX_DRAIN = 16
#: The same in bytes: a megabyte costs the loop 0.4 ms, in which nobody else is served.
MAX_DRAIN_BYTES = 4 * MIB
#: Messages of one worker that libzmq holds here; more wait in the worker.
RECEIVE_HIGH_WATER = 64
HANDSHAKE_TIMEOUT_MS = 5_000

_WATCHED_EVENTS = (
    zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_CLOSED
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)

_NOBLOCK = int(zmq.NOBLOCK)
_SOURCE_FD = int(zmq.SRCFD)


def largest_frame_bytes(max_reply_bytes: int) -> int:
    """The largest frame that workers may send: a batch of results, each with its reply.

    A batch of the largest replies would be larger than any memory; some are let through.
    """
    return 4 * max_reply_bytes + 64 * MIB


class WorkerLink:
    """The gateway's own PUSH socket to one worker, and the monitor that tells of its end."""

    def __init__(self, worker_id: str) -> None:
        self.worker_id = worker_id
        self._monitor: zmq.Socket[bytes] | None = None

    def open(self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str) -> None:
        """Begin to connect; the monitor tells how it went.

        Raises:
            zmq.ZMQError: the endpoint is none, or there are no descriptors left.
        """
        self._push = context.socket(zmq.PUSH)
        try:
            self._push.setsockopt(zmq.LINGER, 0)
            # Only to a peer that is there, and never to another that binds its endpoint later.
            self._push.setsockopt(zmq.IMMEDIATE, 1)
            self._push.setsockopt(zmq.RECONNECT_IVL, -1)
            self._push.setsockopt(zmq.SNDHWM, SEND_HIGH_WATER)
            self._push.setsockopt(zmq.HEARTBEAT_IVL, WORKER_PING_INTERVAL_MS)
            self._push.setsockopt(zmq.HEARTBEAT_TIMEOUT, WORKER_PING_TIMEOUT_MS)
            # libzmq wants to be told.
            self._push.setsockopt(zmq.IPV6, int("[" in endpoint))
            self._monitor = self._push.get_monitor_socket(_WATCHED_EVENTS)
            # libzmq's descriptor signals only what comes after the socket was last found empty.
            self.events()
            self._push.connect(endpoint)
        except zmq.ZMQError:
            self.close()
            raise

    def fileno(self) -> int:
        """File descriptor that becomes readable when the monitor has something to tell."""
        return -1 if self._monitor is None else int(self._monitor.getsockopt(zmq.FD))

    def events(self) -> list[int]:
        """What happened to the connection since the last call."""
        events: list[int] = []
        monitor = self._monitor
        while monitor is not None and int(monitor.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            events.append(monitor_event(monitor.recv_multipart(zmq.NOBLOCK)[0])[0])
        return events

    def send(self, frame: bytes) -> None:
        """Send a frame.

        Raises:
            zmq.Again: the connection is gone.
        """
        self._push.send(frame, _NOBLOCK)

    def close(self) -> None:
        """Close socket and monitor; what was not sent is dropped."""
        self._push.disable_monitor()
        if self._monitor is not None:
            self._monitor.close()
        self._push.close(linger=0)


class WorkerPort:
    """The socket for what workers say, and the links to them."""

    def __init__(  # noqa: PLR0913, PLR0917 - the whole of what the port is given
        self,
        endpoint: str,
        core: Gateway,
        connections: Connections,
        max_frame_bytes: int,
        report: Report,
        held_bytes: Callable[[], int],
    ) -> None:
        self._endpoint = endpoint
        self._core = core
        self._max_frame_bytes = max_frame_bytes
        self._report = report
        self._watch = Watch(connections, self._shut_down, held_bytes)
        self._is_traced = log.isEnabledFor(logging.DEBUG)
        self._links: dict[str, WorkerLink] = {}
        self._links_by_fd: dict[int, WorkerLink] = {}

    def open(self, context: zmq.Context[zmq.Socket[bytes]], poller: Poller) -> None:
        """Bind.

        Raises:
            ConfigError: the endpoint cannot be bound.
        """
        self._context = context
        self._results = context.socket(zmq.PULL)
        self._results.setsockopt(zmq.RCVHWM, RECEIVE_HIGH_WATER)
        self._results.setsockopt(zmq.MAXMSGSIZE, self._max_frame_bytes)
        self._results.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_TIMEOUT_MS)
        self._results.setsockopt(zmq.IPV6, 1)
        self._watch.open(context, self._results)
        bind(self._results, self._endpoint, "gateway.workers_bind")
        self._watch.bound()
        self._link_events = select.epoll()
        poller.register(self._results)
        poller.register(self._watch.monitor)
        poller.register(self._link_events.fileno())
        self._poller = poller

    def close(self) -> None:
        """Hang up."""
        for worker_id in list(self._links):
            self.disconnect(worker_id)
        self._watch.close()
        self._results.close(linger=0)
        self._link_events.close()
        unlink_ipc(self._endpoint)

    def step(self, ready: Container[Pollable], now: float) -> None:
        """Take what the poll has found."""
        if self._watch.monitor in ready:
            self._watch.take_events()
        if self._results in ready:
            self._drain(now)
        else:
            self._watch.took_all()
        if self._link_events.fileno() in ready:
            self._take_link_events(now)

    def next_deadline(self) -> float:
        """When `tick` has something to do."""
        return self._watch.next_deadline()

    def tick(self, now: float) -> None:
        """Do what is due by now."""
        self._watch.tick(now)

    # Incoming

    def _drain(self, now: float) -> None:
        receive = self._results.recv
        seen = self._watch.seen.add
        try:
            if self._watch.is_skipping and not self._watch.skip_message():
                return
            taken = taken_bytes = 0
            while taken < MAX_DRAIN and taken_bytes < MAX_DRAIN_BYTES:
                frame = receive(_NOBLOCK, copy=False)
                taken += 1
                try:  # noqa: SIM105 - `suppress` costs more than this
                    seen(frame.get(_SOURCE_FD))
                except zmq.ZMQError:
                    # libzmq cannot tell for a peer that speaks ZMTP 1 or 2.
                    pass
                if not frame.more:
                    message = frame.bytes
                    taken_bytes += len(message)
                    if self._is_traced:
                        log_to_gateway(log, "result taken", message)
                    self._core.worker_message(message, now)
                    if self._core.is_idle:
                        # The last result is here: what else may come is nobody's answer.
                        break
                    continue
                # Every message of the protocol is one frame.
                self._core.dropped["worker_malformed"] += 1
                if not self._watch.skip_message():
                    return
        except zmq.Again:
            self._poller.emptied(self._results)
            self._watch.took_all()
        else:
            self._watch.took(taken)

    def _take_link_events(self, now: float) -> None:
        for fd, _ in self._link_events.poll(0):
            link = self._links_by_fd.get(fd)
            if link is None:
                continue
            for event in link.events():
                if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                    self._core.worker_connected(link.worker_id, now)
                else:
                    self._core.worker_disconnected(link.worker_id)

    # Commands

    def tell(self, worker_id: str, frame: bytes) -> None:
        """Send a frame to a worker."""
        link = self._links.get(worker_id)
        if link is None:
            return
        if self._is_traced:
            log_to_worker(log, "job given", frame, worker_id)
        try:
            link.send(frame)
        except zmq.Again:
            # The connection broke a moment ago; the ledger gives what it had to another.
            self._core.worker_disconnected(worker_id)

    def connect(self, worker_id: str, endpoint: str) -> None:
        """Open a link to a worker."""
        link = WorkerLink(worker_id)
        try:
            link.open(self._context, endpoint)
        except zmq.ZMQError as error:
            about: dict[str, object] = {
                "worker": worker_id,
                "endpoint": endpoint,
                "error": error.strerror,
            }
            self._report("worker_unreachable", "worker cannot be reached", about)
            self._core.worker_disconnected(worker_id)
            return
        self._links[worker_id] = link
        self._links_by_fd[link.fileno()] = link
        self._link_events.register(link.fileno(), select.EPOLLIN)

    def disconnect(self, worker_id: str) -> None:
        """Close the link to a worker."""
        link = self._links.pop(worker_id, None)
        if link is None:
            return
        self._link_events.unregister(link.fileno())
        del self._links_by_fd[link.fileno()]
        link.close()

    # The watch

    def _shut_down(self, offence: Offence, peer: str) -> None:
        self._report(f"worker_{offence.value}", "worker shut out", {"peer": peer or "local"})
