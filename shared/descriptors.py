"""How many files and sockets this process may have open at once."""

from __future__ import annotations

import resource


def raise_limit() -> int:
    """Raise the limit to what the system allows without privileges; return what holds now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        # Some systems give no process what they call unlimited.
        return soft
    return hard
