"""A worker's sockets to its gateways, and who is connected to its own. They decide nothing.

Source of the options: measured with libzmq 4.3.5, see ``docs/architecture.md``.
"""

from __future__ import annotations

import zmq

from zeropool.shared.monitor import monitor_event

RECONNECT_MS = 50
MAX_RECONNECT_MS = 1_000
#: A gateway's host that is frozen or cut off is noticed after interval plus timeout, by libzmq's
#: thread. Without, what is sent into a network that forgot the connection waits for TCP to give
#: up: a quarter of an hour. Longer than the gateway's own, which is for redispatching.
PING_INTERVAL_MS = 1_000
PING_TIMEOUT_MS = 5_000


class GatewayLink:
    """The connection to one gateway: a PUSH socket for everything that the worker says."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str) -> None:
        self.endpoint = endpoint
        self._push = context.socket(zmq.PUSH)
        # Only to a gateway that is there: what a dead one did not get, no other can use.
        self._push.setsockopt(zmq.IMMEDIATE, 1)
        self._push.setsockopt(zmq.SNDHWM, 0)
        self._push.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
        self._push.setsockopt(zmq.RECONNECT_IVL_MAX, MAX_RECONNECT_MS)
        self._push.setsockopt(zmq.HEARTBEAT_IVL, PING_INTERVAL_MS)
        self._push.setsockopt(zmq.HEARTBEAT_TIMEOUT, PING_TIMEOUT_MS)
        self.monitor = self._push.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
        self._push.connect(endpoint)

    def take_connected(self) -> bool:
        """Tell whether the connection has come up since the last call."""
        came_up = False
        while int(self.monitor.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            self.monitor.recv_multipart(zmq.NOBLOCK)
            came_up = True
        return came_up

    def send(self, frame: bytes) -> None:
        """Send a frame.

        Raises:
            zmq.Again: the gateway is not there.
        """
        self._push.send(frame, zmq.NOBLOCK)

    def close(self, linger_ms: int) -> None:
        """Close after what was sent has left, or ``linger_ms``."""
        self._push.disable_monitor()
        self.monitor.close()
        self._push.close(linger=linger_ms)


class Callers:
    """Who is connected to the socket for jobs: the gateways, as a rule."""

    def __init__(self, jobs_socket: zmq.Socket[bytes]) -> None:
        self._socket = jobs_socket
        self._descriptors: set[int] = set()
        self.monitor = jobs_socket.get_monitor_socket(zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED)

    def __bool__(self) -> bool:
        """Somebody is connected."""
        return bool(self._descriptors)

    def take_events(self) -> None:
        """Take note of who came and went since the last call."""
        while int(self.monitor.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            event, descriptor = monitor_event(self.monitor.recv_multipart(zmq.NOBLOCK)[0])
            if event == zmq.EVENT_ACCEPTED:
                self._descriptors.add(descriptor)
            else:
                self._descriptors.discard(descriptor)

    def close(self) -> None:
        """Watch no longer."""
        self._socket.disable_monitor()
        self.monitor.close()
