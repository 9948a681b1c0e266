"""What users say of many calls and of batches: options, checked, and what they make.

Not compiled, as users give numbers of any kind (see `given`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Sized
from typing import Literal, TypedDict

from msgspec import UNSET, UnsetType

from zeropool.client.batch import PIECE_BYTES, PIECE_ROWS, Batch
from zeropool.client.given import count
from zeropool.client.making import Manner
from zeropool.client.many import Many
from zeropool.client.progress import Progress
from zeropool.client.tables import each_of, rows_of
from zeropool.client.window import Order, window_of
from zeropool.shared.methods import BATCH_SUFFIX, CALL_SUFFIX

#: What becomes of a failure: it is raised, and ends everything, or stands in its result's place.
OnError = Literal["raise", "return"]
#: Workers are fed by some dozens of calls in flight; more make larger batches, and longer waits.
DEFAULT_WINDOW = 64


class ManyOptions(TypedDict, total=False):
    """What may be said of many calls."""

    #: Names for the columns of an array, new ones for those of a frame.
    columns: Sequence[str] | None
    #: Most calls whose results were not taken.
    window: int
    #: "raise" a failure, which ends it all, or "return" it as the row's result.
    errors: OnError
    #: Is told after each call.
    progress: Callable[[Progress], None] | None
    #: Of each call, as the client's.
    timeout: float | UnsetType | None


def many_of(  # noqa: PLR0913 - as `ManyOptions`
    model: str,
    rows: object,
    manner: Manner,
    order: Order,
    *,
    columns: Sequence[str] | None = None,
    window: int = DEFAULT_WINDOW,
    errors: OnError = "raise",
    progress: Callable[[Progress], None] | None = None,
    timeout: float | UnsetType | None = UNSET,
) -> Many:
    """A model's predictions for rows, as a user asks for them.

    Raises:
        TypeError, ValueError: there are no rows, or an option is none.
    """
    return Many(
        each_of(rows, columns),
        manner.maker(model + CALL_SUFFIX, timeout),
        window_of(count(window), order),
        progress,
        total=len(rows) if isinstance(rows, Sized) else None,
        is_raising=is_raised(errors),
    )


class BatchOptions(TypedDict, total=False):
    """What may be said of a batch."""

    #: Names for the columns of an array, new ones for those of a frame.
    columns: Sequence[str] | None
    #: "raise" the first failure, or "return" each in its prediction's place.
    errors: OnError
    #: Of each piece, as the client's.
    timeout: float | UnsetType | None
    #: Most rows of a piece; its server may split it further.
    piece_rows: int
    #: The same in bytes; below the server's limit of a request.
    piece_bytes: int


def batch_of(  # noqa: PLR0913 - as `BatchOptions`
    model: str,
    rows: object,
    manner: Manner,
    *,
    columns: Sequence[str] | None = None,
    errors: OnError = "raise",
    timeout: float | UnsetType | None = UNSET,
    piece_rows: int = PIECE_ROWS,
    piece_bytes: int = PIECE_BYTES,
) -> Batch:
    """A model's predictions for a batch of rows, as a user asks for them.

    Raises:
        TypeError, ValueError: there are no rows, or an option is none.
    """
    if piece_rows < 1:
        raise ValueError(f"pieces of {piece_rows} rows: expected 1 or more")
    if piece_bytes < 1:
        raise ValueError(f"pieces of {piece_bytes} bytes: expected 1 or more")
    return Batch(
        rows_of(rows, columns),
        manner.maker(model + BATCH_SUFFIX, timeout),
        piece_rows=count(piece_rows),
        piece_bytes=count(piece_bytes),
        is_raising=is_raised(errors),
    )


def is_raised(errors: str) -> bool:
    """Tell what becomes of failures.

    Raises:
        ValueError: this says neither.
    """
    if errors not in ("raise", "return"):
        raise ValueError(f'errors={errors!r}: expected "raise" or "return"')
    return errors == "raise"
