"""What begins an array or a map of MessagePack, for those who put one together from its parts.

Source: the MessagePack specification: fixarray, array 16, array 32, and the same for maps.
"""

from __future__ import annotations

from typing import Final

_MAX_FIX: Final = 15
_MAX_16_BITS: Final = 2**16 - 1
_FIX_ARRAYS: Final = [bytes([0x90 + entries]) for entries in range(_MAX_FIX + 1)]
_FIX_MAPS: Final = [bytes([0x80 + entries]) for entries in range(_MAX_FIX + 1)]


def array_head(values: int) -> bytes:
    """The bytes that begin an array of so many values, at most 2**32 - 1."""
    return _FIX_ARRAYS[values] if values <= _MAX_FIX else _long(b"\xdc", b"\xdd", values)


def map_head(entries: int) -> bytes:
    """The bytes that begin a map of so many entries, at most 2**32 - 1."""
    return _FIX_MAPS[entries] if entries <= _MAX_FIX else _long(b"\xde", b"\xdf", entries)


def _long(of_16_bits: bytes, of_32_bits: bytes, entries: int) -> bytes:
    if entries <= _MAX_16_BITS:
        return of_16_bits + entries.to_bytes(2, "big")
    return of_32_bits + entries.to_bytes(4, "big")
