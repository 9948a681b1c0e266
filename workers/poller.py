"""Waiting for ZeroMQ sockets and file descriptors. A part of the shells.

libzmq's own poll asks every socket before it sleeps and again when it wakes up, and every such
question is two system calls: a process with five sockets made 60 of them for a single call.
Here the kernel watches the sockets' descriptors, and only those sockets are asked of which the
descriptor may be silent though messages wait.
Source of the rules: libzmq's manual, ``ZMQ_FD`` in zmq_getsockopt(3).
"""

from __future__ import annotations

import select
from typing import Final, TypeAlias

import zmq

Pollable: TypeAlias = zmq.Socket[bytes] | int

# Plain integers: an operation on pyzmq's flags costs as much as a call into libzmq.
_EVENTS: Final = int(zmq.EVENTS)
_POLLIN: Final = int(zmq.POLLIN)


class Poller:
    """Sockets and descriptors from which somebody waits to read.

    A socket's descriptor signals news, and any use of the socket takes the news in, whether or not
    it takes the messages. So a socket that was reported is asked again before the next wait, unless
    whoever reads from it says that it was `emptied`.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._by_fd: dict[int, Pollable] = {}
        #: Sockets that may hold messages of which their descriptors say nothing.
        self._unsure: set[zmq.Socket[bytes]] = set()

    def __repr__(self) -> str:
        return f"<Poller watched={len(self._by_fd)} unsure={len(self._unsure)}>"

    def register(self, watched: Pollable) -> None:
        """Report this socket or descriptor from now on."""
        if isinstance(watched, int):
            fd = watched
        else:
            fd = int(watched.getsockopt(zmq.FD))
            self._unsure.add(watched)
        self._epoll.register(fd, select.EPOLLIN)
        self._by_fd[fd] = watched

    def close(self) -> None:
        """Watch nothing any more."""
        self._epoll.close()

    def emptied(self, socket: zmq.Socket[bytes]) -> None:
        """A reader got `zmq.Again` from a socket, and nobody has used it since."""
        self._unsure.discard(socket)

    def poll(self, timeout_ms: int) -> set[Pollable]:
        """Wait for something to read, as long as it takes or the timeout allows."""
        unsure = self._unsure
        ready: set[Pollable] = set()
        for socket in unsure:
            if int(socket.getsockopt(_EVENTS)) & _POLLIN:
                ready.add(socket)
        unsure.clear()
        for fd, _ in self._epoll.poll(0 if ready else timeout_ms / 1000):
            ready.add(self._by_fd[fd])
        for watched in ready:
            if not isinstance(watched, int):
                unsure.add(watched)
        return ready
