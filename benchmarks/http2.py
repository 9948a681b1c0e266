"""As much of HTTP/2 and gRPC as a client needs that makes one call again and again. No I/O.

The first request on a connection puts its headers into the server's table, the others name them
there by a byte each. Of an answer only the message is looked at: a call that fails has none.
Sources: RFC 9113 (frames), RFC 7541 (HPACK), grpc/doc/PROTOCOL-HTTP2.md (messages).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple


class Kind(IntEnum):
    """Of a frame (RFC 9113, 6)."""

    DATA = 0
    HEADERS = 1
    RST_STREAM = 3
    SETTINGS = 4
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8


class Frame(NamedTuple):
    """One frame; `stream` is 0 for those that concern the connection."""

    kind: int
    flags: int
    stream: int
    payload: bytes


ACK, END_STREAM, END_HEADERS = 0x1, 0x1, 0x4
HEAD_BYTES = 9
#: Length (3 bytes), kind, flags, stream.
_HEAD = struct.Struct(">BHBBL")

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#: The first stream that a client opens, and from one to the next.
FIRST_STREAM, STREAM_STEP = 1, 2
#: RFC 9113, 6.9: what a window begins with, and the most that it can be.
_WINDOW, _LARGEST_WINDOW = 65_535, 2**31 - 1

# RFC 7541, appendix A: the static table has `:method: POST`, `:scheme: http`, and these names.
_POST, _HTTP = b"\x83", b"\x86"
_AUTHORITY, _PATH, _CONTENT_TYPE = 1, 4, 31
_INCREMENTAL = 0x40
_INDEXED = 0x80
#: The dynamic table's newest entry; older ones follow.
_NEWEST = 62


def frame(kind: Kind, flags: int, stream: int, payload: bytes) -> bytes:
    """Pack a frame."""
    size = len(payload)
    return _HEAD.pack(size >> 16, size & 0xFFFF, kind, flags, stream) + payload


def frames(received: bytearray) -> Iterator[Frame]:
    """Take the complete frames off the front."""
    at, end = 0, len(received)
    while end - at >= HEAD_BYTES:
        high, low, kind, flags, stream = _HEAD.unpack_from(received, at)
        next_at = at + HEAD_BYTES + (high << 16) + low
        if next_at > end:
            break
        yield Frame(kind, flags, stream, bytes(received[at + HEAD_BYTES : next_at]))
        at = next_at
    del received[:at]


def greeting() -> bytes:
    """What a client sends first: no limit to what it can take that this load could reach."""
    increment = struct.pack(">L", _LARGEST_WINDOW - _WINDOW)
    return PREFACE + frame(Kind.SETTINGS, 0, 0, b"") + frame(Kind.WINDOW_UPDATE, 0, 0, increment)


def message(body: bytes) -> bytes:
    """A gRPC message: not compressed, its length, itself."""
    return b"\0" + struct.pack(">L", len(body)) + body


def first_headers(authority: str, path: str) -> bytes:
    """The headers of the first call on a connection."""
    return (
        _POST
        + _HTTP
        + _literal(_PATH, path)
        + _literal(_AUTHORITY, authority)
        + _literal(_CONTENT_TYPE, "application/grpc")
        + bytes([_INCREMENTAL])
        + _text("te")
        + _text("trailers")
    )


#: The headers of all later calls: the four that the first one added, oldest first.
LATER_HEADERS = _POST + _HTTP + bytes(_INDEXED | (_NEWEST + age) for age in (3, 2, 1, 0))


def call(stream: int, headers: bytes, body: bytes) -> bytes:
    """Both frames of a call."""
    return frame(Kind.HEADERS, END_HEADERS, stream, headers) + frame(
        Kind.DATA, END_STREAM, stream, message(body)
    )


def _literal(name: int, value: str) -> bytes:
    return bytes([_INCREMENTAL | name]) + _text(value)


def _text(value: str) -> bytes:
    """Not compressed; shorter than the 127 bytes that a length in one byte can say."""
    return bytes([len(value)]) + value.encode()
