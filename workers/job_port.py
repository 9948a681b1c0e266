"""A worker's port for jobs: the connections of its gateways. A part of the shell; decides nothing.

While a model computes, nobody looks here, and what gateways say waits in the kernel. That the
worker is alive then, `pulse` tells.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import Final

from zeropool.shared.ports.callers import Caller
from zeropool.shared.ports.connections import Connections
from zeropool.shared.ports.listening import listen, unlink_ipc
from zeropool.shared.ports.pull_port import PullPort
from zeropool.shared.ports.reception import Report
from zeropool.shared.sockets import endpoint_of
from zeropool.shared.wire.kinds import Kind

#: More gateways than anybody runs, and strangers among them.
MAX_CONNECTIONS: Final = 1_024
#: What a gateway sends is bounded by our credit and its own limits; no argument of a job is larger.
MAX_MESSAGE_BYTES: Final = 1 << 32
#: The next piece of a message comes as soon as the gateway runs.
NEXT_PIECE_S: Final = 0.002


class JobPort(PullPort):
    """Takes messages from gateways.

    Args:
        endpoint: where to listen; the system may choose the port.
        take: gets each message.
        report: gets what was wrong with a connection.
    """

    def __init__(self, endpoint: str, take: Callable[[bytes, float], None], report: Report) -> None:
        super().__init__(
            Kind.PULL,
            Connections(max_connections=MAX_CONNECTIONS, max_per_address=0),
            report,
            who="gateway",
            prefix="gateway_",
            max_message_bytes=MAX_MESSAGE_BYTES,
            max_unfinished_bytes=MAX_MESSAGE_BYTES,
        )
        #: Where gateways find it.
        self.endpoint = endpoint
        self._message = take

    @property
    def has_callers(self) -> bool:
        """Somebody is connected."""
        return bool(self._by_fd)

    def open(self, epoll: select.epoll) -> None:
        """Listen.

        Raises:
            ConfigError: the endpoint cannot be bound.
        """
        sock = listen(self.endpoint, "worker.bind")
        self.endpoint = endpoint_of(sock)
        self._listen(sock, epoll)

    def close(self) -> None:
        """Hang up."""
        unlink_ipc(self.endpoint)
        self._listener.close()
        self._close()

    @property
    def is_amid_message(self) -> bool:
        """A part of a message is here, and the rest is not."""
        return self._unfinished.held_bytes > 0

    def finish_message(self, until: float, clock: Callable[[], float]) -> None:
        """Go on reading for as long as more comes: the kernel holds a part of a large message."""
        while self.is_amid_message and (now := clock()) < until:
            if not self._epoll.poll(NEXT_PIECE_S):
                return
            self._take(now)
            self.flush(now)

    def was_away(self, for_s: float) -> None:
        """Nobody looked for so long: whoever waited for us in a handshake did not dawdle."""
        if self._strangers:
            for caller in self._strangers.values():
                caller.silent_until += for_s

    def _pass_on(self, caller: Caller, payloads: list[bytes], now: float) -> None:  # noqa: ARG002
        """Messages have come. Each is one frame; empty ones before it do no harm."""
        for payload in payloads:
            self._message(payload, now)

    def _gone(self, caller: Caller, now: float) -> None:
        """A gateway that is gone comes back, or another does, when it hears of us."""
