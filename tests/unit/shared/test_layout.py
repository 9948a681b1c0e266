"""Rows that are alike, told by their type bytes."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeropool.shared.layout import MAX_HEADS, layout_of

pack = msgpack.packb

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=40)
    | st.binary(max_size=40)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=3), inner, max_size=20)
    ),
    max_leaves=30,
)


def test_the_heads_of_a_row_are_its_type_bytes():
    layout = layout_of(pack({"x": 1.5, "name": "ab"}), 0)
    assert layout.length == 20
    assert layout.heads == [0, 1, 3, 12, 17]


def test_rows_with_other_values_are_alike():
    data = b"".join(pack({"x": value}) for value in (1.5, -0.0, float("nan"), 2.0**1000))
    assert layout_of(data, 0).is_shared_by(data, 0, 4)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, -1),
        (None, 127),
        (True, -32),
        (128, -128),
        (2**15, -(2**15)),
        (2**31, -(2**31)),
        (2**63, 0.5),
        ({"a": "xy"}, {"b": "zz"}),
        ("x" * 40, "y" * 40),
    ],
)
def test_values_of_one_size_are_alike(one, other):
    data = pack(one) + pack(other)
    assert layout_of(data, 0).is_shared_by(data, 0, 2)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.5),
        ([1, 2], [1, [2]]),
        ({"a": 1}, [1, 2]),
        ("abc", [1, 2, 3]),
        (["a", "bc"], ["ab", "c"]),
        ("x" * 40, b"x" * 40),
        ("x" * 40, "x" * 41),
    ],
)
def test_rows_with_other_heads_are_not_alike(one, other):
    data = pack(one) + pack(other)
    assert not layout_of(data, 0).is_shared_by(data, 0, 2)


def test_rows_that_end_early_are_not_alike():
    data = pack([1.5]) * 3
    layout = layout_of(data, 0)
    assert layout.is_shared_by(data, len(data) // 3, 2)
    assert not layout.is_shared_by(data, len(data) // 3, 3)
    assert not layout.is_shared_by(data[:-1], 0, 3)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\xcb\x00",
        b"\xa2x",
        b"\xd9",
        b"\xda\x00",
        b"\x92\x01",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff\x01",
        b"\xc6\xff\xff\xff\xffx",
        pack(msgpack.ExtType(1, b"x")),
        pack([0] * MAX_HEADS),
    ],
)
def test_no_layout_where_a_row_ends_early_or_is_odd_or_large(data):
    assert layout_of(data, 0) is None


@given(VALUES)
def test_a_layout_is_as_long_as_its_row(value):
    packed = pack(value)
    layout = layout_of(b"\xff" + packed + b"\x01", 1)
    assert layout is None or layout.length == len(packed)
    assert layout is None or layout.is_shared_by(packed * 2, 0, 2)


@given(VALUES, st.binary(max_size=80), st.data())
def test_what_is_taken_for_alike_is_read_as_such(value, noise, data):
    packed = pack(value)
    at = data.draw(st.integers(0, len(packed)))
    changed = packed[:at] + noise[: len(packed) - at] + packed[at + len(noise) :]
    layout = layout_of(packed, 0)
    if layout is None or not layout.is_shared_by(packed + changed, 0, 2):
        return
    unpacker = msgpack.Unpacker()
    unpacker.feed(changed)
    unpacker.skip()
    assert unpacker.tell() == len(changed) == layout.length
