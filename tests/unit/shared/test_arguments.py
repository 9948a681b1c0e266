"""Argument arrays of hostile and of foreign callers, and Python's own words for a wrong count."""

from __future__ import annotations

import datetime as dt
import tracemalloc

import msgpack
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from zeropool.shared.arguments import arguments, check_count, unpack
from zeropool.shared.errors import WrongArguments

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.binary(), inner),
    max_leaves=15,
)


@given(VALUES, st.binary(max_size=5))
@settings(deadline=None)
def test_the_first_value_is_read_and_what_follows_ignored(value, rest):
    assert unpack(msgpack.packb(value) + rest) == value


def test_a_large_value_is_read():
    value = {"rows": [[1.5] * 4] * 5000, "text": "x" * 100_000}
    assert unpack(msgpack.packb(value)) == value


@pytest.mark.parametrize(
    ("packed", "reason"),
    [
        (b"", "No more data"),
        (b"\xc1", "FormatError"),
        (b"\x92\x01", "No more data"),
        (b"\xa1\xff", "utf-8"),
        (b"\x91\x81\x01\x02", "int is not allowed for map key"),
        (b"\x81\x90\x02", "not allowed for map key"),
        (b"\x91" * 100_000, "StackError"),
        (msgpack.packb(msgpack.ExtType(13, b"date")), "extension type 13 of 4 bytes"),
        (b"\xc7\x05\xff" + b"x" * 5, "invalid timestamp"),
        (b"\xc9\xff\xff\xff\xff\x05", "max_ext_len"),
    ],
)
def test_what_cannot_be_read_is_a_value_error(packed, reason):
    with pytest.raises(ValueError, match=reason):
        unpack(packed)


def test_a_timestamp_is_a_timestamp():
    moment = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    assert unpack(msgpack.packb(moment, datetime=True)) == msgpack.Timestamp.from_datetime(moment)


@given(st.binary(max_size=60))
@settings(deadline=None, max_examples=300)
@example(b"\x91" * 1015 + b"\x01")
def test_any_bytes_are_a_value_or_a_value_error(packed):
    try:
        unpack(packed)
    except ValueError:
        return


@pytest.mark.parametrize(
    "claim",
    [b"\xdd\xff\xff\xff\xff", b"\xdd\x00\x00\x13\x88", b"\xdf\x00\x00\x09\x00", b"\xdc\xff\xff"],
)
def test_a_few_bytes_that_claim_gigabytes_cost_almost_nothing(claim):
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="No more data"):
            unpack(claim * 1000)
        _now, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 1_000_000


@pytest.mark.parametrize(
    ("packed", "expected"),
    [
        (msgpack.packb([1, "two"]), [1, "two"]),
        (msgpack.packb([]), []),
        (msgpack.packb("xy"), ["x", "y"]),
        (msgpack.packb({"a": 1, "b": 2}), ["a", "b"]),
        (msgpack.packb(b"\x01"), [1]),
    ],
)
def test_arguments_are_what_a_real_server_takes_for_them(packed, expected):
    assert arguments(packed, "predict") == expected


@pytest.mark.parametrize(
    ("packed", "message"),
    [
        (b"\xc0", "argument after * must be an iterable, not NoneType"),
        (b"\x07", "argument after * must be an iterable, not int"),
        (b"\x91", "predict(): malformed arguments: No more data to unpack."),
    ],
)
def test_what_cannot_be_iterated_is_wrong(packed, message):
    with pytest.raises(WrongArguments) as caught:
        arguments(packed, "predict")
    assert str(caught.value) == message


def pythons_own_words(given_count, parameters):
    """What Python says when the function is really called."""
    namespace = {}
    exec(f"def predict({', '.join(parameters)}): pass", namespace)  # noqa: S102 - fixed names
    with pytest.raises(TypeError) as caught:
        namespace["predict"](*range(given_count))
    return str(caught.value)


@pytest.mark.parametrize(
    ("given_count", "parameters"),
    [
        (0, ("data",)),
        (0, ("a", "b")),
        (1, ("a", "b")),
        (0, ("a", "b", "c")),
        (1, ("a", "b", "c", "d")),
        (2, ("data",)),
        (1, ()),
        (2, ()),
        (4, ("a", "b")),
    ],
)
def test_a_wrong_number_of_arguments_is_told_in_pythons_own_words(given_count, parameters):
    with pytest.raises(WrongArguments) as caught:
        check_count(given_count, "predict", parameters)
    assert str(caught.value) == pythons_own_words(given_count, parameters)


@pytest.mark.parametrize("parameters", [(), ("a",), ("a", "b")])
def test_the_right_number_of_arguments_passes(parameters):
    check_count(len(parameters), "predict", parameters)
