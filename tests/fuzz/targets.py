"""What is fed with broken bytes, one class each: any exception but the declared is a fault.

A target is opened for a block of inputs, fed one after the other, and closed, which checks what has
to hold at the end. Blocks are independent, so that a block can be repeated alone.
"""

from __future__ import annotations

import contextlib
import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import msgpack
import msgspec
import numpy as np  # noqa: F401 - a worker's columns are its arrays
from fixture_models.typed import Order, Point
from fuzz import pools

from zeropool.gateway.rows import MIN_ALIKE_ROWS, RowCursor
from zeropool.shared import config, jobs
from zeropool.shared.arguments import arguments, check_count
from zeropool.shared.errors import ConfigError, InvalidInput, ProtocolError, WrongArguments
from zeropool.shared.wire import event as wire
from zeropool.shared.wire.channel import Channel
from zeropool.shared.wire.event import MessageIds
from zeropool.shared.wire.event_scan import Event, scan_event
from zeropool.shared.wire.records import RemoteFailure
from zeropool.shared.wire.requested import Requested
from zeropool.shared.wire.session import Role, Session
from zeropool.workers.columns import MIN_ROWS
from zeropool.workers.validation import CompiledSchema, compile_schema

#: A large batch is made of one input in so many: it takes forty times as long.
ALIKE_EVERY = 32
MAX_ALIKE_BYTES = 4096
#: Deeper than this, decoders may refuse what others still read.
SAFE_DEPTH_BYTES = 100


class Fault(Exception):  # noqa: N818 - what fuzzing looks for
    """A target did what it must not do."""


class Target(ABC):
    """One thing that is fed bytes."""

    name: ClassVar[str]
    pool: ClassVar[Sequence[bytes]]

    def open(self, rng: random.Random, folder: Path) -> None:  # noqa: B027 - a hook
        """Begin a block; ``folder`` is for files."""

    @abstractmethod
    def feed(self, data: bytes) -> None:
        """Take one input; raise at a fault."""

    def close(self) -> None:  # noqa: B027 - a hook
        """End a block; raise at a fault."""


class EventTarget(Target):
    """`decode_event`: nothing but `ProtocolError`; it agrees with msgpack on what is an event."""

    name = "event"
    pool = pools.EVENTS

    def feed(self, data: bytes) -> None:
        with contextlib.suppress(*wire.NOT_USUAL):
            scanned = scan_event(data)
            if scanned is not None and _facts(scanned) != _facts(wire.decode_any(data)):
                raise Fault("scanned and decoded it is not the same")
        try:
            event = wire.decode_event(data)
        except ProtocolError:
            if _is_plain_event(data):
                raise Fault("refused what msgpack reads as an event") from None
            return
        parts = _parts(data)
        if parts is None or parts[2] != event.args:
            raise Fault("accepted what msgpack does not read")
        wire.decode_credit(event.args)
        wire.decode_failure(event.args)
        if event.response_to:
            return
        again = wire.encode_request(event.message_id, event.name, event.args, event.timeout_s)
        event.version = wire.PROTOCOL_VERSION
        if _facts(wire.decode_event(again)) != _facts(event):
            raise Fault("does not come back as it was")


def _facts(event: Event) -> tuple[object, ...]:
    return (
        *(event.message_id, event.response_to, event.version),
        *(event.name, event.args, event.timeout_s),
    )


def _parts(data: bytes) -> list[bytes] | None:
    """The three parts of an event as msgpack's own unpacker finds them."""
    unpacker = msgpack.Unpacker(max_buffer_size=max(len(data), 1))
    unpacker.feed(data)
    try:
        if unpacker.read_array_header() != 3:
            return None
        places = [unpacker.tell()]
        for _ in range(3):
            unpacker.skip()
            places.append(unpacker.tell())
    except (ValueError, msgpack.UnpackException, RecursionError):
        return None
    return [data[start:end] for start, end in pairwise(places)]


def _is_plain_event(data: bytes) -> bool:
    """It is an event beyond any doubt: what every known client may send."""
    try:
        value = msgpack.unpackb(data, strict_map_key=True)
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError):
        return False
    match value:
        case [dict(header), str(name), _] if all(type(key) is str for key in header):
            known = header.get("message_id")
            ids = (known, header.get("response_to", ""))
            return (
                isinstance(known, (str, bytes))
                and all(isinstance(each, (str, bytes)) and len(each) < 60 for each in ids)
                and len(name) <= 1_000
                and len(header) <= wire.MAX_HEADER_ENTRIES
                and data.count(b"\x91") + data.count(b"\x81") < SAFE_DEPTH_BYTES
            )
    return False


class ServerSessionTarget(Target):
    """A whole session as a gateway has it, whose owner answers some of what is asked."""

    name = "session"
    pool = pools.EVENTS
    role = Role.SERVER

    def open(self, rng: random.Random, folder: Path) -> None:  # noqa: ARG002 - not all need both
        self._rng = rng
        self._now = 0.0
        self._session = Session(self.role, MessageIds(1))
        self._channels: list[Channel] = []

    def feed(self, data: bytes) -> None:
        self._now += self._rng.random() * 0.2
        route = (self._rng.choice((b"a", b"b", b"c")),)
        signal = self._session.receive(route, data, self._now)
        if isinstance(signal, Requested):
            self._channels.append(signal.channel)
        if self._channels and self._rng.random() < 0.5:
            self._act(self._rng.choice(self._channels))
        self._session.tick(self._now)
        for _, payload in self._session.take_outgoing():
            wire.decode_event(payload)

    def _act(self, channel: Channel) -> None:
        session = self._session
        match self._rng.randrange(5):
            case 0:
                session.answer(channel, b"\x01")
            case 1:
                session.fail(channel, RemoteFailure("A", "b", "c"))
            case 2:
                session.end_stream(channel)
            case _:
                session.send_item(channel, b"\x01")

    def close(self) -> None:
        for name in (b"a", b"b", b"c"):
            self._session.route_lost((name,), self._now)
        if self._session.open_channels or self._session.peers:
            raise Fault(f"{self._session!r} keeps channels of peers that are gone")


class ClientSessionTarget(ServerSessionTarget):
    """A whole session as our client has it, with calls open."""

    name = "client-session"
    role = Role.CLIENT
    pool: ClassVar[Sequence[bytes]] = [
        *pools.captured(),
        *pools.crafted_events(b"\xc4\x10%016x" % 2),
        *pools.crafted_events(b"\xc4\x10%016x" % 3),
    ]

    def open(self, rng: random.Random, folder: Path) -> None:
        super().open(rng, folder)
        self._call()

    def _call(self) -> None:
        for name in (b"a", b"b", b"c"):
            self._channels.append(self._session.call((name,), "m", b"\x90", self._now))

    def feed(self, data: bytes) -> None:
        super().feed(data)
        if not self._session.open_channels:
            self._call()

    def _act(self, channel: Channel) -> None:
        self._session.read(channel, self._rng.randrange(3))


class ArgumentsTarget(Target):
    """Arguments of the gateway's own methods."""

    name = "arguments"
    pool = pools.ARGUMENTS

    def feed(self, data: bytes) -> None:
        with contextlib.suppress(WrongArguments):
            given = arguments(data, "method")
            check_count(len(given), "method", ("a", "b"))


class RowsTarget(Target):
    """Cutting rows without reading them; the pieces are the whole, as msgpack reads it."""

    name = "rows"
    pool = pools.ARGUMENTS

    def open(self, rng: random.Random, folder: Path) -> None:  # noqa: ARG002 - not all need both
        self._rng = rng

    def feed(self, data: bytes) -> None:
        self._cut(data)
        if self._rng.randrange(ALIKE_EVERY) or len(data) > MAX_ALIKE_BYTES:
            return
        # The one argument, as if it were each row of a large batch.
        self._cut(b"\x91\xdc" + MIN_ALIKE_ROWS.to_bytes(2, "big") + data[1:] * MIN_ALIKE_ROWS)

    def _cut(self, data: bytes) -> None:
        rows: list[object] = []
        try:
            # As the end of an event, or as they are.
            before = self._rng.randbytes(self._rng.choice((0, 7, 70)))
            cursor = RowCursor(before + data, "m", len(before))
            while cursor.left:
                count = min(self._rng.choice((1, 2, 16, 64)), cursor.left)
                piece = cursor.next_rows(count)
                rows.extend(_read(piece))
            cursor.discard()
        except WrongArguments:
            if _is_row_array(data):
                raise Fault("refused an array of rows") from None
            return
        whole = _read(data)
        if whole and whole != [None] and _shown(whole[0]) != _shown(rows):
            raise Fault("the pieces are not the whole")


def _read(packed: bytes) -> list[object]:
    """A packed array; `[None]` for what msgpack's structure allows and its reader does not."""
    unpacker = msgpack.Unpacker(strict_map_key=False, max_buffer_size=max(len(packed), 1))
    unpacker.feed(packed)
    try:
        value = unpacker.unpack()
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError):
        return [None]
    return value if isinstance(value, list) else [None]


def _is_row_array(data: bytes) -> bool:
    try:
        value = msgpack.unpackb(data, strict_map_key=False)
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError):
        return False
    return isinstance(value, list) and len(value) == 1 and isinstance(value[0], list)


JSON_SCHEMA = {
    "type": "object",
    "properties": {name: {"type": "number"} for name in pools.ROW},
    "required": list(pools.ROW),
    "additionalProperties": False,
}


class ValidationTarget(Target):
    """Hostile bodies against each kind of schema: the caller's own error, or data."""

    name = "validation"
    pool = pools.ARGUMENTS
    schemas: ClassVar[list[CompiledSchema]] = []

    def open(self, rng: random.Random, folder: Path) -> None:  # noqa: ARG002 - not all need both
        if not self.schemas:
            kinds = ({}, JSON_SCHEMA, {"type": "array", "items": {"type": "integer"}}, Order, Point)
            self.schemas.extend(compile_schema(kind, "fuzz") for kind in kinds)

    def feed(self, data: bytes) -> None:
        for schema in self.schemas:
            with contextlib.suppress(InvalidInput, WrongArguments):
                schema.decode_call(data, "m_predict")
            with contextlib.suppress(InvalidInput, WrongArguments):
                for row in schema.decode_rows(data):
                    if isinstance(row, Exception) and not isinstance(row, InvalidInput):
                        raise Fault(f"a row's error is {row!r}")
            if len(data) <= MAX_ALIKE_BYTES:
                # The one argument, as if it were each row of a large batch.
                self._read(schema, b"\xdc" + MIN_ROWS.to_bytes(2, "big") + data[1:] * MIN_ROWS)

    def _read(self, schema: CompiledSchema, rows: bytes) -> None:
        columns = schema.decode_columns(rows)
        if columns is None:
            return
        for index, row in enumerate(schema.decode_rows(rows)):
            found = {name: values[index].item() for name, values in columns.items()}
            if _shown(found) != _shown(_named(row, list(columns))):
                raise Fault("columns are not the rows")


def _named(row: object, names: list[str]) -> object:
    read = msgspec.to_builtins(row)
    return {name: read[name] for name in names} if isinstance(read, dict) else row


class FromWorkerTarget(Target):
    """Frames on the gateway's worker port, as bytes."""

    name = "from-worker"
    pool = pools.FROM_WORKER

    def feed(self, data: bytes) -> None:
        try:
            message = jobs.decode_from_worker(data)
        except ProtocolError:
            return
        frame = jobs.encode(message)
        if jobs.encode(jobs.decode_from_worker(frame)) != frame:
            raise Fault("does not come back as it was")


class FromGatewayTarget(Target):
    """Frames on a worker's port, as bytes."""

    name = "from-gateway"
    pool = pools.FROM_GATEWAY

    def feed(self, data: bytes) -> None:
        try:
            message = jobs.decode_from_gateway(data)
        except ProtocolError:
            return
        frame = jobs.encode(message)
        if jobs.encode(jobs.decode_from_gateway(frame)) != frame:
            raise Fault("does not come back as it was")


class ConfigTarget(Target):
    """Configuration files."""

    name = "config"
    pool = pools.TOML

    def open(self, rng: random.Random, folder: Path) -> None:
        self._file = folder / "zeropool.toml"
        self._rng = rng

    def feed(self, data: bytes) -> None:
        self._file.write_bytes(data)
        profile = self._rng.choice(("", "", "Fast", "ProdConfig"))
        environ = {"APP_SETTINGS": profile} if profile else {}
        with contextlib.suppress(ConfigError):
            config.load(self._file, environ, {})


def _shown(value: object) -> str:
    """Text that is equal for equal values, NaN included; Python shows only so many levels."""
    try:
        return repr(value)
    except RecursionError:
        return "nested too deeply to be shown"
