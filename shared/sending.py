"""Sending on a socket of the kernel's as much as it takes. A part of the shells."""

from __future__ import annotations

import socket

from zeropool.shared.wire.outgoing import Outgoing


def send(sock: socket.socket, outgoing: Outgoing) -> bool:
    """Send until nothing is left or the kernel takes no more; tell whether it took anything.

    Raises:
        OSError: the connection has ended.
    """
    has_taken = False
    try:
        while outgoing.held_bytes:
            parts = outgoing.parts()
            sent = sock.send(parts[0]) if len(parts) == 1 else sock.sendmsg(parts)
            outgoing.took(sent)
            has_taken = True
    except BlockingIOError:
        pass
    return has_taken
