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
    if values <= _MAX_FIX:
        return _FIX_ARRAYS[values]
    if values <= _MAX_16_BITS:
        return b"\xdc" + values.to_bytes(2, "big")
    return b"\xdd" + values.to_bytes(4, "big")


def array_head_bytes(values: int) -> int:
    """How many bytes begin an array of so many values."""
    if values <= _MAX_FIX:
        return 1
    return 3 if values <= _MAX_16_BITS else 5


def map_head(entries: int) -> bytes:
    """The bytes that begin a map of so many entries, at most 2**32 - 1."""
    if entries <= _MAX_FIX:
        return _FIX_MAPS[entries]
    if entries <= _MAX_16_BITS:
        return b"\xde" + entries.to_bytes(2, "big")
    return b"\xdf" + entries.to_bytes(4, "big")
