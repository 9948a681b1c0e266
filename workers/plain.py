"""Predictions that an encoder can be trusted with as they are: plain data of Python's own types.

Every prediction of every model passes here; so it is compiled, and apart from `output`, which looks
at all others. No I/O.
"""

from __future__ import annotations

from itertools import chain
from typing import Any, Final

import msgspec

from zeropool.shared.heads import array_head

#: Deepest nesting of a prediction: three Python frames a level must fit into the default recursion
#: limit of 1,000. The unpackers of clients stop at 512 or 1,024 levels.
MAX_DEPTH: Final = 200

#: What holds nothing else.
SCALARS: Final = frozenset({float, int, str, bool, type(None), bytes})
_TEXT: Final = frozenset({str})
_MAPS: Final = {dict}
_ENCODER: Final = msgspec.msgpack.Encoder()


def encode_plain(values: list[object]) -> bytes | None:
    """Return the MessagePack of many predictions, one behind the other, in one go.

    None where not all of them are plain data: then `encode_prediction` has to look at each.
    """
    try:
        if not are_plain(values, MAX_DEPTH):
            return None
        packed = _ENCODER.encode(values)
        first_at = len(array_head(len(values)))
        return packed[first_at:]
    except (Exception, SystemExit):  # noqa: BLE001  # a key may raise anything; told with its place
        return None


def encode_each(values: list[object]) -> list[bytes] | None:
    """Return the MessagePack of each of many predictions; None as from `encode_plain`."""
    encode = _ENCODER.encode
    try:
        return [encode(value) for value in values] if are_plain(values, MAX_DEPTH) else None
    except (Exception, SystemExit):  # noqa: BLE001  # as above
        return None


def are_plain(values: list[Any], depth: int) -> bool:
    """Tell whether all of many predictions are plain data, nested no deeper than so."""
    # Maps of scalars, as most models give: a tenth of the cost of a look at each.
    if not values or (type(values[0]) is dict and _are_records(values)):
        return True
    kinds = set(map(type, values))
    if SCALARS.issuperset(kinds) or (kinds == _MAPS and _are_maps_of_scalars(values)):
        return True
    return all(is_plain(value, depth) for value in values)


def _are_records(values: list[Any]) -> bool:
    """Tell whether all are maps of scalars with the same keys, told by the first one's."""
    keys = tuple(values[0])
    for key in keys:
        if type(key) is not str:
            return False
    # Plain loops: what the functions of C take to begin is as much as twenty predictions cost here.
    for value in values:
        if type(value) is not dict or len(value) != len(keys):
            return False
    # A key that only equals one of them is text all the same, as an enum's member may be, and is
    # encoded as it; or it is of another type, such as a UserString, which the encoder refuses.
    try:
        for key in keys:
            known: type = float
            for value in values:
                kind = type(value[key])
                if kind is not known:
                    if kind not in SCALARS:
                        return False
                    known = kind
    except KeyError:
        return False
    return True


def _are_maps_of_scalars(values: list[dict[Any, Any]]) -> bool:
    if not _TEXT.issuperset(map(type, chain.from_iterable(values))):
        return False
    return SCALARS.issuperset(map(type, chain.from_iterable(map(dict.values, values))))


def is_plain(value: Any, depth: int) -> bool:  # noqa: ANN401  # whatever the model returned
    """Tell whether this is plain data, nested no deeper than so: Python's own types, text keys."""
    kind = type(value)
    if kind is dict and _TEXT.issuperset(map(type, value)):
        children = value.values()
    elif kind is list:
        if value and type(value[0]) is float and _are_numbers(value):
            return True
        children = value
    else:
        return kind in SCALARS
    if SCALARS.issuperset(map(type, children)):
        return True
    if depth == 1:
        return False
    for child in children:  # noqa: SIM110  # a generator would double the depth of the stack
        if not is_plain(child, depth - 1):
            return False
    return True


def _are_numbers(value: list[Any]) -> bool:
    """Tell whether a list holds ints and floats only, four times as fast as a look at each type."""
    try:
        msgspec.convert(value, list[float])
    except (msgspec.ValidationError, OverflowError):
        return False
    return True
