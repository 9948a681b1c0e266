"""numpy's and pandas' values as what MessagePack has a form for.

Numbers become Python's, arrays lists, a pandas row (`Series`) a map, `pandas.NA` and `NaT` nil. NaN
stays a number: whether one is allowed is up to the model's schema. Neither library is imported
here: whoever hands over their objects has imported them. No I/O, no clock.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import msgspec

#: numpy's kinds whose `tolist` holds nothing but Python's own values. Left out are complex numbers,
#: dates, spans of time and raw memory.
PLAIN_KINDS = "biufUSO"
_PLAIN = (bool, int, float, str, bytes, type(None))
#: Of a subclass's instance the plain one, whatever the subclass says of itself.
_EXACT: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
    (bytes, bytes.__bytes__),
)
_HAS_NO_FORM = "has no form in MessagePack"


def library(name: str) -> Any:  # noqa: ANN401 - a module that may not be there
    """A library that is imported already, with all that is in it; None otherwise."""
    return sys.modules.get(name)


def is_a(value: object, module: str, class_name: str) -> bool:
    """Tell whether a value is an instance of a class of a library that may not be there."""
    kind = getattr(library(module), class_name, None)
    return isinstance(kind, type) and isinstance(value, kind)


def plain(value: Any) -> Any:  # noqa: ANN401 - whatever a caller hands over
    """A value that msgspec does not know, in such as it does; its parts may need this again.

    Raises:
        TypeError: there is no such form.
    """
    for module, class_name, convert in _CONVERSIONS:
        if is_a(value, module, class_name):
            return convert(value)
    if type(value).__module__.partition(".")[0] == "pandas" and _is_missing(value):
        return None
    for kind, exact in _EXACT:
        if isinstance(value, kind):
            return exact(value)
    raise _unknown(value)


def _is_missing(value: object) -> bool:
    pandas = library("pandas")
    return value is pandas.NA or value is pandas.NaT


def _unknown(value: object) -> TypeError:
    kind = type(value)
    return TypeError(f"{kind.__module__}.{kind.__qualname__} {_HAS_NO_FORM}")


def _number(value: Any) -> Any:  # noqa: ANN401 - a numpy.generic
    if getattr(value.dtype, "names", None):
        return dict(zip(value.dtype.names, value.tolist(), strict=True))
    item = value.item()
    if isinstance(item, _PLAIN) and type(item) is not type(value):
        return item
    if is_a(value, "numpy", "floating"):  # longdouble has no counterpart in Python
        return float(value)
    raise TypeError(f"numpy.{value.dtype} {_HAS_NO_FORM}")


def _array(value: Any) -> Any:  # noqa: ANN401 - a numpy.ndarray
    if value.dtype.names:
        return [_number(row) for row in value]
    if value.dtype.kind not in PLAIN_KINDS:
        raise TypeError(f"an array of {value.dtype} {_HAS_NO_FORM}")
    return value.tolist()


def _row(value: Any) -> dict[str, Any]:  # noqa: ANN401 - a pandas.Series
    for name in value.index:
        if not isinstance(name, str):
            raise TypeError(f"the row's field {name!r} should be named by a text")
    return dict(zip(value.index, value.tolist(), strict=True))


def _frame(value: Any) -> list[Any]:  # noqa: ANN401 - a pandas.DataFrame
    return [_row(row) for _, row in value.iterrows()]


_CONVERSIONS: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (
    ("numpy", "generic", _number),
    ("numpy", "ndarray", _array),
    ("pandas", "Series", _row),
    ("pandas", "DataFrame", _frame),
)

#: Packs arguments. Python's own values never come to the hook, and cost nothing more.
ENCODER = msgspec.msgpack.Encoder(enc_hook=plain)
