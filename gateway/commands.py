"""What the gateway's core asks its shell to do. Imperatives, carried out in the order given."""

from __future__ import annotations

import enum

import msgspec

from zeropool.gateway.reply import Reply


class Connect(msgspec.Struct, frozen=True, gc=False):
    """Open a connection of its own to a worker."""

    worker_id: str
    endpoint: str


class Tell(msgspec.Struct, frozen=True, gc=False):
    """Send a frame of the worker protocol to a connected worker."""

    worker_id: str
    frame: bytes


class Disconnect(msgspec.Struct, frozen=True, gc=False):
    """Close a worker's socket; nothing more goes to this incarnation."""

    worker_id: str


class Note(enum.Enum):
    """Events of the pool that are worth a line in the log, at most one for each worker's step."""

    WORKER_READY = "worker ready"
    #: It is spent and may go now.
    WORKER_RETIRING = "worker retiring"
    WORKER_DRAINING = "worker draining"
    WORKER_GONE = "worker gone"
    WORKER_LOST = "worker lost"
    WORKER_REFUSED = "worker refused"


class Log(msgspec.Struct, frozen=True):
    """Write a line to the log."""

    note: Note
    fields: dict[str, object]


Command = Reply | Connect | Tell | Disconnect | Log
