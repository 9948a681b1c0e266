"""The command that every call ends with.

Apart from the other ones, because it is compiled where there is a compiler, as `Requested` is.
"""

from __future__ import annotations

from zeropool.shared.wire.records import Route


class Reply:
    """Send a payload to a client."""

    __slots__ = ("payload", "route")

    def __init__(self, route: Route, payload: bytes) -> None:
        self.route = route
        self.payload = payload

    def __repr__(self) -> str:
        return f"<Reply {len(self.payload)} bytes>"
