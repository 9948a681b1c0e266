"""Answers as columns: from what `predict_columns` returns for many rows to their MessagePack.

A model may answer n rows with a dict of columns: the answer of a row is a map of what each column
has for it. Numbers of numpy become MessagePack for all rows at once, and of text each different one
is encoded once; so no row's answer is ever a dict. Whatever holds anything else is made a list of
dicts, one for each row, for which ``output`` has the last word. numpy is never imported here: it is
the model's, which got its arrays. No I/O.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, Final, TypeAlias

import msgspec

from zeropool.shared.heads import array_head, map_head

#: An array of numpy, which need not be there.
_Array: TypeAlias = Any

#: For MessagePack's forms of integers, in the order of their size: least, most, type byte and how
#: the value lies behind it. A column has the first form that holds all of its values.
_INTEGERS: Final = (
    (-32, 127, b"", "i1"),
    (0, 2**8 - 1, b"\xcc", "u1"),
    (-(2**7), 2**7 - 1, b"\xd0", "i1"),
    (0, 2**16 - 1, b"\xcd", ">u2"),
    (-(2**15), 2**15 - 1, b"\xd1", ">i2"),
    (0, 2**32 - 1, b"\xce", ">u4"),
    (-(2**31), 2**31 - 1, b"\xd2", ">i4"),
    (0, 2**64 - 1, b"\xcf", ">u8"),
    (-(2**63), 2**63 - 1, b"\xd3", ">i8"),
)
#: False; True is the next.
_FALSE: Final = 0xC2
_FLOAT_64: Final = b"\xcb"
#: Longer doubles have no form; ``output`` makes floats of them.
_MAX_FLOAT_BYTES: Final = 8

_encode = msgspec.msgpack.Encoder().encode


class WrongAnswer(Exception):  # noqa: N818 - becomes a `ModelFailed`, which names the model
    """The columns are not one value for each row; the message goes on "returned …"."""


class PackedAnswers:
    """The answers to many rows as MessagePack, in parts that lie behind each other in each row."""

    def __init__(self, parts: Sequence[_Array | Sequence[bytes]], count: int) -> None:
        #: Tables of bytes with a line for each row, or what each row has.
        self._parts = parts
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __repr__(self) -> str:
        return f"<PackedAnswers rows={self._count} parts={len(self._parts)}>"

    def joined(self) -> bytes:
        """One behind the other."""
        if len(self._parts) == 1:
            part: Any = self._parts[0]
            return b"".join(part) if isinstance(part, (list, tuple)) else bytes(part.tobytes())
        return b"".join(chain.from_iterable(zip(*self._listed(), strict=True)))

    def each(self) -> list[bytes]:
        """Each by itself."""
        listed = self._listed()
        if len(listed) == 1:
            return list(listed[0])
        return list(map(b"".join, zip(*listed, strict=True)))

    def _listed(self) -> list[Sequence[bytes]]:
        return [part if isinstance(part, (list, tuple)) else _lines(part) for part in self._parts]


def is_sequence(answer: Any) -> bool:  # noqa: ANN401  # whatever the model returned
    """Tell whether this can hold one value a row: no text, map, set, table or generator."""
    if type(answer) is list:
        return True
    if isinstance(answer, (str, bytes, bytearray)) or hasattr(answer, "keys"):
        return False
    return all(hasattr(answer, name) for name in ("__len__", "__getitem__", "__iter__"))


def answers_of(columns: Mapping[Any, Any], count: int) -> PackedAnswers | list[object]:
    """The answers to ``count`` rows, packed, or as dicts where they are not only numbers and text.

    Raises:
        WrongAnswer: a column has not one value for each row, or there is none.
    """
    # What a class of the model's own says of itself may differ from time to time.
    columns = {name: _column(name, values, count) for name, values in columns.items()}
    if not columns:
        raise WrongAnswer("a dict without columns")
    # What numpy makes of a NaN that signals is not to depend on what the model has set.
    with sys.modules["numpy"].errstate(all="ignore"):
        packed = _packed(columns, count)
    if packed is not None:
        return packed
    listed = map(_list_of, columns.values())
    names = list(columns)
    return [dict(zip(names, row, strict=True)) for row in zip(*listed, strict=True)]


def _column(name: object, values: Any, count: int) -> Any:  # noqa: ANN401  # the model's
    """A column that has one value for each row: as an array of numpy's own class, or as a list."""
    if not is_sequence(values):
        raise WrongAnswer(f"{type(values).__name__!r} as column {name!r}, not a list or an array")
    try:
        column = values if type(values) is sys.modules["numpy"].ndarray else _list_of(values)
        found = len(column)
    except TypeError:
        raise WrongAnswer(f"an array without dimensions as column {name!r}") from None
    if found != count:
        raise WrongAnswer(f"{found} values as column {name!r}")
    return column


def _list_of(values: Any) -> list[object]:  # noqa: ANN401  # a list, an array or the like
    if type(values) is list:
        return values
    return values.tolist() if isinstance(values, sys.modules["numpy"].ndarray) else list(values)


def _packed(columns: Mapping[Any, Any], count: int) -> PackedAnswers | None:
    """The answers as bytes; None where a column has none of the forms that are known here."""
    parts: list[_Array | Sequence[bytes]] = []
    # Numbers that follow each other are one table, with the names between them.
    tables: list[_Array | bytes] = []
    before = map_head(len(columns))
    for name, values in columns.items():
        if type(name) is not str:
            return None
        try:
            before += _encode(name)
        except UnicodeEncodeError:
            return None
        table = _table(values)
        if table is not None:
            tables += [before, table]
        else:
            cells = _texts(values, before)
            if cells is None:
                return None
            if tables:
                parts.append(_side_by_side(tables, count))
                tables = []
            parts.append(cells)
        before = b""
    if tables:
        parts.append(_side_by_side(tables, count))
    return PackedAnswers(parts, count)


def _texts(values: Any, before: bytes) -> Sequence[bytes] | None:  # noqa: ANN401  # the model's
    """What each row has of a column of text; None where it holds anything else."""
    texts = _list_of(values)
    try:
        # Half the time of a look at each type.
        msgspec.convert(texts, list[str])
        # As a rule, few of them are different.
        encoded = {text: before + _encode(text) for text in set(texts)}
    except (msgspec.ValidationError, TypeError, UnicodeEncodeError):
        return None
    if len(texts) == 1:
        return [*encoded.values()]
    # A look-up in Python, or with `map`, takes half as long again.
    found: tuple[bytes, ...] = itemgetter(*texts)(encoded)
    return found


# Tables of bytes


def _table(values: Any) -> _Array | None:  # noqa: ANN401  # the model's
    """An array of numbers, or of as many for each row, as bytes; None where it is none.

    Not a class that is derived from numpy's: a masked array has values that do not count.
    """
    numpy = sys.modules["numpy"]
    if type(values) is not numpy.ndarray or values.ndim not in (1, 2):
        return None
    if values.ndim == 1:
        return _numbers(values)
    rows, width = values.shape
    numbers = _numbers(values.reshape(rows * width))
    if numbers is None:
        return None
    return _side_by_side([array_head(width), numbers.reshape(rows, width * numbers.shape[1])], rows)


def _numbers(values: _Array) -> _Array | None:
    kind = values.dtype.kind
    if kind == "f" and values.dtype.itemsize <= _MAX_FLOAT_BYTES:
        return _behind(_FLOAT_64, values, ">f8")
    if kind == "b":
        return _behind(b"", values + _FALSE, "u1")
    if kind in "iu" and len(values):
        least, most = int(values.min()), int(values.max())
        for smallest, largest, head, form in _INTEGERS:
            if smallest <= least and most <= largest:
                return _behind(head, values, form)
    return None


def _behind(head: bytes, values: _Array, form: str) -> _Array:
    """The bytes of numbers in this form, each behind its type byte."""
    numpy = sys.modules["numpy"]
    numbers = values.astype(form, casting="unsafe").reshape(-1, 1).view(numpy.uint8)
    return _side_by_side([head, numbers], len(values)) if head else numbers


def _side_by_side(columns: Iterable[_Array | bytes], count: int) -> _Array:
    """One table of several: bytes stand in each line of it."""
    numpy = sys.modules["numpy"]
    columns = list(columns)
    width = sum(len(each) if isinstance(each, bytes) else each.shape[1] for each in columns)
    table = numpy.empty((count, width), numpy.uint8)
    start = 0
    for each in columns:
        end = start + (len(each) if isinstance(each, bytes) else each.shape[1])
        table[:, start:end] = (
            numpy.frombuffer(each, numpy.uint8) if isinstance(each, bytes) else each
        )
        start = end
    return table


def _lines(table: _Array) -> list[bytes]:
    """The lines of a table."""
    listed: list[bytes] = table.view(f"V{table.shape[1]}").ravel().tolist()
    return listed
