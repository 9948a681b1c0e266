"""Answers as columns are, as bytes, what the same answers are as dicts."""

import enum
import struct

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from zeropool.workers.answer_columns import PackedAnswers, WrongAnswer, answers_of
from zeropool.workers.output import encode_prediction

SPECIES = np.array(["setosa", "versicolor", "virginica"], dtype=object)


class Colour(enum.StrEnum):
    RED = "red"


class Text(str):
    __slots__ = ()


def unpacked(packed):
    return msgpack.unpackb(packed, raw=False, strict_map_key=True)


def listed(values):
    return values.tolist() if isinstance(values, np.ndarray) else list(values)


def dicts_of(columns):
    names = list(columns)
    return [
        dict(zip(names, row, strict=True))
        for row in zip(*map(listed, columns.values()), strict=True)
    ]


def assert_packed(columns, count):
    answers = answers_of(columns, count)
    assert isinstance(answers, PackedAnswers)
    assert len(answers) == count
    each = answers.each()
    assert answers.joined() == b"".join(each)
    assert repr([unpacked(row) for row in each]) == repr(dicts_of(columns))


@pytest.mark.parametrize(
    "column",
    [
        np.array([0.5, -1.0, np.inf]),
        np.array([0.5, np.nan, 1.0], dtype=np.float32),
        np.array([0.5, 2.0, 1.0], dtype=np.float16),
        np.array([0.5, 2.0, 1.0], dtype=">f8"),
        np.array([True, False, True]),
        np.array([1, 2, 3]),
        np.array([[0.5, 0.25, 0.25], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
        np.array([[1, 2], [3, 4], [5, 6]], dtype=np.int32),
        np.array([[True], [False], [True]]),
        np.zeros((3, 0)),
        np.zeros((3, 16)),
        np.arange(12.0)[::4],
        np.arange(12.0).reshape(4, 3).T,
        ["setosa", "versicolor", "setosa"],
        ("ä", "", "€" * 100),
        SPECIES,
        SPECIES.astype("U"),
    ],
)
def test_numbers_and_text_are_packed(column):
    assert_packed({"y": column}, 3)


@pytest.mark.parametrize(
    ("least", "most", "size_bytes"),
    [
        (0, 127, 1),
        (-32, 127, 1),
        (0, 128, 2),
        (0, 255, 2),
        (-33, 0, 2),
        (-128, 127, 2),
        (0, 256, 3),
        (0, 2**16 - 1, 3),
        (-1, 128, 3),
        (-(2**15), 2**15 - 1, 3),
        (0, 2**16, 5),
        (0, 2**32 - 1, 5),
        (-(2**31), 2**31 - 1, 5),
        (-1, 2**31, 9),
        (0, 2**32, 9),
        (-(2**63), 2**63 - 1, 9),
        (0, 2**64 - 1, 9),
    ],
)
def test_integers_of_a_column_have_the_first_form_that_holds_all_of_them(least, most, size_bytes):
    column = np.array([least, most], dtype=np.uint64 if most >= 2**63 else np.int64)

    assert_packed({"y": column}, 2)
    assert len(answers_of({"y": column}, 2).joined()) == 2 * (len(b"\x81\xa1y") + size_bytes)


def test_columns_of_every_kind_stand_in_each_row_in_their_order():
    columns = {
        "label": np.array([0, 2, 1]),
        "species": SPECIES[[0, 2, 1]],
        "p": np.array([[0.1, 0.9], [0.2, 0.8], [0.3, 0.7]]),
        "is_sure": np.array([True, False, True]),
        "note": ["a", "b", "a"],
    }

    assert_packed(columns, 3)
    assert_packed(dict(reversed(columns.items())), 3)


@pytest.mark.parametrize("count", [15, 16, 300])
def test_answers_may_have_many_columns(count):
    assert_packed({f"y{at}": np.array([1.5, 2.5]) for at in range(count)}, 2)


def test_one_row_is_as_good_as_many():
    assert_packed({"species": ["setosa"]}, 1)
    assert_packed({"species": SPECIES[:1], "y": np.array([1.0])}, 1)


@pytest.mark.parametrize(
    "column",
    [
        [1.5, 2.5],
        [None, "a"],
        ["a", b"b"],
        [Text("a"), "b"],
        ["\ud800", "a"],
        np.array([1.5, None], dtype=object),
        np.array([1.5, 2.5], dtype=np.longdouble),
        np.array([1 + 2j, 2j]),
        np.array([b"a", b"b"]),
        np.ma.masked_array([1.5, 2.5], [True, False]),
        np.zeros((2, 1, 1)),
        [{"deep": [1]}, {"deep": []}],
    ],
)
def test_whatever_else_there_is_becomes_a_dict_for_each_row(column):
    columns = {"y": column, "n": np.array([1, 2])}

    assert repr(answers_of(columns, 2)) == repr(dicts_of(columns))


def test_a_masked_value_is_none():
    columns = {"y": np.ma.masked_array([1.5, 2.5], [True, False])}

    assert answers_of(columns, 2) == [{"y": None}, {"y": 2.5}]


@pytest.mark.parametrize("name", [1, Text("y"), "\ud800"])
def test_names_that_are_not_plain_text_are_left_to_others(name):
    assert answers_of({name: np.array([1.5, 2.5])}, 2) == [{name: 1.5}, {name: 2.5}]


def test_a_member_of_an_enum_is_the_text_that_it_is():
    answers = answers_of({"y": [Colour.RED, "red", "green"]}, 3)

    assert [unpacked(row) for row in answers.each()] == [{"y": "red"}, {"y": "red"}, {"y": "green"}]


def test_a_signalling_nan_is_packed_whatever_the_model_has_told_numpy():
    signalling = np.frombuffer(b"\x01\x00\xa0\x7f" * 2, dtype="<f4")
    with np.errstate(all="raise"):
        answers = answers_of({"y": signalling}, 2)

    assert [str(unpacked(row)["y"]) for row in answers.each()] == ["nan", "nan"]


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({}, "a dict without columns"),
        ({"y": [1.0]}, "1 values as column 'y'"),
        ({"y": [1.0, 2.0], "z": np.zeros(3)}, "3 values as column 'z'"),
        ({"y": 1.0}, "'float' as column 'y', not a list or an array"),
        ({"y": "ab"}, "'str' as column 'y', not a list or an array"),
        ({"y": {1: 2, 3: 4}}, "'dict' as column 'y', not a list or an array"),
        ({"y": (x for x in (1, 2))}, "'generator' as column 'y', not a list or an array"),
        ({"y": np.array(1.0)}, "an array without dimensions as column 'y'"),
    ],
)
def test_columns_that_are_not_one_value_for_each_row_are_refused(columns, found):
    with pytest.raises(WrongAnswer) as wrong:
        answers_of(columns, 2)

    assert str(wrong.value) == found


NUMBERS = st.one_of(
    arrays.floating_dtypes(sizes=(16, 32, 64)),
    arrays.integer_dtypes(),
    arrays.unsigned_integer_dtypes(),
    arrays.boolean_dtypes(),
)


@st.composite
def tables(draw):
    count = draw(st.integers(1, 5))
    shapes = st.sampled_from([(count,), (count, 1), (count, 3)])
    numbers = NUMBERS.flatmap(lambda kind: arrays.arrays(kind, shapes))
    texts = st.lists(st.text(max_size=40), min_size=count, max_size=count)
    names = st.text(max_size=40)
    return count, draw(st.dictionaries(names, st.one_of(numbers, texts), min_size=1, max_size=20))


@given(tables())
def test_packed_answers_are_read_as_what_each_row_alone_is_read_as(table):
    count, columns = table

    answers = answers_of(columns, count)

    expected = [unpacked(encode_prediction(answer)) for answer in dicts_of(columns)]
    assert repr([unpacked(row) for row in answers.each()]) == repr(expected)
    assert answers.joined() == b"".join(answers.each())


def test_floats_of_32_bits_travel_with_64():
    answers = answers_of({"y": np.array([0.1], dtype=np.float32)}, 1)

    assert answers.joined() == b"\x81\xa1y\xcb" + struct.pack(">d", np.float32(0.1))


class Lying(list):
    """A model's own sequence, which says another length than it has."""

    def __iter__(self):
        return iter(["a"] * (len(self) - 1))


def test_a_column_that_has_not_what_its_length_says_is_a_wrong_answer():
    with pytest.raises(WrongAnswer, match=r"^1 values as column 'y'$"):
        answers_of({"y": Lying(["a", "a"]), "z": np.zeros(2)}, 2)
    with pytest.raises(WrongAnswer, match=r"^1 values as column 'y'$"):
        answers_of({"y": Lying(["a", "a"])}, 2)


class Half(dict):
    """A model's own map, which gives fewer items than it counts."""

    def items(self):
        return list(super().items())[:1]


def test_a_map_of_columns_is_what_its_items_are():
    answers = answers_of(Half(a=np.zeros(2), b=np.ones(2)), 2)
    assert answers.joined() == msgpack.packb({"a": 0.0}) * 2
