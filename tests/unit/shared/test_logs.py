"""The form of a log line, and that nobody can forge one."""

from __future__ import annotations

import io
import logging
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeropool.shared.logs import MAX_VALUE_CHARS, LineFormatter, configure, fields


def line(message, values=None, **attributes):
    """The text of one record of the gateway, made at 2026-11-23T10:00:00.123Z."""
    made = {"created": 1_795_428_000.1234, "levelname": "INFO"} | attributes
    record = logging.makeLogRecord({"msg": message} | made | fields(**(values or {})))
    return LineFormatter("gateway").format(record)


@pytest.fixture
def root():
    """The root logger, as it was before after the test."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_line_has_instant_level_role_message_and_fields():
    assert line("worker ready", {"worker": "3f2a", "models": 2}) == (
        "2026-11-23T10:00:00.123Z INFO gateway: worker ready worker=3f2a models=2"
    )


def test_a_line_without_fields_ends_with_the_message():
    assert line("draining").endswith("INFO gateway: draining")


def test_a_value_with_a_space_is_quoted():
    assert line("m", {"why": "no credit"}).endswith(' why="no credit"')


def test_an_empty_value_is_quoted():
    assert line("m", {"why": ""}).endswith(' why=""')


def test_quotes_and_backslashes_are_escaped():
    assert line("m", {"why": 'a"\\'}).endswith(r' why="a\"\\"')


def test_a_value_cannot_forge_a_field():
    assert line("m", {"why": "x=1"}).endswith(' why="x=1"')


def test_a_value_cannot_begin_a_line():
    assert line("m", {"why": "a\r\nb"}).endswith(r' why="a\r\nb"')


def test_a_message_cannot_begin_a_line():
    assert line("a\nb\x1b[31m").endswith(r": a\nb\x1b[31m")


def test_bytes_are_shown_in_hexadecimal():
    assert line("m", {"peer": b"\x00k\xff"}).endswith(" peer=006bff")


def test_a_list_is_joined_with_commas():
    assert line("m", {"models": ["a", "b"]}).endswith(" models=a,b")


def test_a_long_value_is_cut():
    shown = line("m", {"why": "x" * 100_000})
    assert len(shown) < MAX_VALUE_CHARS + 100
    assert "(100000 characters)" in shown


def test_a_traceback_is_marked_so_that_it_forges_no_line():
    error = ValueError("bad\n2026-11-23T10:00:00.123Z INFO gateway: forged")
    with pytest.raises(ValueError, match="forged") as caught:
        raise error
    shown = line("failed", exc_info=(ValueError, error, caught.tb))
    first, *rest = shown.splitlines()
    assert first.endswith("failed")
    assert all(text.startswith("  | ") for text in rest)
    assert rest[0] == "  | Traceback (most recent call last):"


@given(st.text(), st.text(), st.binary())
def test_a_record_is_one_printable_line_whatever_it_holds(message, text, raw):
    shown = line("%s", {"text": text, "raw": raw}, args=(message,))
    assert shown.isprintable()
    assert len(shown.splitlines()) == 1


@given(st.text())
def test_a_value_can_be_told_from_its_neighbours(text):
    shown = line("m", {"why": text, "last": 1})
    assert re.search(r' why=([^\s"=\\]+|"([^"\\]|\\.)*") last=1$', shown)


def test_records_below_the_level_are_dropped(root):
    stream = io.StringIO()
    configure("WARNING", "worker-1", stream)
    logging.getLogger("zeropool.test").info("quiet")
    logging.getLogger("zeropool.test").warning("loud", extra=fields(n=1))
    assert stream.getvalue().endswith(" WARNING worker-1: loud n=1\n")
    assert "quiet" not in stream.getvalue()


def test_configuring_again_replaces_the_first_stream(root):
    first, second = io.StringIO(), io.StringIO()
    configure("INFO", "gateway", first)
    configure("INFO", "gateway", second)
    logging.getLogger("zeropool.test").info("once")
    assert first.getvalue() == ""
    assert second.getvalue().count("once") == 1
