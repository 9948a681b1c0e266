"""From a prediction to the MessagePack bytes of a reply, or an error that names the culprit.

A Python client drops a reply that it can not decode without a word and waits for its timeout, so
everything that does not survive the way must be found here: maps with keys other than text,
integers beyond 64 bits, extension types, nesting without end. Plain data of Python's own types
takes a fast path; everything else is rebuilt from builtins first. numpy and pydantic are never
imported here: a model that returns their objects has imported them.
"""

from __future__ import annotations

import enum
import sys
from collections.abc import Callable
from typing import Any

import msgspec

from zeropool.shared.errors import UnusableOutput
from zeropool.workers.failures import bounded, encodable, message_of
from zeropool.workers.plain import MAX_DEPTH, SCALARS, is_plain

#: Longest part of a place (one map key) in characters that a message quotes.
STEP_LIMIT = 60

#: numpy's kinds of array whose `tolist` holds nothing but Python's bools, ints and floats.
ARRAY_KINDS = "biuf"

INT_MIN = -(2**63)
INT_MAX = 2**64 - 1

_ENCODER = msgspec.msgpack.Encoder()


class _Refusal(Exception):  # noqa: N818  # turned into UnusableOutput where the whole place is known
    """What is wrong with one value, and the steps to its place, innermost first."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.steps: list[str] = []


def encode_prediction(value: object) -> bytes:
    """Return the MessagePack of a prediction: text as str, bytes as bin, floats with 64 bits.

    Raises `UnusableOutput` with place and type: ``can not serialize 'set' object at $.species``.
    """
    try:
        if is_plain(value, MAX_DEPTH):
            return _ENCODER.encode(value)
    except (OverflowError, TypeError, UnicodeEncodeError, RecursionError):
        # Told with its place below; or a number of an odd class among floats, which has a form.
        pass
    try:
        return _ENCODER.encode(_normalised(value, MAX_DEPTH))
    except _Refusal as refusal:
        place = "$" + "".join(reversed(refusal.steps))
        raise UnusableOutput(bounded(encodable(f"{refusal} at {_shortened(place)}"))) from None
    except RecursionError:
        raise UnusableOutput("can not serialize a prediction that is nested too deeply") from None
    except (Exception, SystemExit) as error:  # an object's own methods may raise anything
        reason = f"can not serialize a prediction ({type(error).__name__}: {message_of(error)})"
        raise UnusableOutput(bounded(encodable(reason))) from error


def _normalised(value: Any, depth: int) -> Any:  # noqa: ANN401  # whatever the model returned
    """Return the value in Python's own types, or raise `_Refusal`."""
    if depth == 0:
        raise _Refusal(f"can not serialize more than {MAX_DEPTH} levels (is it a cycle?)")
    kind = type(value)
    if kind in SCALARS:
        return _scalar(value)
    if kind is dict:
        return _mapping(value, depth)
    if kind is list:
        return _sequence(value, depth)
    return _converted(value, depth)


def _scalar(value: Any) -> Any:  # noqa: ANN401  # one of SCALARS
    if type(value) is int and not INT_MIN <= value <= INT_MAX:
        raise _Refusal(f"can not serialize an integer of {value.bit_length()} bits")
    if type(value) is str and not value.isascii():
        _refuse_surrogates(value)
    return value


def _refuse_surrogates(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _Refusal("can not serialize text with lone surrogates") from None


def _mapping(value: dict[Any, Any], depth: int) -> dict[str, Any]:
    result = {}
    for key, item in value.items():
        if not isinstance(key, str):
            raise _Refusal(f"can not serialize a map with keys of type {_type_name(key)}")
        try:
            result[_scalar(_exact_text(key))] = _normalised(item, depth - 1)
        except _Refusal as refusal:
            refusal.steps.append(f".{_exact_text(key)[:STEP_LIMIT]}")
            raise
    return result


def _sequence(value: list[Any] | tuple[Any, ...], depth: int) -> list[Any]:
    result = []
    for index, item in enumerate(value):
        try:
            result.append(_normalised(item, depth - 1))
        except _Refusal as refusal:
            refusal.steps.append(f"[{index}]")
            raise
    return result


def _converted(value: Any, depth: int) -> Any:  # noqa: ANN401  # whatever the model returned
    """Return a value of no type of our own in builtins, or raise `_Refusal`."""
    if _is_array(value) and value.dtype.kind in ARRAY_KINDS and value.dtype.itemsize <= 8:
        return value.tolist()
    for belongs, convert in _CONVERSIONS:
        if belongs(value):
            try:
                builtin = convert(value)
            except _Refusal:
                raise
            except Exception as error:
                reason = f"can not serialize {_type_name(value)} object ({type(error).__name__})"
                raise _Refusal(reason) from error
            return _normalised(builtin, depth - 1)
    if isinstance(value, dict):
        return _mapping(value, depth)
    if isinstance(value, (list, tuple)):
        return _sequence(value, depth)
    raise _unknown(value)


def _unknown(value: object) -> _Refusal:
    return _Refusal(f"can not serialize {_type_name(value)} object")


def _type_name(value: object) -> str:
    return repr(type(value).__name__)


def _is_a(module: str, class_name: str) -> Callable[[Any], bool]:
    """Return a test for instances of a class of a package that may not be there."""

    def belongs(value: Any) -> bool:  # noqa: ANN401  # whatever the model returned
        kind = getattr(sys.modules.get(module), class_name, None)
        return isinstance(kind, type) and isinstance(value, kind)

    return belongs


def _is(kind: type | tuple[type, ...]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kind)


def _exact_text(value: str) -> str:
    return value if type(value) is str else str.__str__(value)


def _from_numpy_scalar(value: Any) -> Any:  # noqa: ANN401  # a numpy.generic
    item = value.item()
    if type(item) is not type(value):
        return item
    if isinstance(item, sys.modules["numpy"].floating):  # longdouble has no Python counterpart
        return float(item)
    raise _unknown(value)


def _from_pydantic(value: Any) -> Any:  # noqa: ANN401  # a pydantic.BaseModel
    """Return the model's data: as Python has it, or in JSON's types if that is not plain.

    The first keeps bytes, the second turns dates and the like into what the published schema says.
    """
    try:
        return _normalised(value.model_dump(by_alias=True, warnings=False), MAX_DEPTH)
    except _Refusal as refusal:
        try:
            return value.model_dump(mode="json", by_alias=True, warnings=False)
        except Exception:  # noqa: BLE001  # a serializer may be the author's; the place says more
            raise refusal from None


def _from_struct(value: msgspec.Struct) -> Any:  # noqa: ANN401  # builtins
    return msgspec.to_builtins(value, builtin_types=(bytes, bytearray), enc_hook=_foreign)


def _foreign(value: Any) -> Any:  # noqa: ANN401  # what msgspec does not know
    return _converted(value, MAX_DEPTH)


_is_array = _is_a("numpy", "ndarray")

#: In this order: numpy's float64 and str_ are also a float and a str.
_CONVERSIONS: tuple[tuple[Callable[[Any], bool], Callable[[Any], Any]], ...] = (
    (_is_a("numpy", "generic"), _from_numpy_scalar),
    (_is_array, lambda value: value.tolist()),
    (_is(enum.Enum), lambda value: value.value),
    (_is(str), str.__str__),
    (_is(float), float.__float__),
    (_is(int), int.__int__),
    (_is((bytes, bytearray, memoryview)), bytes),
    (_is(msgspec.Struct), _from_struct),
    (_is_a("pydantic", "BaseModel"), _from_pydantic),
)


def _shortened(place: str) -> str:
    """Return a place of which the middle is left out where it is long."""
    limit = 10 * STEP_LIMIT
    if len(place) <= limit:
        return place
    return f"{place[: limit // 2]}…{place[-limit // 2 :]}"
