"""How a server's process says that its model is loaded and warm: a line in the server's log.

A server with several processes is ready when as many have said so; an answer from one of them
would not tell about the others.
"""

from __future__ import annotations

import os

#: A line of its own, so that no other output is taken for it.
READY = b"\nready to be measured\n"


def tell_ready() -> None:
    """Say so on standard output, past all buffers, in one write."""
    os.write(1, READY)
