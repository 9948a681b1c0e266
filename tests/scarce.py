"""A kernel that has no more of something, in the place of `select.epoll` or a listening socket."""

import errno
import math
import os
import select
import socket

_EPOLL = select.epoll


class Watches:
    """What the kernel can watch: ``left`` sockets more."""

    def __init__(self):
        self.left = math.inf

    def epoll(self):
        return _Epoll(self)


class _Epoll:
    """As `select.epoll`, which cannot be subclassed."""

    def __init__(self, watches):
        self._epoll = _EPOLL()
        self._watches = watches

    def register(self, fd, events):
        if not self._watches.left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._watches.left -= 1
        self._epoll.register(fd, events)

    def unregister(self, fd):
        self._watches.left += 1
        self._epoll.unregister(fd)

    def __getattr__(self, name):
        return getattr(self._epoll, name)


class Listening(socket.socket):
    """A listening socket of a kernel that will not have the memory for ``failures`` connections."""

    failures = 0

    def accept(self):
        if self.failures:
            self.failures -= 1
            raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))
        return super().accept()
