"""Lists, arrays and frames as the rows of a call: what the server decodes, and what is refused."""

import math
import subprocess
import sys

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from zeropool.client.tables import rows_of

NAMES = ["length", "width"]


def decoded(data, columns=None):
    """The rows as a server sees them, taken all at once; one by one they must be the same."""
    rows = rows_of(data, columns)
    together = msgspec.msgpack.decode(rows.packed(0, len(rows)))
    assert [msgspec.msgpack.decode(row) for row in rows.each()] == together
    return together


# Lists


@pytest.mark.parametrize("rows", [[], [1, 2.5], [{"a": None}, "text", [b"\x00"]]])
def test_a_list_goes_as_it_is(rows):
    assert decoded(rows) == rows


def test_any_iterable_is_a_list_of_rows():
    assert decoded(number for number in (1, 2)) == [1, 2]


def test_numpys_scalars_and_arrays_in_a_list_become_pythons():
    row = {"a": np.float64(1.5), "b": np.int32(-7), "c": np.bool_(True), "d": np.arange(3)}

    assert decoded([row]) == [{"a": 1.5, "b": -7, "c": True, "d": [0, 1, 2]}]


def test_rows_of_a_frame_in_a_list_become_maps():
    frame = pd.DataFrame({"name": ["x", "y"], "size": [1, 2]})

    assert decoded([row for _, row in frame.iterrows()]) == [
        {"name": "x", "size": 1},
        {"name": "y", "size": 2},
    ]


# Arrays


def test_an_array_of_two_dimensions_is_a_list_of_lists():
    assert decoded(np.array([[1.5, 2.5], [3.5, 4.5]])) == [[1.5, 2.5], [3.5, 4.5]]


def test_with_names_it_is_a_list_of_maps():
    assert decoded(np.array([[1.5, 2.5]]), NAMES) == [{"length": 1.5, "width": 2.5}]


def test_an_array_of_one_dimension_is_a_list_of_values():
    assert decoded(np.array([1, 2, 3])) == [1, 2, 3]


def test_an_array_of_three_dimensions_is_a_list_of_matrices():
    assert decoded(np.arange(8).reshape(2, 2, 2)) == [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]


def test_a_structured_array_brings_its_names():
    array = np.array(
        [(1.5, 2, "x", [1, 2])], dtype=[("a", "f4"), ("b", "u1"), ("c", "U3"), ("d", "i4", (2,))]
    )

    assert decoded(array) == [{"a": 1.5, "b": 2, "c": "x", "d": [1, 2]}]
    assert decoded(array[["a", "b"]]) == [{"a": 1.5, "b": 2}]


def test_values_behind_a_mask_are_nil():
    masked = np.ma.array([[1.0, 2.0], [3.0, 4.0]], mask=[[False, True], [False, False]])

    assert decoded(masked) == [[1.0, None], [3.0, 4.0]]
    assert decoded(np.ma.array([1.0, 2.0])) == [1.0, 2.0]


def test_an_array_of_wide_floats_loses_what_python_has_no_room_for():
    assert decoded(np.array([[1, 2.5]], dtype=np.longdouble)) == [[1.0, 2.5]]


def test_views_are_packed_as_they_look():
    array = np.arange(12.0).reshape(3, 4)

    assert decoded(array[::-1, ::2]) == [[8.0, 10.0], [4.0, 6.0], [0.0, 2.0]]
    assert decoded(np.asfortranarray(array)) == array.tolist()
    assert decoded(array.astype(">f8")) == array.tolist()


@given(
    arrays.arrays(
        st.one_of(
            arrays.boolean_dtypes(),
            arrays.integer_dtypes(endianness="?"),
            arrays.unsigned_integer_dtypes(endianness="?"),
            arrays.floating_dtypes(endianness="?"),
        ),
        arrays.array_shapes(min_dims=1, max_dims=2, max_side=20),
        elements={"allow_nan": False},
    )
)
def test_every_array_of_numbers_arrives_as_its_own_list(array):
    assert decoded(array) == array.tolist()


@pytest.mark.parametrize("columns", [15, 16, 70_000])
def test_rows_may_be_as_wide_as_they_like(columns):
    array = np.zeros((1, columns), dtype=bool)
    names = [str(number) for number in range(columns)]

    assert decoded(array) == [[False] * columns]
    assert decoded(array, names) == [dict.fromkeys(names, False)]


def test_rows_can_be_taken_in_pieces():
    rows = rows_of(np.arange(10))

    assert len(rows) == 10
    assert msgspec.msgpack.decode(rows.packed(8, 20)) == [8, 9]


# Frames


def test_a_frame_of_numbers_is_a_list_of_maps():
    frame = pd.DataFrame({"a": [1.5, 2.5], "b": np.array([1, 2], dtype="i2"), "c": [True, False]})

    assert decoded(frame) == [{"a": 1.5, "b": 1, "c": True}, {"a": 2.5, "b": 2, "c": False}]


def test_a_frame_of_all_sorts_is_one_too():
    frame = pd.DataFrame(
        {
            "text": ["x", None],
            "kind": pd.Categorical(["p", "q"]),
            "count": pd.array([1, None], dtype="Int64"),
            "full": pd.array([1, 2], dtype="Int64"),
            "truth": pd.array([True, None], dtype="boolean"),
            "things": [{"n": np.int64(1)}, pd.NA],
        }
    )

    assert decoded(frame) == [
        {"text": "x", "kind": "p", "count": 1, "full": 1, "truth": True, "things": {"n": 1}},
        {"text": None, "kind": "q", "count": None, "full": 2, "truth": None, "things": None},
    ]


def test_a_frame_can_be_named_anew():
    frame = pd.DataFrame([[1.5, 2.5]])

    assert decoded(frame, NAMES) == [{"length": 1.5, "width": 2.5}]


def test_a_column_is_a_list_of_values():
    assert decoded(pd.Series([1.5, 2.5])) == [1.5, 2.5]
    assert decoded(pd.Series(["x", None])) == ["x", None]


@pytest.mark.parametrize("others", [{}, {"text": ["x"]}], ids=["numbers", "all sorts"])
def test_nan_stays_a_number_which_the_model_judges(others):
    rows = rows_of(pd.DataFrame({"a": [float("nan")]} | others))

    (row,) = msgspec.msgpack.decode(rows.packed(0, 1))

    assert math.isnan(row["a"])


# What has no form

DATES = pd.Series(pd.to_datetime(["2026-11-24", None]))
NO_FORM = "has no form in MessagePack"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.array(["2026-11-24"], "M8[D]"), rf"\Athis array is datetime64\[D\], which {NO_FORM}\Z"),
        (np.array([1j]), rf"\Athis array is complex128, which {NO_FORM}\Z"),
        (np.zeros(1, dtype=[("t", "m8[s]")]), r"column 't' is timedelta64\[s\]"),
        (pd.DataFrame({"born": DATES}), r"\Acolumn 'born' is datetime64\[us\], which"),
        (
            pd.DataFrame({"born": DATES.dt.tz_localize("UTC")}),
            r"column 'born' is datetime64\[us, UTC",
        ),
        (DATES, r"\Athis column is datetime64"),
        (pd.DataFrame({0: [1]}), r"\Acolumn 0 should be named by a text, not 0\Z"),
        (pd.DataFrame(index=[0, 1]), r"\Awithout columns there are no rows\Z"),
        (np.zeros((3, 0)), r"\Awithout columns there are no rows\Z"),
        (np.array(5), r"\Aan array without dimensions has no rows\Z"),
        (5, r"\Arows should be a list, an array or a frame, not a int\Z"),
        ("text", r"not a str\Z"),
        ({"a": 1}, r"not a dict\Z"),
        (None, r"not a NoneType\Z"),
    ],
)
def test_what_has_no_rows_is_refused_at_once(data, message):
    with pytest.raises(TypeError, match=message):
        rows_of(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            [{"a": 1}, {"a": 1j}],
            r"\Arow 1, column 'a': builtins.complex has no form in MessagePack",
        ),
        ([1, object()], r"\Arow 1: builtins.object has no form in MessagePack\Z"),
        ([2**64], r"\Arow 0: can't serialize ints"),
        (["\ud800"], r"\Arow 0: 'utf-8' codec"),
        ([np.datetime64("2026-11-24")], rf"\Arow 0: numpy.datetime64\[D\] {NO_FORM}"),
        ([{"a": np.array([1j])}], r"\Arow 0, column 'a': an array of complex128 has no form"),
        ([DATES[0]], r"\Arow 0: pandas.*Timestamp has no form"),
        ([pd.Series([1], index=[5])], r"\Arow 0: the row's field 5 should be named by a text\Z"),
        (
            pd.DataFrame({"n": [1, 2], "set": ["x", pd.Period("2026", "Y")]}),
            r"\Arow 1, column 'set': pandas.*Period has no form in MessagePack\Z",
        ),
    ],
)
def test_a_value_without_form_is_named_by_its_place(data, message):
    rows = rows_of(data)

    with pytest.raises(TypeError, match=message):
        rows.packed(0, len(rows))
    with pytest.raises(TypeError, match=message):
        list(rows.each())


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["a"], r"\A1 names for 2 columns\Z"),
        (["a", "b", "c"], r"\A3 names for 2 columns\Z"),
        (["a", "a"], r"\Atwo columns are named 'a'\Z"),
    ],
)
@pytest.mark.parametrize("data", [np.zeros((1, 2)), pd.DataFrame({"x": [1], "y": [2]})])
def test_names_have_to_fit(data, columns, message):
    with pytest.raises(ValueError, match=message):
        rows_of(data, columns)


@pytest.mark.parametrize("data", [[1], pd.Series([1]), np.zeros(2), np.zeros((1, 1, 1))])
def test_only_what_has_columns_can_have_names(data):
    with pytest.raises(TypeError, match="columns name those"):
        rows_of(data, ["a"])


def test_a_program_without_numpy_and_pandas_stays_so():
    code = (
        "import sys; from zeropool.client.tables import rows_of; rows_of([{'a': 1}]).packed(0, 1);"
        "print({'numpy', 'pandas'} & set(sys.modules))"
    )

    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert told.stdout == "set()\n"
