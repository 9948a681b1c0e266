"""What callers send is accepted as the schema says, whatever kind of schema it is."""

import dataclasses
import enum
import math
import re

import msgpack
import msgspec
import pydantic
import pytest
import schema as lib
from hypothesis import given, settings
from hypothesis import strategies as st

from zeropool.shared.errors import InvalidInput, ModelRefused, WrongArguments
from zeropool.workers.failures import MESSAGE_LIMIT
from zeropool.workers.json_schemas import json_schema_kind
from zeropool.workers.schema_kind import DIALECT
from zeropool.workers.schema_objects import schema_object_kind
from zeropool.workers.validation import (
    MAX_JOINED_BYTES,
    MAX_ROWS,
    CompiledSchema,
    compile_schema,
)

METHOD = "iris_model_predict"
FLOWER = {"petal_length": 1.4, "petal_width": 0.2}
NUMBER = {"type": "number"}
INTEGER = {"type": "integer"}


class Flower(pydantic.BaseModel):
    petal_length: float
    petal_width: float


class FlowerStruct(msgspec.Struct, forbid_unknown_fields=True):
    petal_length: float
    petal_width: float


class PickyStruct(msgspec.Struct):
    name: str

    def __post_init__(self):
        if self.name == "?":
            raise KeyError(self.name)


FLOWER_OBJECT = lib.Schema({"petal_length": float, "petal_width": float})
FLOWER_JSON = {
    "type": "object",
    "properties": {"petal_length": NUMBER, "petal_width": NUMBER},
    "required": ["petal_length", "petal_width"],
    "additionalProperties": False,
}
FLOWER_SCHEMAS = [FLOWER_OBJECT, Flower, FlowerStruct, FLOWER_JSON]
KIND_NAMES = ["schema", "pydantic", "struct", "json"]


def packed(value):
    return msgpack.packb(value, use_bin_type=True)


def accept(schema, data):
    return compile_schema(schema, "here").decode_call(packed([data]), METHOD)


def rejection(schema, data):
    with pytest.raises(InvalidInput) as caught:
        accept(schema, data)
    return str(caught.value)


def is_fast(schema):
    return "fast" in repr(compile_schema(schema, "here"))


def is_same(one, other):
    """Equal, with equal types at every place, and NaN equal to itself."""
    return sorted_repr(one) == sorted_repr(other)


def sorted_repr(value):
    if isinstance(value, dict):
        return repr(sorted((key, sorted_repr(item)) for key, item in value.items()))
    if isinstance(value, list):
        return repr([sorted_repr(item) for item in value])
    return repr(value)


# What the model receives


@pytest.mark.parametrize("schema", [FLOWER_OBJECT, FLOWER_JSON], ids=["schema", "json"])
def test_schema_objects_and_json_schemas_give_the_model_plain_data(schema):
    assert accept(schema, FLOWER) == FLOWER


@pytest.mark.parametrize("schema", [Flower, FlowerStruct], ids=["pydantic", "struct"])
def test_schema_classes_give_the_model_an_instance(schema):
    received = accept(schema, FLOWER)
    assert type(received) is schema
    assert received.petal_width == 0.2


@pytest.mark.parametrize("schema", FLOWER_SCHEMAS, ids=KIND_NAMES)
def test_an_integer_from_node_is_a_float_for_the_model(schema):
    received = accept(schema, {"petal_length": 5, "petal_width": 1})
    value = received["petal_length"] if isinstance(received, dict) else received.petal_length
    assert (value, type(value)) == (5.0, float)


@pytest.mark.parametrize(
    "schema",
    [
        lib.Schema({"a": lib.And(float, lambda value: value > 0)}),
        lib.Schema({"a": lib.Or(float, None), lib.Optional("b", default=1): int}),
        lib.Schema({"a": lib.Schema(float)}, ignore_extra_keys=True),
        lib.Schema({str: float}),
        {"properties": {"a": {"type": "number", "minimum": 0}}},
        {"properties": {"a": {"anyOf": [NUMBER, {"type": "null"}]}}},
        {"properties": {"a": {"$ref": "#/$defs/size"}}, "$defs": {"size": NUMBER}},
        {"additionalProperties": NUMBER},
        {"allOf": [{"properties": {"a": NUMBER}}, {"required": ["a"]}]},
    ],
)
def test_an_integer_is_a_float_on_the_slow_path_too(schema):
    assert not is_fast(schema)
    received = accept(schema, {"a": 5})["a"]
    assert (received, type(received)) == (5.0, float)


@pytest.mark.parametrize(
    "schema",
    [lib.Schema(lib.Or(float, int)), {"type": ["number", "integer"]}, lib.Schema(object)],
)
def test_an_integer_stays_one_where_the_schema_takes_integers(schema):
    assert is_same(accept(schema, 5), 5)


def test_a_recursive_json_schema_settles_numbers_at_every_depth():
    tree = {
        "properties": {"size": NUMBER, "parts": {"type": "array", "items": {"$ref": "#"}}},
        "required": ["size"],
    }
    data = {"size": 1, "parts": [{"size": 2, "parts": [{"size": 3}]}]}
    floats = {"size": 1.0, "parts": [{"size": 2.0, "parts": [{"size": 3.0}]}]}
    assert is_same(accept(tree, data), floats)


def test_numbers_of_a_tuple_settle_each_at_its_place():
    schema = {"prefixItems": [NUMBER, INTEGER], "items": NUMBER}
    assert is_same(accept(schema, [1, 2, 3]), [1.0, 2, 3.0])


def test_a_float_without_fraction_is_an_integer_in_json_schema():
    assert is_same(accept({"type": "integer"}, 4294967296.0), 4294967296)


@pytest.mark.parametrize("schema", [FLOWER_OBJECT, FlowerStruct, FLOWER_JSON])
def test_a_bool_is_no_number(schema):
    assert rejection(schema, FLOWER | {"petal_width": True})


def test_the_librarys_conversions_and_defaults_reach_the_model():
    schema = lib.Schema({"name": lib.Use(str.upper), lib.Optional("kind", default="x"): str})
    assert accept(schema, {"name": "iris"}) == {"name": "IRIS", "kind": "x"}


def test_an_optional_key_that_is_absent_stays_absent():
    schema = lib.Schema({"a": float, lib.Optional("b c"): [int]})
    assert is_fast(schema)
    assert accept(schema, {"a": 1.0}) == {"a": 1.0}
    assert accept(schema, {"a": 1.0, "b c": [2]}) == {"a": 1.0, "b c": [2]}


def test_the_empty_json_schema_accepts_bytes_and_all_else():
    data = {"data": b"\x00\xff", b"nd": True, "none": None, "nan": [1, 2.5, "x"]}
    assert accept({}, data) == data


def test_an_infinite_number_is_no_json_number_but_a_float_for_the_others():
    told = 'inf is not of type "number" at $.petal_width'
    assert told in rejection(FLOWER_JSON, FLOWER | {"petal_width": math.inf})
    assert accept(FLOWER_OBJECT, FLOWER | {"petal_width": math.inf})["petal_width"] == math.inf


@pytest.mark.parametrize(
    "schema",
    [
        lib.Schema({"a": {"b": [lib.Or("x", "y", None)]}, lib.Optional(lib.Literal("c")): bool}),
        lib.Schema([lib.Or(float, str)]),
        lib.Schema(lib.Or({"a": int}, None)),
        {"type": "array", "items": NUMBER, "minItems": 4, "maxItems": 4},
        {"enum": ["x", 1, None]},
        {"type": ["string", "null"], "title": "T"},
    ],
)
def test_common_schemas_take_the_fast_path(schema):
    assert is_fast(schema)


# What the caller is told


def test_a_rejection_by_a_schema_object_is_told_in_the_original_words():
    assert rejection(FLOWER_OBJECT, FLOWER | {"petal_width": "abc"}) == (
        "Failed to validate input data: "
        "Key 'petal_width' error: 'abc' should be instance of 'float'"
    )


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (FLOWER_JSON, '"abc" is not of type "number" at $.petal_width'),
        (FlowerStruct, "Expected `float`, got `str` - at `$.petal_width`"),
    ],
)
def test_other_kinds_are_told_with_the_place(schema, reason):
    told = rejection(schema, FLOWER | {"petal_width": "abc"})
    assert told == f"Failed to validate input data: {reason}"


def test_a_rejection_by_pydantic_names_field_and_reason_on_one_line():
    told = rejection(Flower, {"petal_width": "abc"})
    assert re.fullmatch(
        r"Failed to validate input data: petal_length: Field required; petal_width: [^\n]*", told
    )


def test_a_long_rejection_is_cut_with_an_ellipsis():
    told = rejection(FLOWER_OBJECT, FLOWER | {"petal_width": "x" * 10_000})
    assert len(told) == MESSAGE_LIMIT
    assert told.endswith("…")


@pytest.mark.parametrize("schema", [{}, *FLOWER_SCHEMAS], ids=["any", *KIND_NAMES])
def test_a_date_from_node_is_refused_with_its_extension_code(schema):
    data = FLOWER | {"petal_width": msgpack.ExtType(13, b"12345678")}
    assert "extension type 13 " in rejection(schema, data)


def test_a_timestamp_is_an_extension_too():
    assert "extension type -1 " in rejection({}, {"when": [msgpack.Timestamp(1)]})


@pytest.mark.parametrize("schema", [{}, FLOWER_OBJECT, FLOWER_JSON, Flower])
def test_integer_map_keys_are_refused(schema):
    assert "map keys must be text" in rejection(schema, [{1: 2}])


def test_a_validator_that_breaks_is_a_rejection():
    assert rejection(PickyStruct, {"name": "?"}).endswith("KeyError: '?'")


def test_bytes_are_refused_where_a_json_schema_asks_for_something():
    assert "bytes" in rejection({"properties": {"a": {"type": "string"}}}, {"a": b"x"})


# Arguments


@pytest.mark.parametrize("schema", [{}, *FLOWER_SCHEMAS], ids=["any", *KIND_NAMES])
@pytest.mark.parametrize(
    ("args", "text"),
    [
        ([], "iris_model_predict() missing 1 required positional argument: 'data'"),
        ([1, 2], "iris_model_predict() takes 1 positional argument but 2 were given"),
        ([0] * 70_000, "iris_model_predict() takes 1 positional argument but 70000 were given"),
        ("ab", "iris_model_predict() takes 1 positional argument but 2 were given"),
        ({}, "iris_model_predict() missing 1 required positional argument: 'data'"),
        (None, "argument after * must be an iterable, not NoneType"),
        (12, "argument after * must be an iterable, not int"),
    ],
)
def test_wrong_arguments_are_told_as_python_does(schema, args, text):
    with pytest.raises(WrongArguments, match=f"^{re.escape(text)}$"):
        compile_schema(schema, "here").decode_call(packed(args), METHOD)


@pytest.mark.parametrize("args", ["x", {"x": 1}])
def test_text_and_maps_as_arguments_are_iterated(args):
    assert compile_schema({}, "here").decode_call(packed(args), METHOD) == "x"


@pytest.mark.parametrize(
    "args",
    [
        b"",
        b"\xdc",
        b"\xdd\xff\xff\xff\xff",
        b"\x91",
        b"\x91\xa1\xff",
        b"\x91\xc1",
        b"\x91\x01\x02",
        b"\x91\xc6\xff\xff\xff\xff",
        b"\x91" * 100_000 + b"\x01",
        b"\x91" + b"\x81\xa1a" * 100_000 + b"\x01",
        b"\x91\x81\x91\x80\x01",
        b"\x81\xd6\x0d\x00\x00\x00\x00\x01",
        b"\x91\xd7\xff" + b"\xff" * 8,
    ],
)
@pytest.mark.parametrize("schema", [{}, *FLOWER_SCHEMAS], ids=["any", *KIND_NAMES])
def test_malformed_arguments_are_the_callers_error(schema, args):
    with pytest.raises((InvalidInput, WrongArguments)):
        compile_schema(schema, "here").decode_call(args, METHOD)


# Rows


@pytest.mark.parametrize("schema", FLOWER_SCHEMAS, ids=KIND_NAMES)
def test_good_rows_are_decoded_as_single_calls_are(schema):
    compiled = compile_schema(schema, "here")
    rows = compiled.decode_rows(packed([FLOWER, FLOWER]))
    assert rows == [accept(schema, FLOWER)] * 2


@pytest.mark.parametrize("schema", [FLOWER_OBJECT, FlowerStruct, FLOWER_JSON])
def test_good_calls_that_come_together_are_decoded_as_single_ones_are(schema):
    compiled = compile_schema(schema, "here")
    calls = [packed([FLOWER | {"petal_width": float(number)}]) for number in range(20)]
    rows = compiled.decode_calls(calls)
    assert rows == [compiled.decode_call(args, METHOD) for args in calls]
    assert len(set(map(id, rows))) == len(calls)


@pytest.mark.parametrize(
    "calls",
    [
        [],
        [packed([FLOWER])],
        [packed([FLOWER]), packed([{"petal_width": "x"}]), packed([FLOWER])],
        [packed([FLOWER]), packed([])],
        [packed([FLOWER]), packed([FLOWER, FLOWER])],
        [packed([FLOWER]), packed(FLOWER)],
        [packed([FLOWER]), b"", packed([FLOWER])],
        [packed([FLOWER]), packed([FLOWER])[:-1]],
        [packed([FLOWER]), packed([FLOWER]) + b"\xc0"],
    ],
)
def test_calls_of_which_one_is_alone_or_wrong_are_looked_at_one_by_one(calls):
    assert compile_schema(FLOWER_JSON, "here").decode_calls(calls) is None


def test_large_calls_are_not_copied_to_be_decoded_together():
    calls = [packed(["x" * (MAX_JOINED_BYTES // 2)]), packed(["y"])]
    compiled = compile_schema({"type": "string"}, "here")
    assert compiled.decode_calls(calls) is not None
    assert compiled.decode_calls([*calls, calls[0]]) is None


def test_calls_of_a_schema_without_a_type_are_looked_at_one_by_one():
    compiled = compile_schema(lib.Schema({"x": lib.Use(int)}), "here")
    assert compiled.decode_calls([packed([{"x": "1"}])] * 2) is None


@pytest.mark.parametrize("schema", FLOWER_SCHEMAS, ids=KIND_NAMES)
def test_a_bad_row_does_not_spoil_the_others(schema):
    rows = compile_schema(schema, "here").decode_rows(
        packed([FLOWER, {"petal_width": "x"}, FLOWER])
    )
    good = accept(schema, FLOWER)
    assert [rows[0], rows[2]] == [good, good]
    assert str(rows[1]) == rejection(schema, {"petal_width": "x"})


def test_rows_with_bad_text_or_dates_fail_alone():
    rows = b"\x93\x01\xa1\xff\xd6\x0d\x00\x00\x00\x00"
    first, second, third = compile_schema({}, "here").decode_rows(rows)
    assert first == 1
    assert "malformed" in str(second)
    assert "extension type 13" in str(third)


def test_no_rows_are_an_empty_list():
    assert compile_schema(FLOWER_OBJECT, "here").decode_rows(packed([])) == []


@pytest.mark.parametrize("rows", [packed(None), packed({"a": 1}), b"", packed("rows")])
def test_rows_that_are_no_array_are_wrong_arguments(rows):
    with pytest.raises(WrongArguments, match="iris_batch"):
        compile_schema({}, "here").decode_rows(rows, "iris_batch")


def test_more_rows_than_the_limit_are_refused_before_any_is_read():
    with pytest.raises(WrongArguments, match=f"{MAX_ROWS + 1} rows exceeds {MAX_ROWS}"):
        compile_schema({}, "here").decode_rows(packed([None] * (MAX_ROWS + 1)))


def test_truncated_rows_are_invalid_input():
    with pytest.raises(InvalidInput, match="truncated"):
        compile_schema(FLOWER_OBJECT, "here").decode_rows(b"\x92\x01")


# Compiling


@pytest.mark.parametrize("schema", FLOWER_SCHEMAS, ids=KIND_NAMES)
def test_every_kind_is_published_as_json_schema_in_one_dialect(schema):
    published = compile_schema(schema, "here").json_schema
    assert published["$schema"] == DIALECT
    assert '"number"' in msgspec.json.encode(published).decode()


def test_a_schema_object_is_published_as_the_library_writes_it():
    schema = lib.Schema({"a": float, lib.Optional("b"): int, "c": lib.Or("x", "y")})
    assert compile_schema(schema, "here").json_schema == {
        "$schema": DIALECT,
        "type": "object",
        "properties": {
            "a": {"type": "number"},
            "b": {"type": "integer"},
            "c": {"enum": ["x", "y"]},
        },
        "required": ["a", "c"],
        "additionalProperties": False,
    }


def test_a_schema_that_json_can_not_say_is_served_and_published_as_anything():
    class Colour(enum.Enum):
        RED = complex(1)

    compiled = compile_schema(lib.Schema(lib.Or(Colour.RED, 5)), "here")
    assert compiled.json_schema == {"$schema": DIALECT}
    assert compiled.decode_call(packed([5]), METHOD) == 5


def test_subclasses_of_schema_keep_their_own_validation():
    class Lenient(lib.Schema):
        def validate(self, data, **kwargs):
            return ["lenient", data, kwargs]

    assert accept(Lenient({"a": float}), 5) == ["lenient", 5, {}]


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (5, "instance of int is no known kind"),
        (int, "int is no known kind"),
        (None, "NoneType"),
        ({"type": "nonsense"}, "nonsense"),
        ({"pattern": "("}, "regex"),
        ({"$ref": "http://127.0.0.1:1/schema"}, "not followed"),
        ({"$ref": "#/$defs/missing"}, "missing"),
        ({"const": object()}, "object"),
    ],
)
def test_a_schema_that_can_not_be_used_is_refused_with_the_reason(schema, reason):
    with pytest.raises(ModelRefused, match=f"^model m: input_schema: .*{re.escape(reason)}"):
        compile_schema(schema, "model m: input_schema")


# Both paths agree, and nothing else ever comes out

LEAVES = st.sampled_from(
    [
        *(float, int, str, bool, None, "x", "y", 1, 2.5, object),
        *(lib.And(float, lambda value: value > 1), lib.Use(str), lib.Regex("x")),
    ]
)
KEYS = st.sampled_from(["a", "b", lib.Optional("a"), lib.Optional("c d"), lib.Literal("b")])


def branches(children):
    return (
        st.lists(children, min_size=1, max_size=2)
        | st.dictionaries(KEYS, children, max_size=3)
        | st.lists(children, min_size=1, max_size=3).map(lambda parts: lib.Or(*parts))
        | children.map(lib.Schema)
    )


SCHEMA_OBJECTS = st.recursive(LEAVES, branches, max_leaves=6).map(lib.Schema)

JSON_LEAVES = st.sampled_from(
    [
        *(NUMBER, INTEGER, {"type": "string"}, {"type": "boolean"}, {"type": "null"}, {}),
        *({"enum": ["x", "y"]}, {"enum": [1, "x", None]}, {"const": 1}),
        *({"type": "number", "enum": [1, 2.5]}, {"type": "integer", "enum": [1, 2]}),
        *({"type": ["number", "null"]}, {"type": ["integer", "string"]}),
        {"type": "number", "minimum": 1},
    ]
)


def json_branches(children):
    properties = st.dictionaries(st.sampled_from(["a", "b", "c d"]), children, max_size=3)
    objects = st.builds(
        lambda parts, closed: {
            "type": "object",
            "properties": parts,
            "required": sorted(parts)[:1],
            "additionalProperties": closed,
        },
        properties,
        st.sampled_from([False, False, True, NUMBER]),
    )
    arrays = st.builds(
        lambda items, least: {"type": "array", "items": items, "minItems": least},
        children,
        st.integers(0, 2),
    )
    return objects | arrays | st.lists(children, min_size=1).map(lambda parts: {"anyOf": parts})


JSON_SCHEMAS = st.recursive(JSON_LEAVES, json_branches, max_leaves=6)

SCALARS = st.sampled_from(
    [
        *(0, 1, 2, 5, -(2**63), 2**64 - 1, 1.0, 2.5, -0.5, math.nan, math.inf),
        *(True, False, None, "x", "y", "", "ü", b"x", b""),
    ]
)
DATA = st.recursive(
    SCALARS,
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "c d", "z"]), children, max_size=3)
    ),
    max_leaves=6,
)


def outcome(compiled, args):
    try:
        return compiled.decode_call(args, METHOD)
    except InvalidInput as error:
        return str(error)


def check_agreement(kind, data):
    args = packed([data])
    slow = outcome(CompiledSchema(dataclasses.replace(kind, wire_type=None)), args)
    fast = outcome(CompiledSchema(kind), args)
    assert is_same(fast, slow)
    (row,) = CompiledSchema(kind).decode_rows(args)
    assert is_same(str(row) if isinstance(row, InvalidInput) else row, slow)
    for call in CompiledSchema(kind).decode_calls([args, args]) or ():
        assert is_same(call, slow)


@pytest.mark.parametrize(
    "schema",
    [lib.Or(1, lib.Schema(float)), lib.Or(1, lib.Or(float, str)), lib.Or(lib.Schema(1), float)],
)
@pytest.mark.parametrize("data", [1, 1.0, 2, "x"])
def test_a_number_is_what_its_branch_says_however_deep_that_hides(schema, data):
    check_agreement(schema_object_kind(lib.Schema(schema)), data)
    check_agreement(schema_object_kind(lib.Schema([schema])), [data])


@settings(max_examples=400, deadline=None)
@given(SCHEMA_OBJECTS, DATA)
def test_both_paths_agree_for_schema_objects(schema, data):
    check_agreement(schema_object_kind(schema), data)


@settings(max_examples=400, deadline=None)
@given(JSON_SCHEMAS, DATA)
def test_both_paths_agree_for_json_schemas(schema, data):
    check_agreement(json_schema_kind(schema), data)


ALL_COMPILED = [compile_schema(schema, "here") for schema in [{}, *FLOWER_SCHEMAS]]
VALID = packed([FLOWER])
DAMAGED = st.builds(
    lambda at, byte: VALID[:at] + bytes([byte]) + VALID[at + 1 :],
    st.integers(0, len(VALID) - 1),
    st.integers(0, 255),
)


@settings(max_examples=400, deadline=None)
@given(st.binary() | st.binary().map(lambda junk: b"\x91" + junk) | DAMAGED)
def test_junk_is_accepted_or_the_callers_error_and_nothing_else(junk):
    for compiled in ALL_COMPILED:
        try:
            compiled.decode_call(junk, METHOD)
            compiled.decode_rows(junk)
        except (InvalidInput, WrongArguments):
            pass


LARGE = [1] * 1_100_000


def test_large_data_that_is_wrong_is_refused_without_a_copy_of_it():
    schema = compile_schema({"type": "object", "minProperties": 1}, "s")
    with pytest.raises(InvalidInput, match="data of 1100005 bytes, too large to say where"):
        schema.decode_call(msgpack.packb([LARGE]), "m")


def test_large_data_that_is_right_passes():
    schema = compile_schema({"type": "array", "minItems": 1, "uniqueItems": False}, "s")
    assert schema.decode_call(msgpack.packb([LARGE]), "m") == LARGE


def test_large_data_that_is_no_json_is_refused_too():
    schema = compile_schema({"type": "object", "minProperties": 1}, "s")
    large = [*LARGE, float("nan")]
    with pytest.raises(InvalidInput):
        schema.decode_call(msgpack.packb([large]), "m")
