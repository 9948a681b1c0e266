"""How many maps and arrays a MessagePack value holds, told before it is built.

One byte makes an empty map of 64 bytes in memory, three make one of 232: a body within its limit
of bytes can take up a hundred times as much, and half a minute to be rejected. Numbers and texts
grow much less, so only containers are counted. No I/O, no clock.
"""

from __future__ import annotations

import msgpack

from zeropool.shared.wire.event import DECODE_ERRORS
from zeropool.workers.reading import Packed

#: Most maps and arrays in the data of one call, or in the rows that come together. A map of one
#: entry takes 0.2 kB here and 0.9 kB more in jsonschema-rs: about 0.3 GB at the worst.
MAX_CONTAINERS = 250_000


class _TooManyError(Exception):
    """The count is over the limit; never leaves this module."""


class Allowance:
    """How many containers the data that is read now may still hold."""

    def __init__(self, size_bytes: int) -> None:
        self._left = MAX_CONTAINERS
        #: Whatever is in it: a container takes a byte at least.
        self._is_ample = size_bytes <= MAX_CONTAINERS

    def __repr__(self) -> str:
        return f"<Allowance left={self._left} is_ample={self._is_ample}>"

    def covers(self, packed: Packed) -> bool:
        """Tell whether one more value may be built; True for what is no MessagePack at all."""
        if self._is_ample:
            return True
        left = self._left

        def count(_container: object) -> None:
            # What it returns stands for the container, which is thus gone at once.
            nonlocal left
            left -= 1
            if left < 0:
                raise _TooManyError

        value = memoryview(packed)
        try:
            unpacker = msgpack.Unpacker(max_buffer_size=len(value))
            unpacker.feed(value)
            # A header can claim more items than there are bytes, and space is made for them.
            unpacker.skip()
            msgpack.unpackb(
                value, raw=True, strict_map_key=False, list_hook=count, object_hook=count
            )
        except _TooManyError:
            return False
        except DECODE_ERRORS:
            return True
        self._left = left
        return True
