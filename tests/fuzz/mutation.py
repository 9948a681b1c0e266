"""Broken and hostile inputs made of good ones, drawn from a generator that the caller seeds.

Two ways: on bytes (flip, cut, repeat, splice, lie about a length), and on the structure that the
bytes stand for (another type in some place, deeper, longer, missing, twice). It knows MessagePack
and nothing of ZeroRPC.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence
from typing import Any

import msgpack

#: Type bytes and lengths that announce more than there is, or what no peer sends.
LIES = (
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xdc\xff\xff",
    b"\xde\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\xdb\x7f\xff\xff\xff",
    b"\xc9\xff\xff\xff\xff\x01",
    b"\xc1",
    b"\xc7\x0c\xff" + b"\x00" * 12,
    b"\xd6\xff\x00\x00\x00\x00",
    b"\xd4\x05\x00",
    b"\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00",
    b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00",
    b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\xd3\x80\x00\x00\x00\x00\x00\x00\x00",
    b"\xa2\xff\xfe",
    b"\x90",
    b"\x80",
    b"\xc0",
    b"\x91" * 40,
    b"\x81\xa1k" * 40,
)
#: Values that stand at the edge of some range or type.
ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 3, 3.0, 127, 128, 255, 256, 65_535, 65_536),
    *(2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1, -(2**31), -(2**63)),
    *(0.0, -0.0, 0.1, 1e300, -1e300, float("inf"), float("-inf"), float("nan")),
    *("", "x", "OK", "_zpc_hb", "_zpc_more", "STREAM", "x" * 300, "\x00", "\U0001f600", "é"),
    *(b"", b"\x00", b"\xff\xfe", b"x" * 300),
    *([], {}, [[]], [None], {"": None}, {b"k": 1}, {1: 2}, [[[[[[]]]]]], [0] * 70),
    msgpack.ExtType(5, b"ext"),
    msgpack.Timestamp(0, 0),
)
#: The same by type: a decoder that checks types lets these through to whoever is behind it.
ODD_BY_TYPE = {
    kind: [value for value in ODD_VALUES if type(value) is kind]
    for kind in (int, float, str, bytes, list, dict, bool)
}
#: Nesting around the limits of decoders: 512 and 1,024 levels.
DEPTHS = (5, 100, 511, 513, 1_025, 5_000)
MAX_INPUT_BYTES = 20_000


class Mutator:
    """Draws inputs; the same seed and pool give the same inputs."""

    def __init__(self, rng: random.Random, pool: Sequence[bytes]) -> None:
        self._rng = rng
        self._pool = pool
        # What cannot be read as structure is mutated as bytes only.
        self._values = [value for value in map(_unpacked, pool) if value is not None]

    def draw(self) -> bytes:
        """The next input."""
        kind = self._rng.random()
        if kind < 0.05:
            return self._rng.randbytes(self._rng.randrange(64))
        if kind < 0.10:
            return b"".join(self._rng.choices(LIES, k=self._rng.randrange(1, 6)))
        if kind < 0.55 and self._values:
            payload = self._structure()
            # Now and then both: a wrong structure, and then wrong bytes.
            return self._bytes(payload) if self._rng.random() < 0.2 else payload
        return self._bytes(self._rng.choice(self._pool))

    # Bytes

    def _bytes(self, payload: bytes) -> bytes:
        rng = self._rng
        data = bytearray(payload[:MAX_INPUT_BYTES])
        for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
            at = rng.randrange(len(data) + 1)
            match rng.randrange(8):
                case 0 | 1 if data:
                    data[at % len(data)] ^= 1 << rng.randrange(8)
                case 2 if data:
                    data[at % len(data)] = rng.randrange(256)
                case 3:
                    del data[at:]
                case 4:
                    del data[at : at + rng.randrange(1, 9)]
                case 5:
                    data[at:at] = rng.choice(LIES)
                case 6:
                    data[at:at] = data[at : at + rng.randrange(1, 33)]
                case _:
                    other = rng.choice(self._pool)
                    data[at:] = other[rng.randrange(len(other) + 1) :]
        return bytes(data)

    # Structure

    def _structure(self) -> bytes:
        rng = self._rng
        value = rng.choice(self._values)
        for _ in range(rng.choice((1, 1, 2, 3))):
            value = self._changed(value)
        try:
            packed = msgpack.packb(value, strict_types=False)
        except (ValueError, TypeError, OverflowError, RecursionError):
            return self._bytes(rng.choice(self._pool))
        return bytes(packed) if rng.random() < 0.98 else self._nested(bytes(packed))

    def _nested(self, packed: bytes) -> bytes:
        opening = self._rng.choice((b"\x91", b"\x81\xa1k", b"\xdc\x00\x01"))
        return opening * self._rng.choice(DEPTHS) + packed

    def _changed(self, value: Any) -> Any:
        """A copy with one place changed."""
        rng = self._rng
        if isinstance(value, list) and value and rng.random() < 0.85:
            at = rng.randrange(len(value))
            return [*value[:at], self._changed(value[at]), *value[at + 1 :]]
        if isinstance(value, dict) and value and rng.random() < 0.85:
            return self._changed_map(value)
        if isinstance(value, (list, dict)):
            return self._resized(value)
        return self._changed_scalar(value)

    def _changed_map(self, value: dict[Any, Any]) -> dict[Any, Any]:
        rng = self._rng
        key = rng.choice(list(value))
        kind = rng.random()
        if kind < 0.7:
            return value | {key: self._changed(value[key])}
        if kind < 0.85:
            return {name: item for name, item in value.items() if name != key}
        odd = rng.choice(("", "extra", b"message_id", 7, key))
        return value | {odd: rng.choice(ODD_VALUES)}

    def _resized(self, value: list[Any] | dict[Any, Any]) -> Any:
        rng = self._rng
        if isinstance(value, dict):
            return rng.choice(ODD_BY_TYPE[dict] if rng.random() < 0.5 else ODD_VALUES)
        if rng.random() < 0.15:
            return rng.choice(ODD_VALUES)
        match rng.randrange(4):
            case 0:
                return value[: rng.randrange(len(value) + 1)]
            case 1:
                return value * rng.choice((2, 3, 40))
            case 2:
                return [*value, rng.choice(ODD_VALUES)]
            case _:
                return rng.sample(value, len(value))

    def _changed_scalar(self, value: Any) -> Any:  # noqa: PLR0911 - one for each type
        rng = self._rng
        kind = rng.random()
        if kind < 0.45 and type(value) in ODD_BY_TYPE:
            return rng.choice(ODD_BY_TYPE[type(value)])
        if kind < 0.55:
            return rng.choice(ODD_VALUES)
        if isinstance(value, bool) or value is None:
            return rng.choice(ODD_VALUES)
        if isinstance(value, int):
            changed = value + rng.choice((-1, 1, 2**16, -(2**16)))
            return max(-(2**63), min(changed, 2**64 - 1))
        if isinstance(value, float):
            return struct.unpack("<d", rng.randbytes(8))[0]
        if isinstance(value, bytes):
            return self._bytes(value)
        if isinstance(value, str):
            return value.encode() if kind < 0.65 else value + rng.choice(("\x00", "x" * 5_000, "é"))
        return rng.choice(ODD_VALUES)


def _unpacked(payload: bytes) -> Any:
    try:
        value = msgpack.unpackb(payload, strict_map_key=False)
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError):
        return None
    return value if isinstance(value, (list, dict)) else None
