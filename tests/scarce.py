"""A kernel that has no more of something, in the place of a listening socket."""

import errno
import os
import socket


class Listening(socket.socket):
    """A listening socket of a kernel that will not have the memory for ``failures`` connections."""

    failures = 0

    def accept(self):
        if self.failures:
            self.failures -= 1
            raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))
        return super().accept()
