"""Numbers that users give, of whatever kind, as the compiled classes take them.

Those take Python's own `int` and `float` and no others, and so does msgpack; users have numpy's and
fractions, too.
"""

from __future__ import annotations

from typing import SupportsFloat, SupportsInt


def seconds(given: object) -> float:
    """A span of time. An `int` stays one: errors name it as the user wrote it.

    Raises:
        TypeError: it is no number.
    """
    if type(given) is int or type(given) is float:
        return given
    # Only `float` itself reads texts, too.
    if not isinstance(given, SupportsFloat):
        raise TypeError(f"{given!r}: expected a number of seconds")
    return float(given)


def seconds_or_none(given: object) -> float | None:
    """The same, where None stands for no limit, or for never.

    Raises:
        TypeError: it is neither.
    """
    return None if given is None else seconds(given)


def beat_or_none(given: object) -> float | None:
    """The time between two heartbeats, where None stands for none at all.

    Raises:
        TypeError, ValueError: it is neither.
    """
    beat_s = seconds_or_none(given)
    if beat_s is not None and not beat_s > 0:
        raise ValueError(f"heartbeat of {given!r} s: expected more than 0, or None")
    return beat_s


def count(given: object) -> int:
    """How many of something.

    Raises:
        TypeError: it is no number.
    """
    if type(given) is int:
        return given
    if not isinstance(given, SupportsInt):
        raise TypeError(f"{given!r}: expected a number")
    return int(given)
