"""The parts of a Markdown page that a run writes, so that they cannot drift from its results.

A part stands between `<!-- NAME: … -->` and `<!-- end of NAME -->`; everything else is a person's.
"""

from __future__ import annotations

import re


class NoSuchPartError(ValueError):
    """A page has no place for a part, or more than one."""


def with_part(page: str, name: str, content: str) -> str:
    """Return the page with that part replaced.

    Raises:
        NoSuchPartError: the page does not have it once.
    """
    replaced, count = _pattern(name).subn(lambda found: f"{found[1]}\n{content}\n{found[3]}", page)
    if count != 1:
        raise NoSuchPartError(f"{name} stands {count} times in the page, not once")
    return replaced


def part(page: str, name: str) -> str:
    """Return what stands in that part.

    Raises:
        NoSuchPartError: the page does not have it.
    """
    found = _pattern(name).search(page)
    if found is None:
        raise NoSuchPartError(f"{name} is not in the page")
    return found[2].strip("\n")


def _pattern(name: str) -> re.Pattern[str]:
    escaped = re.escape(name)
    return re.compile(rf"(<!-- {escaped}:.*?-->)(.*?)(<!-- end of {escaped} -->)", re.DOTALL)
