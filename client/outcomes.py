"""How a call of a client can end: plain records, and `Answered`.

Apart from `call`, because that is compiled where there is a compiler, and msgspec's classes cannot
be.
"""

from __future__ import annotations

import msgspec

from zeropool.client.answered import Answered
from zeropool.shared.wire.records import RemoteFailure


class Ended(msgspec.Struct, frozen=True, gc=False):
    """The stream is complete."""


class Failed(msgspec.Struct, frozen=True, gc=False):
    """The server answered with an error."""

    failure: RemoteFailure


class Lost(msgspec.Struct, frozen=True, gc=False):
    """The server fell silent, the connection broke, or the client was closed."""

    reason: str


class Expired(msgspec.Struct, frozen=True, gc=False):
    """There was no answer in time."""

    #: Why the call could not even be sent; empty where it was.
    reason: str = ""


Outcome = Answered | Ended | Failed | Lost | Expired
