"""From the raw bytes of a call's arguments to what a model receives, or to the caller's error.

Two paths. On the hot one msgspec decodes and checks in one go. Only what it rejects is read
again as plain data and given to the schema's own validator, which has the last word: it explains
the rejection, or accepts after all. Whatever the bytes are, the only errors are `InvalidInput`
and `WrongArguments`. Source for the rules of arguments: zerorpc-python 0.6.3, which calls
``method(*args)``.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from zeropool.shared.arguments import check_count
from zeropool.shared.errors import InvalidInput, ModelRefused, WrongArguments
from zeropool.shared.heads import array_head
from zeropool.workers.columns import MIN_ROWS, ColumnReader, Columns, fields_of
from zeropool.workers.containers import MAX_CONTAINERS, Allowance
from zeropool.workers.failures import bounded, message_of
from zeropool.workers.json_schemas import json_schema_kind
from zeropool.workers.reading import UNREADABLE, Packed, invalid, refuse_extension, unreadable
from zeropool.workers.schema_classes import (
    is_pydantic_class,
    is_struct_class,
    pydantic_kind,
    struct_kind,
)
from zeropool.workers.schema_kind import SchemaKind
from zeropool.workers.schema_objects import is_schema_object, schema_object_kind

#: Most rows that one message may carry: an error object per row must stay below 100 MB.
MAX_ROWS: Final = 100_000

#: What `Q_predict` takes.
PARAMETERS: Final = ("data",)

#: An explanation holds what it explains, in up to 85 bytes for each: 16 MiB of ones made 1.2 GB.
MAX_EXPLAINED_BYTES: Final = 1024 * 1024

#: Calls that are decoded together: to copy more costs more than it spares.
MAX_JOINED_BYTES: Final = 256 * 1024

#: Arguments are copied to have them without their header, if they are smaller.
MAX_COPIED_BYTES: Final = 16 * 1024

_TOO_MANY: Final = f"the data holds more than {MAX_CONTAINERS} maps and arrays"

_ANYTHING: Final = msgspec.msgpack.Decoder(ext_hook=refuse_extension)
_RAW_ROWS: Final = msgspec.msgpack.Decoder(list[msgspec.Raw])


def compile_schema(schema: Any, where: str) -> CompiledSchema:  # noqa: ANN401  # the author's
    """Compile a schema of any known kind; raise `ModelRefused`, whose message begins with `where`.

    Known are a `schema.Schema`, a pydantic model class, a `msgspec.Struct` and a JSON Schema dict.
    """
    try:
        return CompiledSchema(_kind_of(schema))
    except Exception as error:  # the libraries raise their own, and the author's, errors
        raise ModelRefused(f"{where}: {_first_line(error)}") from error


def _kind_of(schema: Any) -> SchemaKind:  # noqa: ANN401  # what the author gave us
    if is_schema_object(schema):
        return schema_object_kind(schema)
    if is_pydantic_class(schema):
        return pydantic_kind(schema)
    if is_struct_class(schema):
        return struct_kind(schema)
    if isinstance(schema, dict):
        return json_schema_kind(schema)
    found = schema.__name__ if isinstance(schema, type) else f"instance of {type(schema).__name__}"
    raise TypeError(
        f"{found} is no known kind of schema: allowed are a schema.Schema, a pydantic model class,"
        " a msgspec.Struct class and a JSON Schema dict"
    )


def _first_line(error: Exception) -> str:
    return message_of(error).split("\n", 1)[0]


class CompiledSchema:
    """One schema, ready to decode calls; `json_schema` is what is published."""

    __slots__ = (
        "_accepts",
        "_call",
        "_calls",
        "_columns",
        "_finish",
        "_plain",
        "_row",
        "_rows",
        "_validate",
        "json_schema",
    )

    def __init__(self, kind: SchemaKind) -> None:
        self.json_schema = kind.json_schema
        self._plain = kind.read
        self._validate = kind.validate
        self._accepts = kind.accepts
        self._finish = kind.finish
        self._call = _decoder(_one_argument, kind)
        self._calls = _decoder(_arguments, kind)
        self._rows = _decoder(_list_of, kind)
        self._row = _decoder(_itself, kind)
        fields = None if self._rows is None else fields_of(kind.wire_type)
        self._columns = ColumnReader(fields) if fields else None

    def __repr__(self) -> str:
        path = "generic" if self._call is None else "fast"
        return f"<CompiledSchema {path} {self.json_schema.get('type', 'any')}>"

    def decode_call(self, args: bytes, method: str) -> object:
        """Return the one argument `data` of a call, as the model receives it.

        `args` is the MessagePack of the whole argument array. Raises `InvalidInput` for data
        that the schema rejects, `WrongArguments` for any number of arguments but one.
        """
        if self._call is not None:
            try:
                data = self._call.decode(args)[0]
            except Exception:  # noqa: BLE001, S110  # explained by the slow path, whatever it is
                pass
            else:
                return data if self._finish is None else self._finish(data)
        allowance = Allowance(len(args))
        header = _array_header(args)
        if header is None:
            return self._read(_only_item(args, method, allowance), Allowance(0))
        count, offset = header
        if count != len(PARAMETERS):
            check_count(count, method, PARAMETERS)
        # A view costs more than to copy what is small.
        data = args[offset:] if len(args) < MAX_COPIED_BYTES else memoryview(args)[offset:]
        return self._read(data, allowance)

    def decode_calls(self, calls: list[bytes]) -> list[object] | None:
        """Return what `decode_call` does for each of n calls; None where it is to look at each.

        So it is where one of them is wrong. Each of ``calls`` is one value of MessagePack, to which
        the gateway has seen; so they are decoded as one array, at half the cost.
        """
        count = len(calls)
        if self._calls is None or count < 2:
            return None
        size_bytes = 0
        for args in calls:
            size_bytes += len(args)
        if size_bytes > MAX_JOINED_BYTES:
            return None
        try:
            packed = b"".join([array_head(count), *calls])
            decoded: list[tuple[object]] = self._calls.decode(packed)
        except Exception:  # noqa: BLE001  # told by the look at each, whatever it is
            return None
        rows = [row for (row,) in decoded]
        return rows if self._finish is None else self._finish(rows)  # type: ignore[return-value]

    def decode_rows(
        self, rows: bytes, method: str = "predict_batch"
    ) -> list[object | InvalidInput]:
        """Return n rows as the model receives them, an error in the place of each bad row.

        `rows` is the MessagePack of an array of rows. Raises `WrongArguments` if it is no array
        or a longer one than `MAX_ROWS`, `InvalidInput` if its end can not be found.
        """
        header = _array_header(rows)
        if header is None:
            raise WrongArguments(f"{method}() argument 'rows' must be a list")
        if header[0] > MAX_ROWS:
            raise WrongArguments(f"{method}() batch of {header[0]} rows exceeds {MAX_ROWS}")
        if self._rows is not None:
            try:
                decoded: list[Any] = self._rows.decode(rows)
            except Exception:  # noqa: BLE001, S110  # explained row by row, whatever it is
                pass
            else:
                return decoded if self._finish is None else self._finish(decoded)  # type: ignore[return-value]
        try:
            raw_rows = _RAW_ROWS.decode(rows)
        except UNREADABLE as error:
            raise unreadable(error) from error
        allowance = Allowance(len(rows))
        return [self._row_or_error(row, allowance) for row in raw_rows]

    @property
    def has_columns(self) -> bool:
        """Rows can become columns: they are records of nothing but numbers and bools."""
        return self._columns is not None

    def decode_columns(self, rows: bytes) -> Columns | None:
        """Return n rows as arrays of n values by name; None if they are none. numpy is to be there.

        None as well for few rows, and wherever a row would be rejected or is laid out in another
        way than the first: `decode_rows` is then to say what they are.
        """
        header = _array_header(rows)
        if self._columns is None or header is None or not MIN_ROWS <= header[0] <= MAX_ROWS:
            return None
        count, first_at = header
        try:
            return self._columns.read(rows, first_at, count)
        except Exception:  # noqa: BLE001  # explained row by row, whatever it is
            return None

    def _row_or_error(self, row: Packed, allowance: Allowance) -> object | InvalidInput:
        if self._row is not None:
            try:
                data = self._row.decode(row)
            except Exception:  # noqa: BLE001, S110  # explained by the slow path, whatever it is
                pass
            else:
                return data if self._finish is None else self._finish(data)
        try:
            return self._read(row, allowance)
        except InvalidInput as error:
            return InvalidInput(*error.args)  # without the frames that hold the row's data

    def _read(self, row: Packed, allowance: Allowance) -> object:
        """Read one row on the slow path, which has the last word."""
        if not allowance.covers(row):
            raise invalid(_TOO_MANY)
        try:
            data = self._plain(row)
            if len(row) > MAX_EXPLAINED_BYTES:
                self._refuse_wrong(data, len(row))
            return self._validate(data)
        except InvalidInput:
            raise
        except RecursionError as error:
            raise unreadable(error) from error
        except Exception as error:  # a validator may call anything of the model's author
            raise invalid(f"{type(error).__name__}: {message_of(error)}") from error

    def _refuse_wrong(self, data: object, size_bytes: int) -> None:
        """Refuse large data that is wrong, without an explanation."""
        accepts = self._accepts
        if accepts is not None and not accepts(data):
            raise invalid(f"data of {size_bytes} bytes, too large to say where it is wrong")


def _itself(row: Any) -> Any:  # noqa: ANN401  # a type to a type, as the three below
    return row


def _list_of(row: Any) -> Any:  # noqa: ANN401
    return list[row]


def _one_argument(row: Any) -> Any:  # noqa: ANN401
    return tuple[row]


def _arguments(row: Any) -> Any:  # noqa: ANN401
    return list[tuple[row]]


def _decoder(shape: Any, kind: SchemaKind) -> msgspec.msgpack.Decoder[Any] | None:  # noqa: ANN401
    """Return the decoder for this shape of rows; None where no type says the schema exactly.

    msgspec itself knows best which unions it can tell apart, so the test is to ask it.
    """
    if kind.wire_type is None:
        return None
    try:
        return msgspec.msgpack.Decoder(shape(kind.wire_type), ext_hook=refuse_extension)
    except (TypeError, ValueError):
        return None


def _array_header(packed: bytes) -> tuple[int, int] | None:
    """Return the number of items and the offset of the first; None if this is no array.

    Only the header is read, so that a wrong count is told without building a single item.
    """
    first = packed[0] if packed else 0
    if first & 0xF0 == 0x90:
        return first & 0x0F, 1
    if first == 0xDC and len(packed) >= 3:
        return int.from_bytes(packed[1:3], "big"), 3
    if first == 0xDD and len(packed) >= 5:
        return int.from_bytes(packed[1:5], "big"), 5
    return None


def _only_item(args: bytes, method: str, allowance: Allowance) -> bytes:
    """Return the packed data of a call whose arguments are no array, as ``method(*args)`` would.

    Text and bytes are iterated, of a map its keys.
    """
    if not allowance.covers(args):
        raise WrongArguments(f"{method}() arguments: {_TOO_MANY}")
    try:
        value = _ANYTHING.decode(args)
    except UNREADABLE as error:
        raise WrongArguments(
            bounded(f"{method}() arguments are malformed MessagePack: {error}")
        ) from error
    if not isinstance(value, (str, bytes, dict)):
        raise WrongArguments(f"argument after * must be an iterable, not {type(value).__name__}")
    check_count(len(value), method, PARAMETERS)
    return msgspec.msgpack.encode(next(iter(value)))
