from __future__ import annotations

import enum
import math
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from iris_model.errors import MLModelSchemaValidationException
from iris_model.records import (
    INPUT_SCHEMA,
    LARGEST_CM,
    MEASUREMENTS,
    OUTPUT_SCHEMA,
    read,
    read_exactly,
    read_together,
)

NUMBERS = st.one_of(
    st.floats(),
    st.floats(0.0, 10.0),
    st.integers(),
    st.integers(0, 10),
    st.sampled_from([LARGEST_CM, -LARGEST_CM, int(LARGEST_CM) + 1, 10**400, -(10**400)]),
)
VALUES = st.one_of(
    NUMBERS,
    st.booleans(),
    st.none(),
    st.text(max_size=3),
    st.binary(max_size=3),
    st.lists(st.floats(), max_size=1),
    st.builds(np.float64, st.floats()),
    st.builds(np.float32, st.floats(width=32)),
)
FLOWERS = st.fixed_dictionaries(dict.fromkeys(MEASUREMENTS, NUMBERS))
RECORDS = st.fixed_dictionaries(
    dict.fromkeys(MEASUREMENTS, VALUES),
    optional={"colour": VALUES, b"petal_width": VALUES, 7: VALUES},
)
PARTIAL_RECORDS = st.dictionaries(st.sampled_from([*MEASUREMENTS, "colour"]), VALUES, max_size=5)
ANYTHING = st.one_of(FLOWERS, RECORDS, PARTIAL_RECORDS, RECORDS.map(OrderedDict), VALUES)


def outcome(read_data):
    """Comparable by `==`, as exceptions are not."""
    if isinstance(read_data, MLModelSchemaValidationException):
        return str(read_data)
    return read_data


def is_acceptable(data):
    """The rule said once more, without the code under test: the schema, ints, and the range."""
    if not isinstance(data, dict):
        return False
    if any(type(value) is int and abs(value) > LARGEST_CM for value in data.values()):
        return False
    floats = {key: float(value) if type(value) is int else value for key, value in data.items()}
    return INPUT_SCHEMA.is_valid(floats) and all(
        math.isfinite(value) and abs(value) <= LARGEST_CM for value in floats.values()
    )


def reason(data):
    rejection = read(data)
    assert isinstance(rejection, MLModelSchemaValidationException)
    return str(rejection).removeprefix("Failed to validate input data: ")


@given(ANYTHING)
def test_the_quick_check_and_the_schema_agree(data):
    assert outcome(read(data)) == outcome(read_exactly(data))


@given(ANYTHING)
def test_exactly_what_the_schema_and_the_range_allow_is_accepted(data):
    assert isinstance(read(data), tuple) == is_acceptable(data)


@given(st.lists(FLOWERS | ANYTHING, max_size=4))
def test_what_is_read_together_is_what_is_read_one_by_one(data):
    together = read_together(data)
    if together is not None:
        assert together == [value for each in data for value in read(each)]


def test_floats_and_integers_are_read_together(flower):
    whole = dict(zip(MEASUREMENTS, (5, 3, 1, 0), strict=True))
    assert read_together([flower, whole]) == [1.1, 1.2, 1.4, 1.3, 5, 3, 1, 0]


@pytest.mark.parametrize(
    "value", [True, "1", None, math.nan, -math.inf, LARGEST_CM, -1e300, 10**400, np.float64(1.5)]
)
def test_what_is_odd_or_large_is_not_read_together(flower, value):
    assert read_together([flower, flower | {"petal_width": value}]) is None


@given(FLOWERS)
def test_columns_have_one_order_whatever_the_order_of_the_keys(data):
    backwards = dict(reversed(data.items()))
    assert outcome(read(data)) == outcome(read(backwards))


def test_a_good_record_never_reaches_the_schema(flower, monkeypatch):
    monkeypatch.setattr("iris_model.records.read_exactly", lambda data: pytest.fail(f"{data}"))
    assert read(flower) == (1.1, 1.2, 1.4, 1.3)


def test_a_record_of_integers_never_reaches_the_schema(monkeypatch):
    monkeypatch.setattr("iris_model.records.read_exactly", lambda data: pytest.fail(f"{data}"))
    assert read(dict.fromkeys(MEASUREMENTS, 5)) == (5, 5, 5, 5)


def test_the_columns_are_those_of_the_training_data(iris):
    columns = [name.removesuffix(" (cm)").replace(" ", "_") for name in iris.feature_names]
    assert tuple(columns) == MEASUREMENTS


def test_a_text_is_rejected_in_the_words_of_the_schema(flower):
    assert reason(flower | {"petal_width": "abc"}) == (
        "Key 'petal_width' error: 'abc' should be instance of 'float'"
    )


def test_a_text_with_line_breaks_is_rejected_in_one_line(flower):
    assert reason(flower | {"petal_width": "a\nb"}) == (
        "Key 'petal_width' error: 'a\\nb' should be instance of 'float'"
    )


@pytest.mark.parametrize("value", [True, False])
def test_a_bool_is_no_number(flower, value):
    assert reason(flower | {"petal_width": value}) == (
        f"Key 'petal_width' error: {value} should be instance of 'float'"
    )


def test_a_float_of_numpy_is_a_number(flower):
    assert read(flower | {"petal_width": np.float64(1.3)}) == (1.1, 1.2, 1.4, 1.3)


def test_an_integer_enum_is_a_number(flower):
    class Width(enum.IntEnum):
        NARROW = 1

    assert read(flower | {"petal_width": Width.NARROW}) == (1.1, 1.2, 1.4, 1.0)


def test_a_missing_key_is_named(flower):
    del flower["petal_width"]
    assert reason(flower) == "Missing key: 'petal_width'"


def test_an_empty_record_misses_all_keys():
    assert reason({}) == (
        "Missing keys: 'petal_length', 'petal_width', 'sepal_length', 'sepal_width'"
    )


def test_an_extra_key_is_named(flower):
    assert reason(flower | {"colour": 1.0}).startswith("Wrong key 'colour' in {")


def test_a_misspelt_key_is_rejected(flower):
    flower["petal_widht"] = flower.pop("petal_width")
    assert reason(flower) == "Missing key: 'petal_width'"


@pytest.mark.parametrize("data", [None, [], [1.0, 2.0, 3.0, 4.0], "abc", 5, b"abc"])
def test_anything_but_a_record_is_rejected(data):
    assert reason(data) == f"{data!r} should be instance of 'dict'"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e10, -1e300])
def test_a_number_outside_the_range_is_rejected(flower, value):
    assert reason(flower | {"petal_width": value}) == (
        f"Key 'petal_width' error: {value} should be between -1000000000.0 and 1000000000.0"
    )


def test_an_integer_too_large_for_a_float_is_rejected(flower):
    assert reason(flower | {"petal_width": -(10**400)}) == (
        "Key 'petal_width' error: -inf should be between -1000000000.0 and 1000000000.0"
    )


def test_the_ends_of_the_range_are_inside(flower):
    data = flower | {"petal_width": LARGEST_CM, "petal_length": -LARGEST_CM}
    assert read(data) == (1.1, 1.2, -1e9, 1e9)


def test_data_nested_too_deeply_to_be_quoted_is_rejected(flower):
    nested = []
    for _ in range(100_000):
        nested = [nested]
    assert "nested too deeply" in reason(flower | {"petal_width": nested})


def test_a_number_too_long_to_be_quoted_is_rejected(flower):
    assert "too long a number" in reason(flower | {"petal_width": [10**5000]})


def test_the_input_schema_exports_four_required_numbers():
    exported = INPUT_SCHEMA.json_schema("iris_model")
    assert exported["properties"] == {name: {"type": "number"} for name in MEASUREMENTS}
    assert exported["required"] == list(MEASUREMENTS)
    assert exported["additionalProperties"] is False


def test_the_output_schema_exports_the_three_species():
    exported = OUTPUT_SCHEMA.json_schema("iris_model")
    assert exported["properties"] == {"species": {"enum": ["setosa", "versicolor", "virginica"]}}
    assert exported["required"] == ["species"]
