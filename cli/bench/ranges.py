"""Ranges of loads, as they are written on a command line: `8`, `1,4,16`, `1:9:2`, `1:256:2x`."""

from __future__ import annotations

import math

#: A sweep of more takes hours; whoever writes one has made a mistake.
MAX_LOADS = 1000
#: What a quotient of decimal fractions may lack to a whole number: 0.3 / 0.1 is 2.9999999999999996.
_SLACK = 1e-9
_FORM = "expected N, START:END, START:END:STEP or START:END:FACTORx, or several with commas"


def numbers(text: str) -> tuple[float, ...]:
    """The loads that ``text`` names, in its order, each once.

    Raises:
        ValueError: it is no range, or names loads ≤ 0 or more than `MAX_LOADS`.
    """
    loads: dict[float, None] = {}
    for part in text.split(","):
        loads.update(dict.fromkeys(_part(part)))
        _refuse_too_many(len(loads))
    return tuple(loads)


def whole_numbers(text: str) -> tuple[int, ...]:
    """The same for loads that are counted.

    Raises:
        ValueError: likewise, or a load is no whole number; only factors may lead between two.
    """
    loads: dict[int, None] = {}
    for part in text.split(","):
        has_factor = part.endswith("x")
        for load in _part(part):
            if not has_factor and load != round(load):
                raise ValueError(f"{load:g} is no whole number")
            loads[max(1, round(load))] = None
        _refuse_too_many(len(loads))
    return tuple(loads)


def _part(text: str) -> list[float]:
    fields = text.split(":")
    if len(fields) == 1:
        return [_positive(text)]
    if len(fields) == 2:
        fields.append("1")
    if len(fields) != 3:
        raise ValueError(_FORM)
    start, end = _positive(fields[0]), _positive(fields[1])
    if end < start:
        raise ValueError(f"{fields[1]} is less than {fields[0]}")
    if fields[2].endswith("x"):
        return _by_factor(start, end, _positive(fields[2][:-1]))
    step = _positive(fields[2])
    _refuse_too_many((end - start) / step)
    return [start + step * index for index in range(math.floor((end - start) / step + _SLACK) + 1)]


def _by_factor(start: float, end: float, factor: float) -> list[float]:
    if factor <= 1:
        raise ValueError(f"the factor {factor:g} is not greater than 1")
    steps = math.log(end / start) / math.log(factor)
    _refuse_too_many(steps)
    return [start * factor**index for index in range(math.floor(steps + _SLACK) + 1)]


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ValueError(_FORM) from None
    if not 0 < number < math.inf:
        raise ValueError(f"{text} is not > 0")
    return number


def _refuse_too_many(count: float) -> None:
    if count > MAX_LOADS:
        raise ValueError(f"more than {MAX_LOADS} loads")
