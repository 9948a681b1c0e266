"""One ZeroRPC event, as bytes and as values. No I/O, no state but a counter for message ids.

An event is the msgpack array ``[header, name, args]``. Ids and arguments stay msgpack bytes:
an id must go back in ``response_to`` with the very type it came with, and arguments are for
whoever knows the method. So decoding costs about the same whatever the size of the payload.
Source: ZeroRPC v3 as spoken by zerorpc-python 0.6.3 and zerorpc-node 0.9.8.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterable
from typing import Final

import msgpack
import msgspec

from zeropool.shared.errors import ProtocolError
from zeropool.shared.wire.event_scan import Event, scan_event
from zeropool.shared.wire.records import NIL, Header, RemoteFailure

PROTOCOL_VERSION: Final = 3
#: A request without ``v`` comes from a v1 peer (zerorpc-python 0.6.3, events.py).
OLDEST_VERSION: Final = 1
#: From this version on, ERR carries name, message and traceback apart.
DETAILED_ERRORS_SINCE: Final = 2
#: The name of an error that travels without one.
UNNAMED_FAILURE: Final = "RemoteError"
#: From this version on, credit travels in ``_zpc_more``; before, in ``_zpc_hb``.
SEPARATE_CREDIT_SINCE: Final = 3

HEARTBEAT: Final = "_zpc_hb"
MORE: Final = "_zpc_more"
CONTROL_PREFIX: Final = "_zpc_"
OK: Final = "OK"
ERR: Final = "ERR"
STREAM: Final = "STREAM"
STREAM_DONE: Final = "STREAM_DONE"
TERMINAL: Final = frozenset((OK, ERR, STREAM_DONE))

#: Ours and all known peers' ids are at most 38 bytes; the rest is room for foreign ones.
MAX_ID_BYTES: Final = 256
#: A name is echoed in errors and looked up in a table; no method is called anything like it.
MAX_NAME_BYTES: Final = 4096
#: A grant is an array of one integer, at most 10 bytes; the rest is room for foreign ones.
MAX_CREDIT_BYTES: Final = 64
#: A type byte and 64 bits.
MAX_NUMBER_BYTES: Final = 9
#: A header holds three entries and middleware context (trace ids and the like).
MAX_HEADER_ENTRIES: Final = 64

_HEX_DIGITS: Final = 16

#: What may come out of a decoder that is fed hostile bytes (measured with msgpack 1.2.4).
DECODE_ERRORS: Final = (
    ValueError,
    TypeError,
    OverflowError,
    RecursionError,
    MemoryError,
    msgpack.UnpackException,
    msgspec.MsgspecError,
)


#: What comes out of a scan of bytes that end too early, or are no event.
NOT_USUAL: Final = (IndexError, *DECODE_ERRORS)
_DECODER: Final = msgspec.msgpack.Decoder(tuple[Header, str, msgspec.Raw])


def decode_event(payload: bytes) -> Event:
    """Decode a payload as far as header and name.

    Raises:
        ProtocolError: it is no event, or has no usable ``message_id``.
    """
    try:
        event = scan_event(payload)
    except NOT_USUAL:
        event = None
    return decode_any(payload) if event is None else event


def decode_any(payload: bytes) -> Event:
    """Decode an event of whatever form, as `decode_event` does with those that are not usual.

    Raises:
        ProtocolError: as there.
    """
    try:
        header, name, args = _DECODER.decode(payload)
    except DECODE_ERRORS:
        return _decode_patiently(payload)
    return _event(header, name, bytes(args))


def _event(header: Header, name: str, args: bytes) -> Event:
    message_id = bytes(header.message_id)
    response_to = bytes(header.response_to)
    if not message_id or message_id == NIL:
        raise ProtocolError("event without message_id")
    if len(message_id) > MAX_ID_BYTES or len(response_to) > MAX_ID_BYTES:
        raise ProtocolError(f"id of over {MAX_ID_BYTES} bytes")
    if len(name) > MAX_NAME_BYTES:
        raise ProtocolError(f"name of {len(name)} characters exceeds {MAX_NAME_BYTES}")
    if response_to == NIL:
        response_to = b""
    packed_version = bytes(header.v)
    is_usual = packed_version == _PACKED_VERSION
    version = PROTOCOL_VERSION if is_usual else _version(packed_version)
    packed_timeout = bytes(header.timeout_s)
    timeout_s = None if packed_timeout == NIL else _timeout(packed_timeout)
    return Event(message_id, response_to, version, name, args, timeout_s)


def _version(claimed: bytes) -> int:
    number = _number(claimed)
    # Where a language has but one type of number, 3 may travel as 3.0.
    if number is None or number != number // 1:
        return OLDEST_VERSION
    return int(number)


def _timeout(claimed: bytes) -> float | None:
    number = _number(claimed)
    return None if number is None or number < 0 else float(number)


def _number(packed: bytes) -> int | float | None:
    if len(packed) > MAX_NUMBER_BYTES:
        return None
    try:
        number = msgspec.msgpack.decode(packed)
    except DECODE_ERRORS as error:
        raise ProtocolError("malformed msgpack in the header") from error
    if type(number) is int or (type(number) is float and math.isfinite(number)):
        return number
    return None


_PACKED_VERSION: Final = msgspec.msgpack.encode(PROTOCOL_VERSION)
_HEADER: Final = msgspec.msgpack.Decoder(Header)
#: A type byte and a 32-bit length.
_MAX_NAME_HEAD_BYTES: Final = 5


def _decode_patiently(payload: bytes) -> Event:
    """Accept what real servers accept too: bytes after the event, a name that is no string."""
    unpacker = msgpack.Unpacker(
        max_buffer_size=max(len(payload), 1),
        max_str_len=MAX_NAME_BYTES,
        max_bin_len=MAX_NAME_BYTES,
        max_array_len=MAX_HEADER_ENTRIES,
        max_map_len=MAX_HEADER_ENTRIES,
        max_ext_len=MAX_NAME_BYTES,
    )
    try:
        unpacker.feed(payload)
        parts = unpacker.read_array_header()
        header_at = unpacker.tell()
        unpacker.skip()
        name_at = unpacker.tell()
        header = _HEADER.decode(payload[header_at:name_at])
        unpacker.skip()
        args_at = unpacker.tell()
        name = _odd_name(payload[name_at:args_at])
        unpacker.skip()
        end = unpacker.tell()
    except DECODE_ERRORS as error:
        raise ProtocolError(f"no ZeroRPC event: {type(error).__name__}") from error
    if parts != len(("header", "name", "args")):
        raise ProtocolError(f"event of {parts} parts instead of 3")
    return _event(header, name, payload[args_at:end])


def _odd_name(packed: bytes) -> str:
    if len(packed) > MAX_NAME_BYTES + _MAX_NAME_HEAD_BYTES:
        raise ProtocolError(f"name of over {MAX_NAME_BYTES} bytes")
    # A name that is no string can nest deeper than `str` follows.
    return str(msgpack.unpackb(packed))


def decode_credit(args: bytes) -> int:
    """The number in the arguments of `_zpc_more` or `_zpc_hb`; 0 where there is none."""
    if len(args) > MAX_CREDIT_BYTES:
        return 0
    try:
        values = msgspec.msgpack.decode(args)
    except DECODE_ERRORS:
        return 0
    if type(values) is not list or not values:
        return 0
    slots = values[0]
    # zerorpc-python takes `int()` of it: 100.0 counts, infinity and NaN do not.
    if type(slots) is int or (type(slots) is float and math.isfinite(slots)):
        return int(slots)
    return 0


def decode_failure(args: bytes) -> RemoteFailure:
    """What an ERR event's arguments say, in the form of any protocol version."""
    try:
        values = msgspec.msgpack.decode(args)
        if type(values) is not list:
            values = [values]
        texts = ["" if value is None else str(value) for value in values[:3]]
    except DECODE_ERRORS:
        texts = []
    if len(texts) == 3:
        return RemoteFailure(*texts)
    return RemoteFailure(UNNAMED_FAILURE, " ".join(texts), "")


def failure_name(payload: bytes) -> str:
    """Name of the error that a whole ERR event tells."""
    try:
        return decode_failure(decode_event(payload).args).name or UNNAMED_FAILURE
    except ProtocolError:
        return UNNAMED_FAILURE


class MessageIds:
    """Ids that are unique in one process and unlikely to meet another process's."""

    def __init__(self, start: int | None = None) -> None:
        self._last = secrets.randbits(62) if start is None else start
        # What this id and the next ones begin with, as formatting is most of what an id costs.
        self._head = b""

    def __call__(self) -> bytes:
        """Return a new id as msgpack bytes: a bin of 16 hexadecimal digits."""
        self._last += 1
        end = self._last & _LAST_BYTE
        if not end or not self._head:
            self._head = b"\xc4\x10%014x" % (self._last >> 8)
        return self._head + _LAST_DIGITS[end]


_LAST_BYTE: Final = 0xFF
_LAST_DIGITS: Final = [b"%02x" % number for number in range(_LAST_BYTE + 1)]


#: What stands before and behind the message id, in replies, requests, and requests with a deadline.
REPLY_HEAD: Final = b"\x93\x83\xaamessage_id"
REPLY_VERSION: Final = b"\xa1v\x03\xabresponse_to"
REQUEST_HEAD: Final = b"\x93\x82\xaamessage_id"
DEADLINE_HEAD: Final = b"\x93\x83\xaamessage_id"
REQUEST_VERSION: Final = b"\xa1v\x03"
DEADLINE_VERSION: Final = REQUEST_VERSION + b"\xa9timeout_s"
_PACKED_NAMES: Final = {
    name: msgspec.msgpack.encode(name) for name in (HEARTBEAT, MORE, OK, ERR, STREAM, STREAM_DONE)
}
_BEAT_ARGS: Final = b"\x91\x00"
_encode = msgspec.msgpack.encode
_ONE: Final = b"\x91"


def encode_reply(message_id: bytes, response_to: bytes, name: str, args: bytes) -> bytes:
    """Encode an event on the channel ``response_to``; ids and args are msgpack bytes."""
    return b"".join((REPLY_HEAD, message_id, REPLY_VERSION, response_to, _PACKED_NAMES[name], args))


def encode_ok(message_id: bytes, response_to: bytes, value: bytes) -> bytes:
    """Encode the answer of a call; ``value`` is the result as msgpack bytes."""
    return encode_reply(message_id, response_to, OK, _ONE + value)


def encode_ok_of_parts(message_id: bytes, response_to: bytes, parts: Iterable[bytes]) -> bytes:
    """The same where the result is in parts, which are copied once: together they may be large."""
    head = (REPLY_HEAD, message_id, REPLY_VERSION, response_to, _PACKED_NAMES[OK], _ONE)
    return b"".join((*head, *parts))


def encode_beat(message_id: bytes, response_to: bytes) -> bytes:
    """Encode a heartbeat. It grants nothing, so that v1 and v2 peers may read it as credit."""
    return encode_reply(message_id, response_to, HEARTBEAT, _BEAT_ARGS)


def encode_more(message_id: bytes, response_to: bytes, slots: int) -> bytes:
    """Encode a grant of ``slots`` more data events."""
    return encode_reply(message_id, response_to, MORE, msgspec.msgpack.encode([slots]))


def encode_failure(version: int, failure: RemoteFailure) -> bytes:
    """The arguments of an ERR event, in the form that a peer of ``version`` understands."""
    if version < DETAILED_ERRORS_SINCE:
        texts = [f"{failure.name}({failure.message!r})"]
    else:
        texts = [failure.name, failure.message, failure.traceback]
    try:
        return msgspec.msgpack.encode(texts)
    except UnicodeEncodeError:
        return msgspec.msgpack.encode([_without_surrogates(text) for text in texts])


def _without_surrogates(text: str) -> str:
    # Lone surrogates (file names, for one) have no UTF-8 form; an error must still be told.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def encode_request(
    message_id: bytes, name: str, args: Iterable[object] | bytes, timeout_s: float | None = None
) -> bytes:
    """Encode an event that opens a channel. Ready ``args`` bytes are taken as they are.

    Raises:
        TypeError, OverflowError, UnicodeEncodeError: the name or an argument has no msgpack form.
    """
    packed = args if isinstance(args, bytes) else _encode(list(args))
    name_bytes = _encode(name)
    if timeout_s is None:
        return b"".join((REQUEST_HEAD, message_id, REQUEST_VERSION, name_bytes, packed))
    deadline = _encode(timeout_s)
    return b"".join((DEADLINE_HEAD, message_id, DEADLINE_VERSION, deadline, name_bytes, packed))
