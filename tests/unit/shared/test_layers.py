"""Settings are found with their place, whatever the sections are called."""

from __future__ import annotations

import contextlib
from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from zeropool.shared.errors import ConfigError
from zeropool.shared.layers import MAX_SHOWN_CHARS, Found, Schema, expected, shown


class Shop(msgspec.Struct):
    street: str = ""
    sells: tuple[str, ...] = ()
    open_s: Annotated[float, Meta(gt=0, le=10)] = 1.0
    is_open: bool = True


class Item(msgspec.Struct):
    name: str
    price: int = 0


def even(text):
    if len(text) % 2:
        raise ValueError("expected an even number of letters")


SCHEMA = Schema(sections={"shop": Shop}, arrays={"items": Item}, checks={"shop.street": even})

SCALARS = st.none() | st.text() | st.integers() | st.floats() | st.booleans() | st.dates()
JUNK = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=3
)


def test_a_setting_knows_its_place():
    layer = SCHEMA.from_tables({"shop": {"open_s": 2}}, "a.toml")
    assert layer == {"shop.open_s": Found(2.0, "a.toml: shop.open_s")}


def test_a_section_is_built_from_what_was_found_and_its_defaults():
    layer = SCHEMA.from_environ({"ZEROPOOL_SHOP_IS_OPEN": "false"}, ignored=lambda _: False)
    assert SCHEMA.build("shop", layer) == Shop(is_open=False)


def test_rows_of_an_array_are_one_setting():
    layer = SCHEMA.from_tables({"items": [{"name": "tea"}, {"name": "jam", "price": 3}]}, "a.toml")
    assert layer["items"].value == (Item("tea"), Item("jam", 3))


def test_a_check_says_what_it_expects():
    with pytest.raises(ConfigError, match=r'^a: shop\.street = "odd": expected an even number'):
        SCHEMA.from_tables({"shop": {"street": "odd"}}, "a")


def test_a_default_is_not_checked_again():
    assert SCHEMA.from_tables({"shop": {"street": ""}}, "a")["shop.street"].value == ""


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (bool, "true or false"),
        (int, "an integer"),
        (Annotated[int, Meta(ge=1)], "an integer ≥ 1"),
        (Annotated[float, Meta(gt=0, le=604_800)], "a number > 0 and ≤ 604800"),
        (Literal["a", "b"], 'one of "a", "b"'),
        (tuple[str, ...], "a list of strings"),
        (str, "a string"),
        (Annotated[str, Meta(description="a word")], "a word"),
    ],
)
def test_a_type_is_put_into_words(kind, words):
    assert expected(kind) == words


@pytest.mark.parametrize(
    ("value", "text"),
    [("ä\n", '"ä\\n"'), (True, "true"), (1.5, "1.5"), (["a"], "['a']")],
)
def test_a_value_is_shown_on_one_line(value, text):
    assert shown(value) == text


@given(JUNK)
def test_any_value_is_shown_printable_and_short(value):
    assert shown(value).isprintable()
    # An escape takes at most ten characters: \\U0010ffff.
    assert len(shown(value)) <= 10 * (MAX_SHOWN_CHARS + 1)


@given(
    st.dictionaries(
        st.sampled_from(["shop", "items"]) | st.text(),
        JUNK
        | st.dictionaries(st.sampled_from(Shop.__struct_fields__) | st.text(), JUNK, max_size=2)
        | st.lists(st.dictionaries(st.sampled_from(["name", "x"]), JUNK, max_size=2), max_size=2),
        max_size=2,
    )
)
def test_any_junk_in_tables_is_a_configuration_error(tables):
    with contextlib.suppress(ConfigError):
        SCHEMA.from_tables(tables, "a.toml")
