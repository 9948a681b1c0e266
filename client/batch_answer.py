"""What `Q_predict_batch` answers: plain records.

Apart from `batch`, because that is compiled where there is a compiler, and msgspec's classes cannot
be.
"""

from __future__ import annotations

import msgspec


class RowError(msgspec.Struct):
    """Why a row has no prediction."""

    index: int
    name: str
    message: str


class BatchAnswer(msgspec.Struct):
    """The predictions of some rows."""

    predictions: list[object]
    errors: list[RowError]
