"""Example rows fit the types of their schema, whatever the schema looks like."""

from __future__ import annotations

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeropool.shared.examples import example_row

IRIS = {
    "type": "object",
    "properties": {name: {"type": "number"} for name in ("sepal_length", "petal_width")},
    "required": ["sepal_length", "petal_width"],
}
NESTED = {
    "$defs": {"Point": {"properties": {"x": {"type": "integer"}}, "required": ["x"]}},
    "type": "object",
    "properties": {
        "at": {"$ref": "#/$defs/Point"},
        "maybe": {"anyOf": [{"$ref": "#/$defs/Point"}, {"type": "null"}]},
        "either": {"oneOf": [{"type": "string"}, {"type": "null"}]},
        "both": {"allOf": [{"$ref": "#/$defs/Point"}]},
    },
    "required": ["at", "maybe", "either", "both"],
}


@pytest.mark.parametrize(
    ("schema", "row"),
    [
        (IRIS, {"sepal_length": 1.5, "petal_width": 1.5}),
        (NESTED, {"at": {"x": 1}, "maybe": {"x": 1}, "either": "text", "both": {"x": 1}}),
        ({"type": "integer"}, 1),
        ({"type": "string"}, "text"),
        ({"type": "boolean"}, True),
        ({"type": "null"}, None),
        ({"type": "array", "items": {"type": "number"}}, []),
        ({"type": ["string", "null"]}, "text"),
        ({"type": "string", "enum": ["b", "a"]}, "b"),
        ({"const": None}, None),
        ({"type": "number", "examples": [5.1, 6.2]}, 5.1),
        ({}, {}),
    ],
)
def test_an_example_fits_its_schema(schema, row):
    assert example_row(schema) == row
    assert jsonschema_rs.is_valid(schema, row)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": []},
        {"type": {"a": 1}},
        {"type": "unknown"},
        {"examples": {"a": 1}, "enum": "abc"},
        {"properties": ["a"]},
        {"$ref": "#/$defs/missing"},
        {"$ref": "other.json#/a"},
        {"$ref": "#/$ref"},
        {"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
    ],
)
def test_a_schema_that_says_nothing_usable_gives_an_empty_object(schema):
    assert example_row(schema) == {}


def test_a_part_that_allows_everything_is_an_empty_object():
    assert example_row({"properties": {"a": True, "b": {}}}) == {"a": {}, "b": {}}


def test_a_schema_that_contains_itself_ends():
    tree = {"properties": {"left": {"$ref": "#/$defs/tree"}}}
    schema = tree | {"$defs": {"tree": tree}}
    assert example_row(schema) == {"left": {"left": {"left": {"left": {}}}}}


def test_examples_are_not_shared():
    first, second = example_row({"type": "array"}), example_row({"type": "array"})
    first.append(1)
    assert second == []


KEYWORDS = st.sampled_from(["type", "properties", "enum", "examples", "anyOf", "$ref", "const"])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["object", "array", "#/a", "#/"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYWORDS, inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(KEYWORDS, ANYTHING, max_size=4))
@settings(deadline=None)
def test_no_schema_is_worth_an_error(schema):
    example_row(schema)
