"""Positional arguments of a ZeroRPC call, checked against a method's parameters.

ZeroRPC knows no keyword arguments. The texts are those that Python itself gives, because callers
of `zerorpc.Server` have seen these.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgpack

from zeropool.shared.errors import WrongArguments
from zeropool.shared.wire.event import DECODE_ERRORS


def _refuse_extension(code: int, data: bytes) -> object:
    raise ValueError(f"msgpack extension type {code} of {len(data)} bytes is not supported")


def unpack(packed: bytes) -> object:
    """Build the first value in ``packed``; bytes after it are ignored, as ZeroRPC peers do.

    A timestamp, msgpack's own extension, comes out as `msgpack.Timestamp`.

    Raises:
        ValueError: it is no msgpack, or holds another extension type, or a key that is neither
            string nor bytes.
    """
    unpacker = msgpack.Unpacker(
        max_buffer_size=max(len(packed), 1), strict_map_key=True, ext_hook=_refuse_extension
    )
    try:
        unpacker.feed(packed)
        # Checks the structure without building it: a few bytes can claim gigabytes of arrays.
        unpacker.skip()
        whole = msgpack.Unpacker(
            max_buffer_size=max(len(packed), 1), strict_map_key=True, ext_hook=_refuse_extension
        )
        whole.feed(packed)
        value: object = whole.unpack()
    except DECODE_ERRORS as error:
        raise ValueError(str(error) or type(error).__name__) from error
    return value


def arguments(packed: bytes, method: str) -> list[object]:
    """Unpack an argument array, or what `zerorpc.Server` takes for one.

    Raises:
        WrongArguments: it can be neither read nor iterated.
    """
    try:
        value = unpack(packed)
    except ValueError as error:
        raise WrongArguments(f"{method}(): malformed arguments: {error}") from error
    if isinstance(value, Iterable):
        return list(value)
    raise WrongArguments(f"argument after * must be an iterable, not {type(value).__name__}")


def check_count(given: int, method: str, parameters: tuple[str, ...]) -> None:
    """Compare the number of arguments with the parameters, all of which are required.

    Raises:
        WrongArguments: there are too few or too many.
    """
    expected = len(parameters)
    if given > expected:
        noun = "argument" if expected == 1 else "arguments"
        were = "was" if given == 1 else "were"
        raise WrongArguments(
            f"{method}() takes {expected} positional {noun} but {given} {were} given"
        )
    missing = [repr(name) for name in parameters[given:]]
    if missing:
        noun = "argument" if len(missing) == 1 else "arguments"
        raise WrongArguments(
            f"{method}() missing {len(missing)} required positional {noun}: {_enumeration(missing)}"
        )


def _enumeration(names: list[str]) -> str:
    if len(names) <= 2:
        return " and ".join(names)
    return f"{', '.join(names[:-1])}, and {names[-1]}"
