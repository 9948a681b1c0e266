"""What bounds one gateway, as numbers; where they come from is the configuration's business."""

from __future__ import annotations

from dataclasses import dataclass

from zeropool.shared.ports.connections import ACCEPT_BURST

#: The gateway's own files and sockets, with room for those that wait to be closed.
OWN_DESCRIPTORS = 64
#: A worker has a connection each way, and its pulse.
DESCRIPTORS_PER_WORKER = 3
#: An idle connection was measured at 2 KiB of memory, beside the kernel's; a busy one holds more.
MOST_CONNECTIONS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What bounds the gateway; the meaning of each is documented with the configuration."""

    max_request_bytes: int
    max_reply_bytes: int
    max_held_bytes: int
    max_unread_bytes: int
    max_attempts: int
    max_workers: int
    startup_grace_s: float
    stream_idle_s: float


def most_connections(wanted: int, descriptors: int, workers: int) -> int:
    """How many clients may be connected, so that ``workers`` workers can still register.

    ``wanted`` is the configured number, 0 for as many as are reasonable.
    """
    reserved = OWN_DESCRIPTORS + ACCEPT_BURST + DESCRIPTORS_PER_WORKER * workers
    room = descriptors - min(reserved, descriptors // 2)
    return min(wanted or MOST_CONNECTIONS, room)
