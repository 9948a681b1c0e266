"""What a run is to do, and what can be wrong with it before anything is sent."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from zeropool.cli.arguments import BadArgument, parse_json
from zeropool.cli.bench.result import Target
from zeropool.cli.bench.trial import Rules
from zeropool.shared.errors import ZeropoolError


class BenchFailed(ZeropoolError):  # noqa: N818 - named as the errors of zeropool.shared.errors
    """There is nothing to measure, or no more of it; the message is what the user is to read."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """All that a run is to do."""

    target: Target
    loads: tuple[float, ...]
    rules: Rules
    #: Packed argument arrays, taken in turns.
    requests: list[bytes]
    #: The packed answer that is right; None where any is.
    expected: bytes | None
    heartbeat_s: float


def packed_lines(lines: Iterable[str], name: str) -> list[bytes]:
    """Pack the arguments of a call for each line that is not empty.

    A line that is an array holds all arguments; anything else is the only one.

    Raises:
        BadArgument: a line is no JSON, or there is none.
    """
    requests = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            place = f"{name}:{number}"
            value = parse_json(line.strip(), place)
            requests.append(packed(value if isinstance(value, list) else [value], place))
    if not requests:
        raise BadArgument(f"{name} is empty: expected a line of JSON for each call")
    return requests


def packed(value: Any, name: str) -> bytes:  # noqa: ANN401 - any JSON
    """A value as MessagePack.

    Raises:
        BadArgument: it has no such form.
    """
    try:
        return msgspec.msgpack.encode(value)
    except (TypeError, OverflowError, UnicodeEncodeError, RecursionError) as error:
        raise BadArgument(f"{name} cannot be sent: {error}") from error


def require_place_for(path: Path) -> None:
    """Find out now, and not after the measurement, that a file cannot be written.

    Raises:
        BadArgument: there is no folder for it, or it is one itself.
    """
    if path.is_dir():
        raise BadArgument(f"{path} is a folder")
    if not path.parent.is_dir():
        raise BadArgument(f"{path.parent}: no such folder")
