"""Rows of a call, from lists, numpy arrays and pandas frames, as packed MessagePack.

A list is packed as it is. An array or a frame becomes one map for each row where its columns have
names, one array where they have none, and plain values where it has only one dimension. Columns of
numbers are packed by numpy, all rows at once; every row then has the same length. Neither library
is imported here: whoever hands over their objects has imported them. No I/O, no clock.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from zeropool.client.foreign import ENCODER, PLAIN_KINDS, is_a, library
from zeropool.client.packing import ENCODE_ERRORS, EachPacked, explained
from zeropool.shared.heads import array_head, map_head

#: For numpy's kind and size in bytes: MessagePack's type byte, and how the value lies behind it.
_NUMBERS = {
    ("f", 2): (b"\xca", ">f4"),
    ("f", 4): (b"\xca", ">f4"),
    ("f", 8): (b"\xcb", ">f8"),
    ("i", 1): (b"\xd0", ">i1"),
    ("i", 2): (b"\xd1", ">i2"),
    ("i", 4): (b"\xd2", ">i4"),
    ("i", 8): (b"\xd3", ">i8"),
    ("u", 1): (b"\xcc", ">u1"),
    ("u", 2): (b"\xcd", ">u2"),
    ("u", 4): (b"\xce", ">u4"),
    ("u", 8): (b"\xcf", ">u8"),
}
#: False; True is the next.
_FALSE = 0xC2

#: Rows that are taken out of their columns in one go where they are wanted one by one.
CHUNK_ROWS = 1024

#: What numpy and pandas make is theirs: neither has types that could be told here.
_Foreign = Any


class Rows(abc.ABC):
    """Rows in their order, packed on demand."""

    @abc.abstractmethod
    def __len__(self) -> int: ...

    @abc.abstractmethod
    def packed(self, start: int, stop: int) -> bytes:
        """Some of the rows, as one packed array.

        Raises:
            TypeError: a value has no MessagePack form; the message names its row and column.
        """

    @abc.abstractmethod
    def each(self) -> Iterator[bytes]:
        """All rows, each packed by itself.

        Raises:
            TypeError: as `packed`.
        """


def rows_of(data: object, columns: Sequence[str] | None = None) -> Rows:
    """The rows of a list or other iterable, a numpy array, or a pandas frame or column.

    ``columns`` names the columns of an array, or those of a frame anew.

    Raises:
        TypeError: ``data`` has no rows, or a column or its name has no MessagePack form.
        ValueError: there are more or fewer names than columns, or one of them twice.
    """
    if is_a(data, "pandas", "DataFrame"):
        return _frame_rows(data, columns)
    if is_a(data, "numpy", "ndarray"):
        return _array_rows(data, columns)
    if columns is not None:
        raise TypeError(f"columns name those of an array or a frame, not of a {_kind(data)}")
    if is_a(data, "pandas", "Series"):
        return _bare(_frame_column(data, "this column"))
    return _SlicedRows(list(_rows(data)))


def each_of(data: object, columns: Sequence[str] | None = None) -> Iterator[bytes]:
    """The rows one by one, each packed. An iterable may be endless: a row is taken when it is due.

    Where it gives `NOT_YET`, there is no row now, and an empty one stands for it.

    Raises:
        TypeError, ValueError: as `rows_of` and `Rows.packed`.
    """
    if _is_table(data) or columns is not None:
        return rows_of(data, columns).each()
    return EachPacked(_rows(data), 0)


def _is_table(data: object) -> bool:
    return (
        is_a(data, "pandas", "DataFrame")
        or is_a(data, "pandas", "Series")
        or is_a(data, "numpy", "ndarray")
    )


def _rows(data: object) -> Iterable[object]:
    if isinstance(data, str | bytes | dict) or not isinstance(data, Iterable):
        raise TypeError(f"rows should be a list, an array or a frame, not a {_kind(data)}")
    return data


def _kind(value: object) -> str:
    return type(value).__name__


def _frame_rows(frame: _Foreign, columns: Sequence[str] | None) -> Rows:
    names = _names(frame.columns if columns is None else columns, len(frame.columns))
    taken = [
        _frame_column(frame.iloc[:, place], f"column {name!r}") for place, name in enumerate(names)
    ]
    return _table(taken, names)


def _frame_column(column: _Foreign, where: str) -> _Foreign:
    """An array, or a list in which missing values are None."""
    is_numpys = is_a(column.dtype, "numpy", "dtype")
    # NaN is a number among floats; in all other columns it says that there is nothing.
    if (is_numpys and column.dtype.kind == "f") or not column.isna().any():
        return _checked(column.to_numpy(), column.dtype, where)
    _check_kind(column.dtype, where)
    pairs = zip(column.tolist(), column.isna().tolist(), strict=True)
    return [None if is_missing else value for value, is_missing in pairs]


def _array_rows(array: _Foreign, columns: Sequence[str] | None) -> Rows:
    fields = array.dtype.names
    if fields and array.ndim == 1:
        names = _names(fields if columns is None else columns, len(fields))
        taken = [
            _checked(array[field], array.dtype[field].base, f"column {field!r}") for field in fields
        ]
        return _table(taken, names)
    whole = _checked(array, array.dtype, "this array")
    if array.ndim == 2:
        width = array.shape[1]
        named = None if columns is None else _names(columns, width)
        return _table([whole[:, place] for place in range(width)], named)
    if columns is not None:
        raise TypeError(f"columns name those of 2 dimensions, not of {array.ndim}")
    if array.ndim == 0:
        raise TypeError("an array without dimensions has no rows")
    return _bare(whole)


def _names(given: Iterable[object], count: int) -> list[str]:
    names: list[str] = []
    for place, name in enumerate(given):
        if not isinstance(name, str):
            raise TypeError(f"column {place} should be named by a text, not {name!r}")
        names.append(str(name))
    if len(names) != count:
        raise ValueError(f"{len(names)} names for {count} columns")
    if len(set(names)) < count:
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"two columns are named {twice!r}")
    return names


def _checked(array: _Foreign, dtype: _Foreign, where: str) -> _Foreign:
    """An array whose slices by rows and columns are arrays of the same sort."""
    _check_kind(dtype, where)
    numpy = library("numpy")
    # Values behind a mask are not to be seen; `tolist` gives None for them.
    if isinstance(array, numpy.ma.MaskedArray):
        return array if array.mask.any() else array.data
    return numpy.asarray(array)


def _check_kind(dtype: _Foreign, where: str) -> None:
    if dtype.kind not in PLAIN_KINDS:
        raise TypeError(f"{where} is {dtype}, which has no form in MessagePack")


def _table(columns: list[_Foreign], names: list[str] | None) -> Rows:
    if not columns:
        raise TypeError("without columns there are no rows")
    if names is None:
        head = array_head(len(columns))
        keys = [b""] * len(columns)
    else:
        head = map_head(len(columns))
        keys = [msgspec.msgpack.encode(name) for name in names]
    if all(map(_is_of_numbers, columns)):
        return _NumberRows(head, keys, columns)
    return _ColumnRows(columns, names)


def _bare(column: _Foreign) -> Rows:
    if _is_of_numbers(column):
        return _NumberRows(b"", [b""], [column])
    return _SlicedRows(column)


def _is_of_numbers(column: _Foreign) -> bool:
    if isinstance(column, list) or column.ndim != 1 or hasattr(column, "mask"):
        return False
    kind = (column.dtype.kind, column.dtype.itemsize)
    return kind in _NUMBERS or kind[0] == "b"


class _NumberRows(Rows):
    """Columns of numbers; numpy lays out all rows at once."""

    def __init__(self, head: bytes, keys: Sequence[bytes], columns: Sequence[_Foreign]) -> None:
        self._columns = columns
        self._marks = []
        self._forms = []
        for key, column in zip(keys, columns, strict=True):
            if column.dtype.kind == "b":
                mark, form = b"", "u1"
            else:
                mark, form = _NUMBERS[column.dtype.kind, column.dtype.itemsize]
            self._marks.append(head + key + mark)
            self._forms.append(form)
            head = b""

    def __len__(self) -> int:
        return len(self._columns[0])

    def packed(self, start: int, stop: int) -> bytes:
        laid_out = self._laid_out(start, stop)
        packed: bytes = array_head(len(laid_out)) + laid_out.tobytes()
        return packed

    def each(self) -> Iterator[bytes]:
        for start in range(0, len(self), CHUNK_ROWS):
            laid_out = self._laid_out(start, start + CHUNK_ROWS)
            length, packed = laid_out.dtype.itemsize, laid_out.tobytes()
            for at in range(0, len(packed), length):
                yield packed[at : at + length]

    def _laid_out(self, start: int, stop: int) -> _Foreign:
        numpy = library("numpy")
        fields = []
        for place, (mark, form) in enumerate(zip(self._marks, self._forms, strict=True)):
            fields += [(f"mark{place}", f"V{len(mark)}")] if mark else []
            fields.append((f"value{place}", form))
        rows = numpy.empty(len(self._columns[0][start:stop]), dtype=fields)
        for place, (mark, column) in enumerate(zip(self._marks, self._columns, strict=True)):
            if mark:
                rows[f"mark{place}"] = numpy.void(mark)
            values = column[start:stop]
            is_truth = column.dtype.kind == "b"
            rows[f"value{place}"] = values + numpy.uint8(_FALSE) if is_truth else values
        return rows


class _PlainRows(Rows):
    """Rows that are first made as Python's own objects."""

    @abc.abstractmethod
    def made(self, start: int, stop: int) -> Sequence[object]:
        """Some of the rows."""

    def packed(self, start: int, stop: int) -> bytes:
        rows = self.made(start, stop)
        try:
            return ENCODER.encode(rows)
        except ENCODE_ERRORS as error:
            raise explained(rows, start, error) from error

    def each(self) -> Iterator[bytes]:
        for start in range(0, len(self), CHUNK_ROWS):
            yield from EachPacked(self.made(start, start + CHUNK_ROWS), start)


class _ColumnRows(_PlainRows):
    """Columns of which one or more hold something else than numbers."""

    def __init__(self, columns: Sequence[_Foreign], names: Sequence[str] | None) -> None:
        self._columns = columns
        self._names = names

    def __len__(self) -> int:
        return len(self._columns[0])

    def made(self, start: int, stop: int) -> Sequence[object]:
        slices = [_listed(column[start:stop]) for column in self._columns]
        rows = zip(*slices, strict=True)
        if self._names is None:
            return list(rows)
        return [dict(zip(self._names, row, strict=True)) for row in rows]


def _listed(column: _Foreign) -> list[object]:
    values: list[object] = column if isinstance(column, list) else column.tolist()
    return values


class _SlicedRows(_PlainRows):
    """A list, or an array of which each part along the first dimension is a row."""

    def __init__(self, data: _Foreign) -> None:
        self._data = data

    def __len__(self) -> int:
        return len(self._data)

    def made(self, start: int, stop: int) -> Sequence[object]:
        return _listed(self._data[start:stop])
