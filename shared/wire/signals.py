"""What a session tells its owner: records, made for each event that changes something for it."""

from __future__ import annotations

import msgspec

from zeropool.shared.wire.channel import Channel
from zeropool.shared.wire.records import RemoteFailure
from zeropool.shared.wire.requested import Requested


class Granted(msgspec.Struct, frozen=True):
    """The peer granted credit; what waited for it is already on its way."""

    channel: Channel


class Lost(msgspec.Struct, frozen=True):
    """The peer fell silent or vanished; the channel is closed."""

    channel: Channel
    silent_for_s: float


class Answered(msgspec.Struct, frozen=True):
    """Client role: the call ended well. ``args`` is the packed argument array."""

    channel: Channel
    args: bytes


class Failed(msgspec.Struct, frozen=True):
    """Client role: the server answered with an error."""

    channel: Channel
    failure: RemoteFailure


class Item(msgspec.Struct, frozen=True):
    """Client role: one item of a stream, as msgpack bytes."""

    channel: Channel
    value: bytes


class Ended(msgspec.Struct, frozen=True):
    """Client role: the stream is complete."""

    channel: Channel


Signal = Requested | Granted | Lost | Answered | Failed | Item | Ended
