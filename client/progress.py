"""How far many calls are: a plain record.

Apart from `many`, because that is compiled where there is a compiler, and msgspec's classes cannot
be.
"""

from __future__ import annotations

import msgspec


class Progress(msgspec.Struct, frozen=True, gc=False):
    """How far many calls are."""

    #: Calls with a result, failures among them.
    done: int
    failed: int
    #: Of all rows; None where nobody knows.
    total: int | None
