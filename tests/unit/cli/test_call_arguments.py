"""Arguments of calls, from JSON."""

import pytest

from zeropool.cli.arguments import BadArgument, parse_arguments, parse_json


def test_arguments_are_read_as_json():
    texts = ["5", "-1.5", '"text"', "null", '{"x": [1, true]}']

    assert parse_arguments(texts) == [5, -1.5, "text", None, {"x": [1, True]}]


def test_no_arguments_are_none():
    assert parse_arguments([]) == []


def test_an_argument_that_is_not_json_is_named_with_its_place():
    with pytest.raises(BadArgument, match=r"argument 2 is not JSON: '\{x\}'"):
        parse_arguments(["1", "{x}"])


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("setosa", "'\"setosa\"'"),
        ('say "no"', '\'"say \\"no\\""\''),
        ("it's", "'\"it'\"'\"'s\"'"),
    ],
)
def test_a_bare_word_is_answered_with_how_a_shell_passes_a_string(text, advice):
    with pytest.raises(BadArgument) as caught:
        parse_arguments([text])

    assert str(caught.value).endswith(f"a string needs quotes of its own: {advice}")


def test_an_argument_without_end_of_nesting_is_no_crash():
    with pytest.raises(BadArgument, match="argument 1 is nested too deeply"):
        parse_arguments(["[" * 100_000])


def test_a_value_that_is_no_argument_has_its_own_name_in_errors():
    assert parse_json("[1]", "--expect") == [1]

    with pytest.raises(BadArgument, match="--expect is not JSON: 'x'"):
        parse_json("x", "--expect")
