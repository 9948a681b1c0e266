"""Cutting rows without reading them."""

from __future__ import annotations

import tracemalloc

import pytest
from gateway_world import model_info, pack, unpack
from hypothesis import given, settings
from hypothesis import strategies as st

from zeropool.gateway.rows import (
    CHEAP_TASK_S,
    FIRST_STREAM_TASK_ROWS,
    STREAM_TASK_BYTES,
    RowCursor,
    batch_task_rows,
    stream_task_rows,
    task_rows,
)
from zeropool.shared.errors import WrongArguments
from zeropool.shared.jobs import MAX_JOB_ROWS

METHOD = "double_predict_batch"


def test_rows_come_in_pieces_as_they_were_packed():
    cursor = RowCursor(pack([[1, {"x": [2]}, "three"]]), METHOD)
    assert unpack(cursor.next_rows(2)) == [1, {"x": [2]}]
    assert cursor.left == 1
    assert unpack(cursor.next_rows(1)) == ["three"]
    assert (cursor.left, cursor.total) == (0, 3)


def test_more_rows_than_fit_a_short_header_come_in_one_piece():
    cursor = RowCursor(pack([list(range(70_000))]), METHOD)
    assert unpack(cursor.next_rows(70_000)) == list(range(70_000))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (b"", "arguments are not an array"),
        (b"\xc1", "arguments are not an array"),
        (pack({"rows": []}), "arguments are not an array"),
        (pack(None), "arguments are not an array"),
        (pack([]), r"missing 1 required positional argument: 'rows'"),
        (pack([[1], [2]]), r"takes 1 positional argument but 2 were given"),
        (pack([5]), "'rows' should be an array of rows"),
        (pack([{"x": 1}]), "'rows' should be an array of rows"),
        (b"\x91", "'rows' should be an array of rows"),
    ],
)
def test_anything_but_one_array_of_rows_is_the_callers_fault(args, message):
    with pytest.raises(WrongArguments, match=message):
        RowCursor(args, METHOD)


@pytest.mark.parametrize(
    "args", [b"\x91\x93\x01", b"\x91\x92\x01\xc1", b"\x91\xdd\xff\xff\xff\xff"]
)
def test_rows_that_end_early_are_told_when_they_are_met(args):
    cursor = RowCursor(args, METHOD)
    with pytest.raises(WrongArguments, match=f"{METHOD}.*: malformed msgpack in or after row 0"):
        cursor.next_rows(2)


@settings(deadline=None)
@given(st.integers(0, 999), st.integers(1, 400), st.sampled_from((None, "x", [1.5], {"x": 7})))
def test_rows_that_are_alike_are_cut_as_any_others(place, count, odd):
    rows: list[object] = [{"x": float(index)} for index in range(1000)]
    rows[place] = rows[place // 2] = odd
    cursor = RowCursor(pack([rows]), METHOD)
    pieces: list[object] = []
    while cursor.left:
        pieces += unpack(cursor.next_rows(min(count, cursor.left)))
    assert pieces == rows


def test_many_rows_that_are_alike_between_two_odd_ones_are_not_copied_as_a_whole():
    alike = [{"x": 1.5}] * 300_000
    cursor = RowCursor(pack([["odd", *alike, "odd"]]), METHOD)
    assert unpack(cursor.next_rows(1)) == ["odd"]
    cursor.next_rows(len(alike))
    tracemalloc.start()
    try:
        assert unpack(cursor.next_rows(1)) == ["odd"]
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The header of a piece takes a quarter of a megabyte for a moment.
    assert peak_bytes < len(pack(alike)) / 8


def test_rows_that_are_alike_but_too_few_are_told_when_they_are_met():
    packed = pack([[{"x": 1.5}] * 1000])
    cursor = RowCursor(packed[:-1], METHOD)
    assert unpack(cursor.next_rows(600)) == [{"x": 1.5}] * 600
    with pytest.raises(WrongArguments, match="malformed msgpack in or after row 600"):
        cursor.next_rows(400)


def test_rows_may_be_the_end_of_something_and_not_of_it_all():
    alike = [{"x": float(index)} for index in range(100)]
    packed = b"event" + pack([["odd", *alike, "odd"]]) + b"more"
    cursor = RowCursor(packed, METHOD, len(b"event"))
    assert unpack(cursor.next_rows(1)) == ["odd"]
    assert unpack(cursor.next_rows(100)) == alike
    assert unpack(cursor.next_rows(1)) == ["odd"]
    assert cursor.left == 0


def test_after_discard_there_are_no_rows():
    cursor = RowCursor(pack([[1, 2]]), METHOD)
    cursor.discard()
    assert cursor.left == 0


@pytest.mark.parametrize(
    ("total", "workers", "max_batch_size", "rows"),
    [
        (1000, 4, 64, 64),
        (1000, 4, 500, 250),
        (100, 4, 64, 25),
        (40, 4, 64, 16),
        (1000, 0, 2000, 1000),
        (1000, 4, 1, 1),
    ],
)
def test_every_worker_gets_an_even_share_within_bounds(total, workers, max_batch_size, rows):
    info = model_info(max_batch_size=max_batch_size)
    assert task_rows(info, 0.000_01, total, workers) == rows


def test_rows_that_take_long_make_small_tasks():
    info = model_info(max_batch_size=64, timeout_s=300.0)
    assert task_rows(info, 1.0, 20, 4) == 5
    assert task_rows(info, 1.0, 2, 4) == 1
    assert task_rows(info, 0.002, 20, 4) == 5


def test_a_task_takes_no_more_than_a_part_of_the_time_limit():
    info = model_info(max_batch_size=64, timeout_s=5.0)
    assert task_rows(info, 0.4, 1000, 2) == 3
    assert task_rows(info, 9.0, 1000, 2) == 1


def test_before_the_pace_is_known_only_a_batching_model_gets_many_rows():
    assert task_rows(model_info(batches=False), None, 1000, 2) == 1
    assert task_rows(model_info(batches=True, max_batch_size=64), None, 1000, 2) == 64
    assert task_rows(model_info(batches=True, max_batch_size=64), None, 20, 4) == 5


@pytest.mark.parametrize("row_s", [None, 0.000_000_001])
def test_a_task_has_no_more_rows_than_a_job_may_have(row_s):
    info = model_info(batches=True, max_batch_size=10**9)
    assert task_rows(info, row_s, 10**9, 2) == MAX_JOB_ROWS


def test_a_stream_of_large_items_has_small_tasks():
    info = model_info(batches=True, max_batch_size=64)
    assert stream_task_rows(info, 0.000_01, 1000, 2, 100) == 64
    assert stream_task_rows(info, 0.000_01, 1000, 2, STREAM_TASK_BYTES // 5) == 5
    assert stream_task_rows(info, 0.000_01, 1000, 2, 2 * STREAM_TASK_BYTES) == 1


def test_until_a_streams_items_are_known_its_tasks_are_small():
    info = model_info(batches=True, max_batch_size=64)
    assert stream_task_rows(info, 0.000_01, 1000, 2, 0) == FIRST_STREAM_TASK_ROWS


@pytest.mark.parametrize("row_s", [None, CHEAP_TASK_S / 64 + 0.000_001, 0.1])
@pytest.mark.parametrize("item_bytes", [0, 2 * STREAM_TASK_BYTES])
def test_a_batch_that_may_take_long_is_as_large_as_ever_whatever_its_items(row_s, item_bytes):
    info = model_info(batches=True, max_batch_size=64)
    assert stream_task_rows(info, row_s, 1000, 2, item_bytes) == 64


def test_rows_that_are_predicted_one_by_one_may_travel_one_by_one():
    info = model_info(batches=False, max_batch_size=64)
    assert stream_task_rows(info, 0.0005, 1000, 2, 2 * STREAM_TASK_BYTES) == 1
    assert stream_task_rows(info, None, 1000, 2, 0) == 1


@pytest.mark.parametrize(
    ("row_s", "total", "workers", "rows"),
    [
        (0.000_001, 100_000, 2, 2000),
        (0.000_001, 1000, 2, 500),
        (0.000_001, 20, 2, 16),
        (0.000_2, 1000, 2, 64),
        (1.0, 1000, 2, 64),
        (0.0, 100, 1, 100),
    ],
)
def test_a_batch_of_cheap_rows_makes_tasks_of_two_milliseconds(row_s, total, workers, rows):
    info = model_info(max_batch_size=64)
    assert batch_task_rows(info, row_s, total, workers) == rows


def test_before_the_pace_is_known_a_batch_is_cut_as_a_stream():
    assert batch_task_rows(model_info(batches=False), None, 1000, 2) == 1
    assert batch_task_rows(model_info(batches=True, max_batch_size=64), None, 1000, 2) == 64


def test_a_task_of_a_batch_takes_no_more_than_a_part_of_the_time_limit():
    info = model_info(max_batch_size=1, timeout_s=0.001)
    assert batch_task_rows(info, 0.000_01, 1000, 2) == 25


@pytest.mark.parametrize("row_s", [None, 0.000_000_001])
def test_a_task_of_a_batch_has_no_more_rows_than_a_job_may_have(row_s):
    info = model_info(batches=True, max_batch_size=10**9)
    assert batch_task_rows(info, row_s, 10**9, 2) == MAX_JOB_ROWS
