"""What is told before anything is sent."""

import msgspec
import pytest

from zeropool.cli.arguments import BadArgument
from zeropool.cli.bench.job import packed, packed_lines, require_place_for

unpack = msgspec.msgpack.decode


def test_a_line_that_is_an_array_holds_all_arguments_and_any_other_is_the_only_one():
    lines = ["[1, 2]\n", '{"x": 1}\n', "\n", "  5  \n", '[["row"]]']

    assert [unpack(request) for request in packed_lines(lines, "rows.jsonl")] == [
        [1, 2],
        [{"x": 1}],
        [5],
        [["row"]],
    ]


def test_a_line_that_is_no_json_is_told_by_its_number():
    with pytest.raises(BadArgument, match=r"rows\.jsonl:3 is not JSON: '\{x'"):
        packed_lines(["1", "", "{x"], "rows.jsonl")


@pytest.mark.parametrize("lines", [[], ["\n", "  \n"]])
def test_a_file_without_lines_is_told(lines):
    with pytest.raises(BadArgument, match=r"rows\.jsonl is empty: expected a line of JSON"):
        packed_lines(lines, "rows.jsonl")


@pytest.mark.parametrize("value", [2**64, "\ud800"])
def test_a_value_that_cannot_travel_is_told(value):
    with pytest.raises(BadArgument, match="--expect cannot be sent: "):
        packed(value, "--expect")


def test_a_file_without_a_place_is_told_before_the_measurement(tmp_path):
    require_place_for(tmp_path / "new.json")

    with pytest.raises(BadArgument, match="nowhere: no such folder"):
        require_place_for(tmp_path / "nowhere" / "new.json")
    with pytest.raises(BadArgument, match="is a folder"):
        require_place_for(tmp_path)
