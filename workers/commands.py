"""What a worker's core asks its shell to do. Imperatives, carried out in the order given."""

from __future__ import annotations

import enum

import msgspec


class Send(msgspec.Struct, frozen=True, gc=False):
    """Send a frame of the worker protocol to the gateway of that number."""

    link: int
    frame: bytes


class Note(enum.Enum):
    """Events of a worker that are worth a line in its log."""

    #: The first gateway has welcomed it: from here on it can be given work.
    READY = "ready"
    #: Its models need more than `max_rss_mb`, which is ignored.
    BORN_LARGE = "max_rss_mb is less than the models need"
    #: It has asked to be replaced.
    SPENT = "spent"
    DRAINING = "draining"
    NO_GATEWAY = "no gateway answers"
    #: A connection broke with more on its way than is kept.
    RESULTS_LOST = "results lost"
    MALFORMED = "dropped a message"


class Log(msgspec.Struct, frozen=True):
    """Write a line to the log."""

    note: Note
    fields: dict[str, object]


class Ready(msgspec.Struct, frozen=True):
    """Tell whoever started this worker: all its gateways have welcomed it, for the first time."""


Command = Send | Log | Ready
