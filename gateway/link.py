"""One worker's socket in the gateway, and the monitor that tells of its end. It decides nothing.

Source of the options: measured with libzmq 4.3.5, see ``docs/architecture.md``.
"""

from __future__ import annotations

import zmq
from zmq.utils.monitor import recv_monitor_message

#: A frozen worker is noticed after interval plus timeout, by libzmq's thread.
WORKER_PING_INTERVAL_MS = 500
WORKER_PING_TIMEOUT_MS = 2_000

_WATCHED_EVENTS = (
    zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_CLOSED
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)


class WorkerLink:
    """The gateway's own PUSH socket to one worker, and the monitor that tells of its end."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], worker_id: str) -> None:
        self.worker_id = worker_id
        self._push = context.socket(zmq.PUSH)
        self._push.setsockopt(zmq.LINGER, 0)
        # Only to a peer that is there, and never to another that binds its endpoint later.
        self._push.setsockopt(zmq.IMMEDIATE, 1)
        self._push.setsockopt(zmq.RECONNECT_IVL, -1)
        # Credit bounds what is sent.
        self._push.setsockopt(zmq.SNDHWM, 0)
        self._push.setsockopt(zmq.HEARTBEAT_IVL, WORKER_PING_INTERVAL_MS)
        self._push.setsockopt(zmq.HEARTBEAT_TIMEOUT, WORKER_PING_TIMEOUT_MS)
        self._monitor = self._push.get_monitor_socket(_WATCHED_EVENTS)
        # libzmq's descriptor signals only what comes after the socket was last found empty.
        self.events()

    def connect(self, endpoint: str) -> None:
        """Begin to connect; the monitor tells how it went.

        Raises:
            zmq.ZMQError: the endpoint is none.
        """
        self._push.connect(endpoint)

    def fileno(self) -> int:
        """File descriptor that becomes readable when the monitor has something to tell."""
        return int(self._monitor.getsockopt(zmq.FD))

    def events(self) -> list[int]:
        """What happened to the connection since the last call."""
        events = []
        while int(self._monitor.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            events.append(int(recv_monitor_message(self._monitor, zmq.NOBLOCK)["event"]))
        return events

    def send(self, frame: bytes) -> None:
        """Send a frame.

        Raises:
            zmq.Again: the connection is gone.
        """
        self._push.send(frame, zmq.NOBLOCK)

    def close(self) -> None:
        """Close socket and monitor; what was not sent is dropped."""
        self._push.disable_monitor()
        self._monitor.close()
        self._push.close(linger=0)
