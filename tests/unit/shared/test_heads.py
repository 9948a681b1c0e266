"""Heads of arrays and maps against those of msgpack's own packer."""

import msgpack
import pytest

from zeropool.shared.heads import array_head, map_head

COUNTS = [0, 1, 15, 16, 255, 256, 2**16 - 1, 2**16, 2**32 - 1]


@pytest.mark.parametrize("count", COUNTS)
def test_the_heads_are_those_of_the_packer(count):
    assert array_head(count) == msgpack.Packer().pack_array_header(count)
    assert map_head(count) == msgpack.Packer().pack_map_header(count)
