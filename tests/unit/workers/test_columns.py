"""Rows of numbers become columns exactly where all of them are good, and hold the same values."""

import math
import struct
from typing import Annotated

import msgpack
import msgspec
import numpy as np
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from schema import Optional, Schema

from zeropool.workers.columns import MIN_ROWS, fields_of
from zeropool.workers.validation import MAX_ROWS, compile_schema

COUNT = MIN_ROWS


class Point(msgspec.Struct):
    x: float
    n: int
    is_new: bool = msgspec.field(name="isNew")


Part = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]


class Unit(msgspec.Struct):
    part: Part


class Ranged(msgspec.Struct):
    x: Annotated[float, msgspec.Meta(ge=0.0)]
    n: int


class Described(msgspec.Struct):
    x: Annotated[float, msgspec.Meta(title="X", description="in cm")]
    n: Annotated[int, msgspec.Meta(examples=[3], extra_json_schema={"unit": "mm"})] = 0
    part: Annotated[Part, msgspec.Meta(description="from 0 to 1")] = 0.0


class WithDefault(msgspec.Struct):
    x: float
    n: int = 0


class Positive(msgspec.Struct):
    x: Annotated[float, msgspec.Meta(gt=0.0, description="in cm")]


class Tagged(msgspec.Struct, tag=True):
    x: float


class Listed(msgspec.Struct, array_like=True):
    x: float


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    x: float


class Odd(msgspec.Struct):
    x: float

    def __post_init__(self):
        if self.x == 13:
            raise ValueError("13 brings bad luck")


RECORD = Schema({"x": float, "n": int, "is_new": bool})
JSON = {
    "type": "object",
    "properties": {"x": {"type": "number"}},
    "required": ["x"],
    "additionalProperties": False,
}
ROW = {"x": 1.5, "n": 300, "is_new": True}


def compiled(schema):
    return compile_schema(schema, "here")


def columns_of(rows, schema=RECORD, **options):
    return compiled(schema).decode_columns(msgpack.packb(rows, **options))


def listed(columns):
    return {name: values.tolist() for name, values in columns.items()}


def test_each_field_is_an_array_of_its_own_type():
    rows = [{"x": index / 7, "n": 1000 + index, "is_new": index % 2 == 0} for index in range(COUNT)]

    columns = columns_of(rows)

    assert {name: values.dtype for name, values in columns.items()} == {
        "x": np.float64,
        "n": np.int64,
        "is_new": np.bool_,
    }
    assert listed(columns) == {name: [row[name] for row in rows] for name in ROW}


def test_the_order_of_the_names_is_the_schemas_whatever_that_of_the_rows():
    columns = columns_of([{"is_new": False, "n": 300, "x": 1.5}] * COUNT)

    assert listed(columns) == {"x": [1.5] * COUNT, "n": [300] * COUNT, "is_new": [False] * COUNT}
    assert list(columns) == ["x", "n", "is_new"]


@pytest.mark.parametrize(
    "values",
    [
        [0, 127, -1, -32],
        [128, 255],
        [-33, -128],
        [256, 65535],
        [-129, -32768],
        [65536, 2**32 - 1],
        [-32769, -(2**31)],
        [2**32, 2**63 - 1],
        [-(2**31) - 1, -(2**63)],
    ],
)
@pytest.mark.parametrize("name", ["x", "n"])
def test_integers_of_one_size_are_ints_and_floats(name, values):
    rows = [ROW | {"x": 1.5, "n": 7, name: values[at % len(values)]} for at in range(COUNT)]

    kind = float if name == "x" else int
    assert columns_of(rows)[name].tolist() == [kind(row[name]) for row in rows]


def test_single_floats_are_floats():
    columns = columns_of([ROW | {"x": 0.1}] * COUNT, use_single_float=True)

    assert columns["x"].tolist() == [float(np.float32(0.1))] * COUNT


@pytest.mark.parametrize("schema", [Schema({"x": float, "n": int}), Ranged])
def test_a_signalling_nan_is_read_whatever_the_model_has_told_numpy(schema):
    packed = msgpack.packb([{"x": 0.5, "n": 1}] * COUNT, use_single_float=True)
    signalling = packed.replace(struct.pack(">f", 0.5), b"\x7f\xa0\x00\x01")

    with np.errstate(all="raise"):
        columns = compiled(schema).decode_columns(signalling)

    if schema is Ranged:
        assert columns is None
    else:
        assert np.isnan(columns["x"]).all()


def test_whatever_the_reading_of_columns_raises_leaves_the_rows_to_be_read(monkeypatch):
    monkeypatch.delattr(np, "ndarray")

    assert columns_of([ROW] * COUNT) is None


def test_an_integer_beyond_64_bits_with_sign_is_left_to_the_reading_of_rows():
    rows = [ROW | {"n": 2**63}] * COUNT

    assert columns_of(rows) is None
    assert columns_of([ROW | {"x": 2**63}] * COUNT)["x"].tolist() == [2.0**63] * COUNT


@pytest.mark.parametrize(
    "odd",
    [
        None,
        [1.5, 300, True],
        {},
        ROW | {"more": 1},
        {"x": 1.5, "n": 300},
        {"x": 1.5, "n": 300, "is_old": True},
        {"x": 1.5, "n": 300, b"is_new": True},
        ROW | {"x": None},
        ROW | {"x": True},
        ROW | {"x": "8 bytes."},
        ROW | {"x": b"7 bytes"},
        ROW | {"x": [1.5]},
        ROW | {"n": 300.0},
        ROW | {"is_new": 1},
        ROW | {"is_new": None},
        ROW | {"x": msgpack.ExtType(1, b"x")},
    ],
)
def test_one_row_of_another_kind_makes_that_there_are_no_columns(odd):
    assert columns_of([ROW] * COUNT) is not None
    assert columns_of([odd] * COUNT) is None
    for place in (0, 1, COUNT - 1):
        rows = [ROW] * COUNT
        rows[place] = odd
        assert columns_of(rows) is None


@pytest.mark.parametrize(
    "other", [{"n": 300, "x": 1.5, "is_new": True}, ROW | {"n": -300}, ROW | {"x": 3}]
)
def test_rows_that_are_not_alike_are_left_to_the_reading_of_rows(other):
    assert columns_of([ROW] * COUNT) is not None
    assert columns_of([other] * COUNT) is not None
    assert columns_of([ROW] * COUNT + [other]) is None


def test_a_few_rows_and_too_many_are_left_to_the_reading_of_rows():
    assert columns_of([ROW] * (MIN_ROWS - 1)) is None
    assert columns_of([ROW] * (MAX_ROWS + 1)) is None
    assert columns_of(ROW) is None
    assert columns_of([]) is None


def test_bytes_before_the_end_or_after_it_make_that_there_are_no_columns():
    packed = msgpack.packb([ROW] * COUNT)
    assert compiled(RECORD).decode_columns(packed[:-1]) is None
    assert compiled(RECORD).decode_columns(packed + b"\x01") is None
    assert compiled(RECORD).decode_columns(packed[:1]) is None


def test_not_a_number_is_a_float_but_none_of_json():
    rows = [{"x": value} for value in (math.nan, math.inf) * COUNT]

    assert [str(x) for x in columns_of(rows, Schema({"x": float}))["x"][:2]] == ["nan", "inf"]
    assert columns_of(rows, JSON) is None
    assert columns_of([{"x": 1.5}] * COUNT, JSON)["x"].tolist() == [1.5] * COUNT


def test_a_value_out_of_bounds_is_left_to_the_reading_of_rows():
    assert columns_of([{"part": 0.0}, {"part": 1.0}] * COUNT, Unit) is not None
    assert columns_of([{"part": 0.0}, {"part": 1.5}] * COUNT, Unit) is None
    assert columns_of([{"part": -0.5}, {"part": 1.0}] * COUNT, Unit) is None


def test_the_fields_of_a_struct_go_by_their_names_on_the_wire():
    rows = [{"x": 1.5, "n": 300, "isNew": True}] * COUNT

    assert list(columns_of(rows, Point)) == ["x", "n", "isNew"]


def test_what_only_describes_a_field_keeps_it_from_no_column():
    row = {"x": 1.5, "n": 300, "part": 0.5}

    assert list(columns_of([row] * COUNT, Described)) == ["x", "n", "part"]
    assert columns_of([row | {"part": 1.5}] * COUNT, Described) is None


@pytest.mark.parametrize(
    "schema",
    [
        Schema({"x": float, Optional("n"): int}),
        JSON | {"properties": {"x": {"type": "number"}, "n": {"type": "integer"}}},
        WithDefault,
    ],
)
def test_a_field_that_may_be_absent_is_a_column_where_every_row_has_it(schema):
    row = {"x": 0.5, "n": 3}

    assert listed(columns_of([row] * COUNT, schema)) == {"x": [0.5] * COUNT, "n": [3] * COUNT}
    assert columns_of([{"x": 0.5}] * COUNT, schema) is None
    assert columns_of([row] * COUNT + [{"x": 0.5}], schema) is None


def test_long_names_and_many_fields_are_read():
    fields = {f"{'a long name ' * (1 + 30 * (index % 3))}{index}": float for index in range(40)}
    rows = [dict.fromkeys(fields, at + 0.5) for at in range(COUNT)]

    assert listed(columns_of(rows, Schema(fields))) == {
        name: [at + 0.5 for at in range(COUNT)] for name in fields
    }


@pytest.mark.parametrize(
    "schema",
    [
        Odd,
        Positive,
        Tagged,
        Listed,
        Model,
        Schema(float),
        Schema({}),
        Schema({"x": str}),
        Schema({"x": [float]}),
        Schema({"x": {"y": float}}),
        {"type": "number"},
        JSON | {"additionalProperties": True},
        JSON | {"properties": {"x": {"type": "number", "minimum": 0}}},
        Schema({"x": float}, ignore_extra_keys=True),
    ],
)
def test_only_closed_records_of_plain_numbers_and_bools_have_columns(schema):
    assert not compiled(schema).has_columns
    assert columns_of([{"x": 1.5}] * COUNT, schema) is None


@pytest.mark.parametrize("record", [int, list[int], "no type", Annotated[int, msgspec.Meta(ge=1)]])
def test_what_is_no_record_has_no_fields(record):
    assert fields_of(record) is None


VALUES = (
    st.floats(width=32)
    | st.integers(-(2**63), 2**64 - 1)
    | st.integers(-40, 140)
    | st.booleans()
    | st.none()
    | st.text(max_size=3)
)
ROWS = st.fixed_dictionaries({"x": VALUES, "n": VALUES, "is_new": VALUES})


@settings(deadline=None)
@given(ROWS, ROWS, st.booleans(), st.binary(max_size=4), st.data())
def test_columns_are_what_the_reading_of_rows_gives(usual, other, is_single, noise, data):
    rows = [usual] * COUNT
    rows[data.draw(st.integers(0, COUNT - 1))] = other
    packed = msgpack.packb(rows, use_single_float=is_single)
    at = data.draw(st.integers(3, len(packed)))
    packed = packed[:at] + noise + packed[at + len(noise) :]
    schema = compiled(RECORD)

    columns = schema.decode_columns(packed)

    if columns is not None:
        names = list(columns)
        together = zip(*(columns[name].tolist() for name in names), strict=True)
        found = [dict(zip(names, row, strict=True)) for row in together]
        assert repr(found) == repr(
            [{name: row[name] for name in names} for row in _read(schema, packed)]
        )


def _read(schema, packed):
    rows = schema.decode_rows(packed)
    assert not any(isinstance(row, Exception) for row in rows)
    return rows
