"""Data that would take up far more memory than bytes is told before it is built."""

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeropool.shared.errors import InvalidInput, WrongArguments
from zeropool.workers import containers
from zeropool.workers.containers import MAX_CONTAINERS, Allowance
from zeropool.workers.validation import compile_schema


def array_of(unit, count):
    return b"\xdd" + count.to_bytes(4, "big") + unit * count


TOO_MANY = array_of(b"\x80", MAX_CONTAINERS)


def covers(packed):
    return Allowance(len(packed)).covers(packed)


@pytest.mark.parametrize("unit", [b"\x80", b"\x90", b"\x81\xa0\xc0", b"\x91\x01"])
def test_the_array_around_as_many_as_may_be_is_one_too_many(unit):
    assert not covers(array_of(unit, MAX_CONTAINERS))
    assert covers(array_of(unit, MAX_CONTAINERS - 1))


@pytest.mark.parametrize("unit", [b"\x05", b"\xa2aa", b"\xcb" + bytes(8)])
def test_numbers_and_texts_are_not_counted(unit):
    assert covers(array_of(unit, 2 * MAX_CONTAINERS))


def test_a_large_text_is_one_value():
    assert covers(msgpack.packb(bytes(3 * MAX_CONTAINERS)))


def test_containers_in_containers_count():
    nested = b"\x91" * 100 + b"\xc0"
    assert not covers(array_of(nested, MAX_CONTAINERS // 100))


def test_values_that_come_together_share_one_allowance():
    allowance = Allowance(2 * MAX_CONTAINERS)
    half = array_of(b"\x80", MAX_CONTAINERS // 2)
    assert allowance.covers(half)
    assert not allowance.covers(half)
    assert allowance.covers(b"\x80")


@pytest.mark.parametrize("packed", [b"\xdd\xff\xff\xff\xff" * 100_000, b"\xc1" * 300_000])
def test_what_is_no_message_is_left_to_those_who_explain_it(packed):
    assert covers(packed)


@given(
    st.recursive(
        st.none() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_the_count_is_that_of_the_value_when_it_is_built(value):
    def count(built):
        if isinstance(built, dict):
            return 1 + sum(map(count, built.values()))
        return 1 + sum(map(count, built)) if isinstance(built, list) else 0

    allowance = Allowance(2 * MAX_CONTAINERS)
    allowance.covers(msgpack.packb(value))
    assert repr(allowance) == f"<Allowance left={MAX_CONTAINERS - count(value)} is_ample=False>"


SCHEMAS = [{}, {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}]


@pytest.mark.parametrize("schema", SCHEMAS, ids=["anything", "an object"])
def test_a_call_with_too_many_is_invalid_whatever_the_schema(schema):
    with pytest.raises(InvalidInput, match="the data holds more than 250000 maps and arrays"):
        compile_schema(schema, "s").decode_call(b"\x91" + TOO_MANY, "m")


def test_arguments_that_are_no_array_are_counted_too():
    with pytest.raises(WrongArguments, match="more than 250000 maps and arrays"):
        compile_schema({}, "s").decode_call(b"\x81\xa1a" + TOO_MANY, "m")


def test_a_row_with_too_many_is_that_rows_error():
    good = msgspec.msgpack.encode({"x": 1})
    rows = compile_schema({}, "s").decode_rows(b"\x93" + good + TOO_MANY + good)
    assert [type(row) for row in rows] == [dict, InvalidInput, dict]


def test_nothing_is_counted_where_there_are_not_enough_bytes(monkeypatch):
    monkeypatch.setattr(containers, "msgpack", None)
    assert covers(b"\x80" * MAX_CONTAINERS)
