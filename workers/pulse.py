"""A worker's sign of life for one gateway, which it gives whatever its model does.

A connection of libzmq's, whose own thread asks the gateway for answers twice a second: a model that
computes in C and holds the interpreter's lock for minutes does not stop it, but a process or a host
that stands still does. After its name, nothing is sent on it.
"""

from __future__ import annotations

from typing import Final

import zmq

from zeropool.shared import jobs

#: A gateway gives a worker up that was silent for four of its own intervals of the same length.
INTERVAL_MS: Final = 500
#: When libzmq gives a silent gateway up by itself. Results take the same way, and their connection
#: tells earlier.
TIMEOUT_MS: Final = 60_000

_EVENTS: Final = int(zmq.EVENTS)
_POLLOUT: Final = int(zmq.POLLOUT)


class Pulse:
    """A connection that beats from the moment it is made.

    Args:
        endpoint: the gateway's port for workers; a host in it is numeric, as libzmq's thread would
            do nothing else while it looks a name up.
        timeout_s: how long to wait for it.

    Raises:
        ConnectionError: there is none, or not in time.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        endpoint: str,
        worker_id: str,
        timeout_s: float,
    ) -> None:
        try:
            self._socket = context.socket(zmq.PUSH)
        except zmq.ZMQError as error:
            raise ConnectionError(str(error)) from error
        try:
            self._socket.setsockopt(zmq.LINGER, 0)
            self._socket.setsockopt(zmq.IPV6, 1)
            # Only a connection that is there is written to, and another one would need our name.
            self._socket.setsockopt(zmq.IMMEDIATE, 1)
            self._socket.setsockopt(zmq.RECONNECT_IVL, -1)
            self._socket.setsockopt(zmq.HEARTBEAT_IVL, INTERVAL_MS)
            self._socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, TIMEOUT_MS)
            self._socket.setsockopt(zmq.SNDTIMEO, int(timeout_s * 1000))
            self._socket.connect(endpoint)
            self._socket.send(jobs.encode(jobs.Pulse(worker_id)))
        except zmq.ZMQError as error:
            self.close()
            raise ConnectionError(str(error)) from error

    @property
    def is_beating(self) -> bool:
        """The connection is there."""
        return bool(int(self._socket.getsockopt(_EVENTS)) & _POLLOUT)

    def close(self) -> None:
        """Beat no more."""
        self._socket.close()
