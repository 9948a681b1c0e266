"""What travels between the parts of the wire protocol: plain records, compared by value.

Apart from the code that makes them, because that is compiled where there is a compiler, and
msgspec's classes cannot be.
"""

from __future__ import annotations

import msgspec

#: What leads back to a peer: its connection, and the frames of any devices between.
Route = tuple[bytes, ...]
#: The first of these, by which the port knows a connection. It alone says who a client is:
#: the frames after it are the peer's own words, and whoever makes them up must gain nothing.
Client = bytes

#: msgpack's nil: the arguments of STREAM_DONE.
NIL = b"\xc0"


class RemoteFailure(msgspec.Struct, frozen=True, gc=False):
    """What an ERR event says. A v1 peer fills only ``message``."""

    name: str
    message: str
    traceback: str


class Header(msgspec.Struct, gc=False):
    """The header's entries that mean something here; all others are middleware context."""

    message_id: msgspec.Raw = msgspec.Raw(b"")
    response_to: msgspec.Raw = msgspec.Raw(NIL)
    # Raw, because anything may stand there, of any size: _number() builds only what is a number.
    v: msgspec.Raw = msgspec.Raw(NIL)
    timeout_s: msgspec.Raw = msgspec.Raw(NIL)


class AnswerHeader(msgspec.Struct, gc=False):
    """All that the header of an answer has to say to its caller."""

    response_to: msgspec.Raw = msgspec.Raw(b"")
