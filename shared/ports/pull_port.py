"""A port where messages are only taken: all that is said there is that somebody is alive."""

from __future__ import annotations

from zeropool.shared.ports.callers import Caller
from zeropool.shared.ports.reception import Reception
from zeropool.shared.push import MAX_UNREAD_BYTES


class PullPort(Reception):
    """The port for peers that PUSH."""

    def _keep_unread(self, caller: Caller, now: float, *, has_taken: bool) -> None:
        """A peer that asks for signs of life and reads none."""
        if not has_taken and caller.outgoing.held_bytes > MAX_UNREAD_BYTES:
            self._shut_out(caller, f"{self._who}_unread", "", now)
