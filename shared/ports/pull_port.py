"""A port where messages are only taken: all that is said there is that somebody is alive."""

from __future__ import annotations

from zeropool.shared.ports.callers import Caller
from zeropool.shared.ports.connections import Connections
from zeropool.shared.ports.reception import Reception, Report
from zeropool.shared.push import MAX_UNREAD_BYTES
from zeropool.shared.wire.kinds import Kind


class PullPort(Reception):
    """The port for peers that PUSH; the arguments are those of `Reception`."""

    def __init__(  # noqa: PLR0913 - the whole of what a port is given
        self,
        connections: Connections,
        report: Report,
        *,
        who: str,
        prefix: str,
        max_message_bytes: int,
        max_unfinished_bytes: int,
    ) -> None:
        super().__init__(
            Kind.PULL,
            connections,
            report,
            who=who,
            prefix=prefix,
            max_message_bytes=max_message_bytes,
            max_unfinished_bytes=max_unfinished_bytes,
        )

    def _keep_unread(self, caller: Caller, now: float, *, has_taken: bool) -> None:
        """A peer that asks for signs of life and reads none."""
        if not has_taken and caller.outgoing.held_bytes > MAX_UNREAD_BYTES:
            self._shut_out(caller, f"{self._who}_unread", "", now)
