"""From options to what a run is to do."""

import sys

import msgspec
import pytest

from zeropool.cli import options
from zeropool.cli.arguments import BadArgument
from zeropool.cli.bench.command import job_of
from zeropool.cli.bench.result import Mode
from zeropool.cli.bench.trial import Rules

ENDPOINT = "tcp://127.0.0.1:4242"


def job(*argv):
    return job_of(options.parse(["bench", *argv]), ENDPOINT)


def unpacked(requests):
    return [msgspec.msgpack.decode(request) for request in requests]


def test_without_options_one_call_is_in_flight():
    made = job("echo")

    assert (made.target.endpoint, made.target.method) == (ENDPOINT, "echo")
    assert (made.target.mode, made.loads, made.target.connections) == (Mode.CONCURRENCY, (1,), 1)
    assert made.rules == Rules(warm_up_s=1.0, window_s=2.0, tolerance=0.1, max_windows=10)
    assert (unpacked(made.requests), made.expected) == ([[]], None)
    assert (made.heartbeat_s, made.target.timeout_s, made.target.arrivals) == (5.0, 30.0, "")


def test_all_options_are_heard():
    made = job(
        *("echo", "1", "--rate", "10:40:2x", "--arrivals", "steady", '{"x": 2}', "--timeout", "3"),
        *("--connections", "7", "--expect", "null", "--heartbeat", "0.5"),
        *("--warm-up", "0.1", "--window", "0.2", "--stability", "5", "--max-windows", "4"),
    )

    assert (made.target.mode, made.loads, made.target.arrivals) == (
        Mode.RATE,
        (10, 20, 40),
        "steady",
    )
    assert made.rules == Rules(warm_up_s=0.1, window_s=0.2, tolerance=0.05, max_windows=4)
    assert (made.target.connections, made.target.timeout_s, made.heartbeat_s) == (7, 3.0, 0.5)
    assert unpacked(made.requests) == [[1, {"x": 2}]]
    assert made.expected == b"\xc0"


def test_arguments_may_come_from_a_file(tmp_path):
    lines = tmp_path / "rows.jsonl"
    lines.write_text('{"x": 1}\n[2, 3]\n', encoding="utf-8")

    assert unpacked(job("echo", "--input", str(lines)).requests) == [[{"x": 1}], [2, 3]]


def test_a_file_that_is_no_text_is_told(tmp_path):
    lines = tmp_path / "rows.jsonl"
    lines.write_bytes(b"1\n\xff\n")

    with pytest.raises(BadArgument, match=r"rows\.jsonl is no UTF-8: invalid start byte at byte 2"):
        job("echo", "--input", str(lines))


def test_a_picture_needs_an_extra_and_says_which(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    with pytest.raises(BadArgument, match=r"pip install 'zeropool\[plot\]'"):
        job("echo", "--plot", str(tmp_path / "found.svg"))


def test_a_picture_is_vector_or_pixels(tmp_path):
    assert job("echo", "--plot", str(tmp_path / "found.png"))

    with pytest.raises(BadArgument, match=r"found\.pdf: expected a name that ends with \.svg or"):
        job("echo", "--plot", str(tmp_path / "found.pdf"))
