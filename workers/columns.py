"""Rows of numbers as columns: from MessagePack to arrays, without an object for any value.

Rows that all have the same names and types at the same places are a table of bytes: the values of
one name lie at equal distances. Whatever is laid out in another way, or is wrong, is none; then
``validation`` reads the rows one by one and has the last word. numpy is never imported here: it is
the model's, which wants its arrays. No I/O.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec.inspect as inspection

from zeropool.shared.layout import Layout, layout_of

#: Below, the rows cost less one by one: numpy takes some 50 µs, however few there are.
MIN_ROWS = 64

#: For a number's type byte, how it lies behind it.
_FORMS = {
    0xCA: ">f4",
    0xCB: ">f8",
    0xCC: ">u1",
    0xCD: ">u2",
    0xCE: ">u4",
    0xCF: ">u8",
    0xD0: ">i1",
    0xD1: ">i2",
    0xD2: ">i4",
    0xD3: ">i8",
}
#: Values that are their own type byte, read as signed bytes: small integers are their own value,
#: and what is below the least of them is none.
_LEAST_SMALL = -32
_FALSE, _TRUE = 0xC2 - 0x100, 0xC3 - 0x100
_INT64_MAX = 2**63 - 1
#: Type bytes of text, and how many bytes of length follow.
_LONG_TEXT = {0xD9: 1, 0xDA: 2, 0xDB: 4}
_SHORT_TEXT = range(0xA0, 0xC0)
#: No UTF-8.
_NO_TEXT = b"\xff"
_SHORT_MAP, _LONG_MAPS = range(0x80, 0x90), (0xDE, 0xDF)

#: An array of numpy, which need not be there.
_Array: TypeAlias = Any
Columns: TypeAlias = dict[str, _Array]


@dataclass(frozen=True, slots=True)
class Field:
    """What a column holds: floats with bounds, ints or bools."""

    kind: type
    least: float | None = None
    most: float | None = None


def fields_of(record: Any) -> dict[str, Field] | None:  # noqa: ANN401  # a type
    """The fields of a record by their names on the wire; None if it holds more than numbers.

    None as well for constraints other than a float's bounds, and where more than the fields' types
    decides whether a row is accepted.
    """
    try:
        found = inspection.type_info(record)
    except TypeError:
        return None
    if not isinstance(found, inspection.StructType) or found.array_like or found.tag is not None:
        return None
    if hasattr(found.cls, "__post_init__"):
        # It may refuse a row.
        return None
    fields: dict[str, Field] = {}
    for each in found.fields:
        field = _field(each.type)
        if field is None:
            return None
        fields[each.encode_name] = field
    return fields


def _field(kind: inspection.Type) -> Field | None:
    match kind:
        case inspection.FloatType(gt=None, lt=None, multiple_of=None):
            return Field(float, kind.ge, kind.le)
        case inspection.IntType(gt=None, ge=None, lt=None, le=None, multiple_of=None):
            return Field(int)
        case inspection.BoolType():
            return Field(bool)
        case inspection.Metadata():
            # A title or a description: what constrains stands in the type itself.
            return _field(kind.type)
    return None


class ColumnReader:
    """Reads arrays of rows that have exactly these fields, in any order."""

    def __init__(self, fields: Mapping[str, Field]) -> None:
        self._fields = fields
        self._names = {name.encode(): name for name in fields}

    def __repr__(self) -> str:
        return f"<ColumnReader {' '.join(self._fields)}>"

    def read(self, rows: bytes, first_at: int, count: int) -> Columns | None:
        """The columns of ``count`` rows that begin at ``first_at``, in the order of the fields.

        Floats are float64, integers int64, bools bool. None where a row is laid out in another way
        than the first, or holds what its field does not take.
        """
        layout = layout_of(rows, first_at)
        if layout is None or len(rows) - first_at != count * layout.length:
            return None
        places = self._places(rows[first_at : first_at + layout.length], layout)
        if places is None:
            return None
        table = _Table(rows, first_at, count, layout.length)
        if not table.is_same_beside(sorted(places.values())):
            return None
        # What numpy makes of a NaN that signals is not to depend on what the model has set.
        with sys.modules["numpy"].errstate(all="ignore"):
            return self._columns(table, places)

    def _columns(self, table: _Table, places: Mapping[str, int]) -> Columns | None:
        columns: Columns = {}
        for name, field in self._fields.items():
            values = _READERS[field.kind](table, places[name], field)
            if values is None:
                return None
            columns[name] = values
        return columns

    def _places(self, row: bytes, layout: Layout) -> dict[str, int] | None:
        """Where the value of each field has its type byte; None if these are not the fields."""
        heads = layout.heads
        if row[0] not in _SHORT_MAP and row[0] not in _LONG_MAPS:
            return None
        if len(heads) != 1 + 2 * len(self._fields):
            return None
        places: dict[str, int] = {}
        for key_at, value_at in zip(heads[1::2], heads[2::2], strict=True):
            text = _text(row[key_at:value_at])
            if text not in self._names:
                return None
            places[self._names[text]] = value_at
        return places if len(places) == len(self._fields) else None


def _text(packed: bytes) -> bytes:
    """What a packed text says, in UTF-8; what no text can be, if it is none."""
    if packed[0] in _SHORT_TEXT:
        return packed[1:]
    length_bytes = _LONG_TEXT.get(packed[0])
    return _NO_TEXT if length_bytes is None else packed[1 + length_bytes :]


class _Table:
    """Rows of one length, as bytes. A place is that of a value's type byte in its row."""

    def __init__(self, rows: bytes, first_at: int, count: int, length: int) -> None:
        self._rows = rows
        self._first_at = first_at
        self._count = count
        self._length = length
        self._numpy: Any = sys.modules["numpy"]

    def form(self, place: int) -> str | None:
        """How the number behind the first row's type byte lies; None where there is none."""
        return _FORMS.get(self._rows[self._first_at + place])

    def is_same_beside(self, places: Sequence[int]) -> bool:
        """Tell whether all rows are the same but for the values at these places, in their order."""
        start = 0
        for place in places:
            form = self.form(place)
            # A value that is its own type byte may be another in each row.
            end = place if form is None else place + 1
            if not self._is_same(start, end):
                return False
            start = end + (1 if form is None else int(form[-1]))
        return start == self._length

    def _is_same(self, start: int, end: int) -> bool:
        shape, strides = (self._count, end - start), (self._length, 1)
        numpy = self._numpy
        parts = numpy.ndarray(shape, numpy.uint8, self._rows, self._first_at + start, strides)
        return bool((parts == parts[0]).all())

    def numbers(self, place: int, form: str) -> _Array:
        """The numbers that lie behind a type byte."""
        return self._values(place + 1, form)

    def heads(self, place: int) -> _Array:
        """The type bytes themselves, with sign."""
        return self._values(place, ">i1")

    def _values(self, at: int, form: str) -> _Array:
        strides = (self._length,)
        return self._numpy.ndarray((self._count,), form, self._rows, self._first_at + at, strides)


def _bools(table: _Table, place: int, _: Field) -> _Array | None:
    heads = table.heads(place)
    return heads == _TRUE if ((heads == _FALSE) | (heads == _TRUE)).all() else None


def _numbers(table: _Table, place: int) -> _Array | None:
    form = table.form(place)
    if form is not None:
        return table.numbers(place, form)
    heads = table.heads(place)
    return heads if (heads >= _LEAST_SMALL).all() else None


def _ints(table: _Table, place: int, _: Field) -> _Array | None:
    values = _numbers(table, place)
    if values is None or values.dtype.kind == "f":
        return None
    if values.dtype.kind == "u" and not (values <= _INT64_MAX).all():
        return None
    return values.astype("i8")


def _floats(table: _Table, place: int, field: Field) -> _Array | None:
    values = _numbers(table, place)
    if values is None:
        return None
    values = values.astype("f8")
    # Not a number is within no bounds.
    is_low = field.least is not None and not (values >= field.least).all()
    is_high = field.most is not None and not (values <= field.most).all()
    return None if is_low or is_high else values


_READERS: Mapping[type, Callable[[_Table, int, Field], _Array | None]] = {
    bool: _bools,
    int: _ints,
    float: _floats,
}
