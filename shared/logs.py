"""One line per log record: when, how bad, which process, what, and `key=value` fields.

    2026-11-23T10:00:00.123Z INFO gateway: worker ready worker=3f2a models=IrisModel

    log.info("worker ready", extra=fields(worker=identity, models=names))

Peers choose many of the values that are logged, so nothing that they send can end a line, forge
a field or fill the disk: what is not printable is escaped, what could be misread is quoted, and
long values are cut. Refuses to know payloads: callers log ids and counts.
"""

from __future__ import annotations

import datetime as dt
import logging
import re
from collections.abc import Mapping
from typing import TextIO

#: Longest value of a field, in characters; enough for an endpoint or an error's message.
MAX_VALUE_CHARS = 500

#: Longest message without fields and traceback, in characters.
MAX_MESSAGE_CHARS = 2_000

#: Longest traceback, in characters; its end says most, so its beginning is dropped.
MAX_TRACEBACK_CHARS = 20_000

#: Begins each line of a traceback, so that none can pass for a record.
_CONTINUATION = "  | "

#: What can stand without quotes: no space, quote, backslash or equals sign.
_BARE = re.compile(r'[^\s"\\=]+')


def configure(level: str, role: str, stream: TextIO) -> None:
    """Log this process's records from `level` up to `stream`, as `role` ("gateway", "worker-2").

    Configures the root logger, so that what libraries and models log has the same form. Calling
    it again replaces what it had installed; handlers of others stay.
    """
    root = logging.getLogger()
    for handler in [h for h in root.handlers if isinstance(h.formatter, LineFormatter)]:
        root.removeHandler(handler)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter(role))
    root.addHandler(handler)
    root.setLevel(level)


def fields(**values: object) -> dict[str, Mapping[str, object]]:
    """The `extra=` argument of a log call that prints `values` as `key=value`, in this order."""
    return {"fields": values}


class LineFormatter(logging.Formatter):
    """Formats a record as one line, and a traceback as marked lines below it."""

    def __init__(self, role: str) -> None:
        super().__init__()
        self._role = _escaped(role)

    def format(self, record: logging.LogRecord) -> str:
        """The record's line or lines, without a line end after the last."""
        message = _escaped(_cut(record.getMessage(), MAX_MESSAGE_CHARS))
        line = f"{_timestamp(record.created)} {record.levelname} {self._role}: {message}"
        values = getattr(record, "fields", None)
        if isinstance(values, Mapping):
            line += "".join(f" {key}={_shown(value)}" for key, value in values.items())
        if record.exc_info:
            line += _continued(self.formatException(record.exc_info))
        if record.stack_info:
            line += _continued(self.formatStack(record.stack_info))
        return line


def _timestamp(created: float) -> str:
    at = dt.datetime.fromtimestamp(created, tz=dt.UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


def _shown(value: object) -> str:
    text = _cut(_plain(value), MAX_VALUE_CHARS)
    if _BARE.fullmatch(text) and text.isprintable():
        return text
    return '"' + _escaped(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def _plain(value: object) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        return value.hex()
    if isinstance(value, list | tuple):
        return ",".join(_plain(item) for item in value)
    if isinstance(value, set | frozenset):
        return ",".join(sorted(_plain(item) for item in value))
    return str(value)


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    return f"{text[:limit]}…({len(text)} characters)"


def _escaped(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def _continued(text: str) -> str:
    lines = text[-MAX_TRACEBACK_CHARS:].splitlines()
    return "".join(f"\n{_CONTINUATION}{_escaped(line)}" for line in lines)
