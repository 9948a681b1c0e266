"""From the text of a range to its loads."""

import pytest

from zeropool.cli.bench.ranges import MAX_LOADS, numbers, whole_numbers


@pytest.mark.parametrize(
    ("text", "loads"),
    [
        ("8", (8,)),
        ("1,4,16", (1, 4, 16)),
        ("3:5", (3, 4, 5)),
        ("1:9:2", (1, 3, 5, 7, 9)),
        ("1:8:3", (1, 4, 7)),
        ("1:256:2x", (1, 2, 4, 8, 16, 32, 64, 128, 256)),
        ("1:100:10x", (1, 10, 100)),
        ("1:10:1.5x", (1, 2, 3, 5, 8)),
        ("64,1:4:2x", (64, 1, 2, 4)),
        ("4:4:2x", (4,)),
        ("1:1000:1", tuple(range(1, 1001))),
    ],
)
def test_a_range_of_whole_numbers(text, loads):
    assert whole_numbers(text) == loads


@pytest.mark.parametrize(
    ("text", "loads"),
    [
        ("0.5", (0.5,)),
        ("100:300:100", (100, 200, 300)),
        ("0.1:0.3:0.1", (0.1, 0.2, 0.3)),
        ("1:1000:10x", (1, 10, 100, 1000)),
        ("2.5:10:2x", (2.5, 5, 10)),
    ],
)
def test_a_range_of_numbers(text, loads):
    assert numbers(text) == pytest.approx(loads)


def test_a_load_that_is_named_twice_is_measured_once():
    assert whole_numbers("1,2,1:4:2x") == (1, 2, 4)
    assert numbers("5,5") == (5,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected N, START:END"),
        ("many", "expected N, START:END"),
        ("1,", "expected N, START:END"),
        ("1:2:3:4", "expected N, START:END"),
        ("1:2:x", "expected N, START:END"),
        ("0", "0 is not > 0"),
        ("-4", "-4 is not > 0"),
        ("nan", "nan is not > 0"),
        ("1:inf:2x", "inf is not > 0"),
        ("1:8:0", "0 is not > 0"),
        ("8:1", "1 is less than 8"),
        ("1:8:1x", "the factor 1 is not greater than 1"),
        ("1:8:0.5x", "the factor 0.5 is not greater than 1"),
        ("1:100000:1", f"more than {MAX_LOADS} loads"),
        ("1:1e300:1.0000001x", f"more than {MAX_LOADS} loads"),
        ("1:900,1001:1900", f"more than {MAX_LOADS} loads"),
    ],
)
def test_what_is_no_range_is_told(text, message):
    for read in (numbers, whole_numbers):
        with pytest.raises(ValueError, match=message):
            read(text)


@pytest.mark.parametrize(("text", "odd"), [("1.5", "1.5"), ("1:3:0.5", "1.5")])
def test_what_is_counted_has_no_fractions(text, odd):
    with pytest.raises(ValueError, match=f"{odd} is no whole number"):
        whole_numbers(text)
