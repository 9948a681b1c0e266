"""What models return reaches every client, or is refused with place and type."""

import collections
import datetime as dt
import enum
import math

import msgpack
import msgspec
import numpy as np
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeropool.shared.errors import UnusableOutput
from zeropool.workers.failures import MESSAGE_LIMIT
from zeropool.workers.output import encode_prediction
from zeropool.workers.plain import MAX_DEPTH, encode_each, encode_plain


class Species(str, enum.Enum):  # noqa: UP042  # the form that models have
    SETOSA = "setosa"


class Level(enum.IntEnum):
    HIGH = 2


class Colour(enum.Enum):
    RED = "red"


class Point(msgspec.Struct, rename="camel"):
    x_axis: float
    raw: bytes = b"\x00"


class Report(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)
    score: float
    raw: bytes = b"\xff"


class DatedReport(pydantic.BaseModel):
    at: dt.date = pydantic.Field(serialization_alias="atDay")


class Number(float):
    pass


Pair = collections.namedtuple("Pair", "a b")  # noqa: PYI024  # the form that models have


def decoded(value):
    """Return what a Python client makes of the reply."""
    return msgpack.unpackb(encode_prediction(value), raw=False, strict_map_key=True)


def refusal(value):
    with pytest.raises(UnusableOutput) as caught:
        encode_prediction(value)
    return str(caught.value)


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "received"),
    [
        ({"species": "setosa", "p": 0.5, "n": None}, {"species": "setosa", "p": 0.5, "n": None}),
        ((1, (2, 3)), [1, [2, 3]]),
        (Pair(1, [2.5]), [1, [2.5]]),
        (collections.OrderedDict(a=collections.Counter(b=1)), {"a": {"b": 1}}),
        ([1.5, 2, True, "x", b"y", None], [1.5, 2, True, "x", b"y", None]),
        (bytearray(b"x"), b"x"),
        (memoryview(b"x"), b"x"),
        (Species.SETOSA, "setosa"),
        ({Species.SETOSA: Level.HIGH, "c": Colour.RED}, {"setosa": 2, "c": "red"}),
        (Number(1.5), 1.5),
        ([2**64 - 1, -(2**63)], [2**64 - 1, -(2**63)]),
        (Point(1), {"xAxis": 1.0, "raw": b"\x00"}),
        ([Report(score=1)], [{"score": 1.0, "raw": b"\xff"}]),
        (DatedReport(at=dt.date(2020, 1, 2)), {"atDay": "2020-01-02"}),
    ],
)
def test_pythons_values_arrive_as_builtins(value, received):
    arrived = decoded(value)
    assert arrived == received
    assert type(arrived) is type(received)


@pytest.mark.parametrize(
    ("value", "received"),
    [
        (np.float32(0.5), 0.5),
        (np.float64(0.5), 0.5),
        (np.longdouble(0.5), 0.5),
        (np.int64(-5), -5),
        (np.uint64(2**64 - 1), 2**64 - 1),
        (np.bool_(True), True),
        (np.str_("setosa"), "setosa"),
        (np.array([[1, 2], [3, 4]], dtype=np.int8), [[1, 2], [3, 4]]),
        (np.array(1.5), 1.5),
        (np.array(["a", "b"]), ["a", "b"]),
        (np.array([{"a": np.float32(1)}], dtype=object), [{"a": 1.0}]),
        (np.array([0.5], dtype=np.longdouble), [0.5]),
        ({np.str_("p"): [np.float16(1), (np.int8(2),)]}, {"p": [1.0, [2]]}),
    ],
)
def test_numpys_values_arrive_as_numbers_and_lists(value, received):
    arrived = decoded(value)
    assert arrived == received
    assert type(arrived) is type(received)


@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_infinity_passes(value):
    assert decoded({"p": [value]}) == {"p": [value]}


def test_nan_passes():
    assert math.isnan(decoded(np.array([math.nan]))[0])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"species": {"setosa"}}, "can not serialize 'set' object at $.species"),
        (object(), "can not serialize 'object' object at $"),
        ({"a": [0, {"b": 1j}]}, "can not serialize 'complex' object at $.a[1].b"),
        ({"a": {1: 2}}, "can not serialize a map with keys of type 'int' at $.a"),
        ({b"a": 2}, "can not serialize a map with keys of type 'bytes' at $"),
        ({(1, 2): 2}, "can not serialize a map with keys of type 'tuple' at $"),
        ([0.5, 2**64], "can not serialize an integer of 65 bits at $[1]"),
        ([1, 10**10_000], "can not serialize an integer of 33220 bits at $[1]"),
        ([-(2**63) - 1], "can not serialize an integer of 64 bits at $[0]"),
        ({"t": "\ud800"}, "can not serialize text with lone surrogates at $.t"),
        ({"t": dt.date(2020, 1, 2)}, "can not serialize 'date' object at $.t"),
        ([msgpack.Timestamp(1)], "can not serialize 'Timestamp' object at $[0]"),
        ([np.complex64(1)], "can not serialize 'complex' object at $[0]"),
        ({"t": np.datetime64("2020-01-02")}, "can not serialize 'date' object at $.t"),
        ((x for x in ()), "can not serialize 'generator' object at $"),
        ({"k": {1}.__contains__}, "can not serialize 'builtin_function_or_method' object at $.k"),
    ],
)
def test_what_no_client_can_decode_is_refused_with_its_place(value, message):
    assert refusal(value) == message


def test_a_surrogate_in_a_key_is_refused_at_a_place_that_can_be_sent():
    assert refusal({"\ud800": 1}).encode("utf-8", "strict")


def test_a_cycle_is_refused():
    cycle = {}
    cycle["self"] = [cycle]
    assert "is it a cycle?" in refusal(cycle)


def test_a_model_instance_with_an_unusable_field_is_refused():
    assert "'object' object" in refusal(Report.model_construct(score=object()))


def test_nesting_up_to_the_limit_passes_and_beyond_it_does_not():
    assert decoded(nested(MAX_DEPTH - 1)) == nested(MAX_DEPTH - 1)
    assert "levels" in refusal(nested(MAX_DEPTH))


def test_a_message_stays_short_whatever_the_keys():
    value = 1j
    for _ in range(100):
        value = {"k" * 1_000: value}
    assert len(refusal(value)) <= MESSAGE_LIMIT


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
)


@given(PLAIN)
def test_plain_data_makes_the_round_trip(value):
    assert decoded(value) == value


ANYTHING = st.recursive(
    st.sampled_from([1, 2**64, 0.5, "\ud800", b"x", None, 1j, {1}, np.float32(1), Level.HIGH]),
    lambda children: (
        st.lists(children)
        | st.tuples(children, children)
        | st.dictionaries(st.sampled_from(["a", 1, b"k", None, (1,), np.str_("s")]), children)
    ),
)


@given(ANYTHING)
def test_everything_is_decodable_or_refused(value):
    try:
        decoded(value)
    except UnusableOutput as error:
        assert " at $" in str(error)  # noqa: PT017  # either outcome is right


@given(st.lists(PLAIN))
def test_plain_data_is_encoded_together_as_one_by_one(values):
    assert encode_plain(values) == b"".join(map(encode_prediction, values))


@pytest.mark.parametrize("count", [0, 1, 15, 16, 2**16 - 1, 2**16])
def test_many_predictions_are_encoded_without_the_header_of_a_list(count):
    assert encode_plain([{"a": 1}] * count) == encode_prediction({"a": 1}) * count


@given(st.lists(ANYTHING))
def test_what_is_encoded_together_is_what_is_encoded_one_by_one(values):
    together = encode_plain(values)
    if together is not None:
        assert together == b"".join(map(encode_prediction, values))
    each = encode_each(values)
    assert (each is None) == (together is None)
    if each is not None:
        assert each == list(map(encode_prediction, values))


@pytest.mark.parametrize("odd", [2**64, "\ud800", {1: 2}, {"a": 2**64}, {"a": {1}}, (1,), None])
def test_one_odd_prediction_makes_each_one_looked_at(odd):
    found = encode_plain([{"a": "b"}, odd])
    assert found == (b"\x81\xa1a\xa1b\xc0" if odd is None else None)
    each = encode_each([{"a": "b"}, odd])
    assert each == ([b"\x81\xa1a\xa1b", b"\xc0"] if odd is None else None)


@pytest.mark.parametrize(
    "odd",
    [{Species.SETOSA: 1, "b": 2}, {"setosa": 1}, {"b": 2, "setosa": 1}, {"setosa": 1, "c": 2}],
)
def test_keys_that_differ_from_the_first_ones_are_told_as_they_are(odd):
    values = [{"setosa": 1, "b": 2}, odd]
    assert encode_plain(values) == b"".join(map(encode_prediction, values))


class Incomparable:
    def __hash__(self):
        return hash("x")

    def __eq__(self, other):
        raise SystemExit("not to be compared")


@pytest.mark.parametrize("key", [collections.UserString("x"), Incomparable()])
def test_a_key_that_is_like_a_text_is_its_own_predictions_error(key):
    assert encode_plain([{"x": 1}, {key: 2}]) is None
    kind = type(key).__name__
    assert refusal({key: 2}) == f"can not serialize a map with keys of type {kind!r} at $"


class Broken(dict):
    def items(self):
        raise SystemExit("no items today")


class Nameless(type):
    @property
    def __name__(cls):
        raise RuntimeError("no name today")


class Unnamed(metaclass=Nameless):
    pass


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([Broken(a=1)], "(SystemExit: no items today)"),
        ({"a": Unnamed()}, "(RuntimeError: no name today)"),
    ],
)
def test_an_object_that_fails_whoever_looks_at_it_is_refused(value, reason):
    assert refusal(value) == f"can not serialize a prediction {reason}"


class Odd(int):
    """An int of a class of its own, whose methods are of no use."""

    def __int__(self):
        raise RuntimeError("no number today")

    def __le__(self, _):
        raise RuntimeError("no order today")


def test_a_number_of_an_odd_class_among_floats_is_a_number():
    assert msgspec.msgpack.decode(encode_prediction([1.0, Odd(3)])) == [1.0, 3]
