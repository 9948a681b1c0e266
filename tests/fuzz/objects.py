"""Predictions as models may return them: of every type, of none, and hostile to whoever looks."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import random
import uuid
from collections import OrderedDict, UserDict, deque, namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import msgpack
import msgspec
import numpy as np
import pydantic
from fuzz.targets import Fault, Target

from zeropool.shared.errors import UnusableOutput
from zeropool.workers.output import encode_prediction


class Colour(enum.Enum):
    RED = "red"
    NOTHING = None


class Number(enum.IntEnum):
    ONE = 1


class Pair(msgspec.Struct):
    left: Any
    right: Any


class Shape(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)
    inside: Any


Named = namedtuple("Named", ("a", "b"))  # noqa: PYI024 - as older models have them


class BrokenMap(dict[Any, Any]):
    def items(self) -> Any:
        raise RuntimeError("no items today")


class BrokenList(list[Any]):
    def __iter__(self) -> Iterator[Any]:
        raise RuntimeError("no iteration today")


class BrokenText(str):
    __slots__ = ()

    def __str__(self) -> str:
        raise RuntimeError("no text today")

    def encode(self, *_: Any, **__: Any) -> bytes:
        raise RuntimeError("no bytes today")


class BrokenNumber(int):
    def __int__(self) -> int:
        raise RuntimeError("no number today")

    def __le__(self, _: object) -> bool:
        raise RuntimeError("no order today")


class Impostor:
    """Says that it is something else, or fails to say what it is."""

    def __init__(self, claimed: Any) -> None:
        self._claimed = claimed

    @property
    def __class__(self) -> Any:
        if self._claimed is None:
            raise RuntimeError("no class today")
        return self._claimed

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"no {name} today")


class Nameless(type):
    @property
    def __name__(cls) -> Any:
        raise RuntimeError("no name today")


class Unnamed(metaclass=Nameless):
    pass


def _leaves(rng: random.Random) -> Any:
    number = rng.choice((0, -1, 2**31, 2**63, 2**64, 2**70, -(2**63) - 1, rng.getrandbits(80)))
    return rng.choice(_LEAVES)(rng, number)


def _text(rng: random.Random) -> str:
    return rng.choice(("", "a", "é", "\ud800", "\x00", "x" * 300, "\U0001f600", "a\udfffb"))


_LEAVES: tuple[Callable[[random.Random, int], Any], ...] = (
    lambda _, number: number,
    lambda rng, _: _text(rng),
    lambda rng, _: rng.choice((None, True, 1.5, float("nan"), float("inf"), -0.0, 1e308)),
    lambda rng, _: rng.choice((b"", b"\xff", bytearray(b"x"), memoryview(b"abc"), 1j, ...)),
    lambda rng, _: rng.choice(
        (np.float32(1.5), np.int64(7), np.bool_(1), np.float16(2), np.str_("s"))
    ),
    lambda rng, _: rng.choice(
        (np.longdouble(1), np.complex64(1), np.datetime64("NaT"), np.bytes_(b"b"))
    ),
    lambda rng, _: rng.choice((np.zeros(3), np.zeros((2, 0)), np.array(5), np.array(["a"]))),
    lambda rng, _: rng.choice(
        (np.array([object()]), np.ma.masked, np.zeros(2, "f2,i4"), np.void(b"x"))
    ),
    lambda rng, _: rng.choice(
        (Colour.RED, Colour.NOTHING, Number.ONE, Colour, int, len, NotImplemented)
    ),
    lambda rng, _: rng.choice((decimal.Decimal("1.5"), uuid.UUID(int=1), Path("x"), dt.date.max)),
    lambda rng, _: rng.choice((object(), {1}, frozenset("a"), range(3), deque([1]), iter([1]))),
    lambda rng, _: rng.choice((BrokenText("x"), BrokenNumber(3), Unnamed(), ValueError("no"))),
    lambda rng, _: Impostor(rng.choice((None, dict, list, str, int, float, np.ndarray, enum.Enum))),
    lambda rng, _: Impostor(
        rng.choice((msgspec.Struct, pydantic.BaseModel, np.generic, tuple, bytes))
    ),
)


def draw(rng: random.Random, depth: int = 4) -> Any:  # noqa: C901, PLR0911 - one for each kind
    """One prediction."""
    if depth == 0 or rng.random() < 0.3:
        return _leaves(rng)
    inner = [draw(rng, depth - 1) for _ in range(rng.randrange(4))]
    match rng.randrange(14):
        case 0 | 1 | 2:
            return inner
        case 3 | 4 | 5:
            return {_text(rng): item for item in inner}
        case 6:
            keys = (1, b"k", None, (1,), np.str_("k"), BrokenText("k"), Number.ONE, 2**70, "ok")
            return {rng.choice(keys): item for item in inner}
        case 7:
            texts = {_text(rng): item for item in inner}
            return rng.choice((tuple(inner), deque(inner), OrderedDict(texts), UserDict(texts)))
        case 8:
            return Pair(inner, _leaves(rng))
        case 9:
            return Shape(inside=inner)
        case 10:
            return Named(inner, _leaves(rng))
        case 11:
            return rng.choice((BrokenMap(a=inner), BrokenList(inner)))
        case 12:
            inner.append(inner)
            return inner
    nested: Any = inner
    for _ in range(rng.choice((3, 150, 199, 200, 201, 900, 3_000))):
        nested = [nested] if rng.random() < 0.5 else {"k": nested}
    return nested


class OutputTarget(Target):
    """`encode_prediction`: bytes that a client can read, or `UnusableOutput`.

    An input is a seed of its own: the object is drawn from it.
    """

    name = "output"
    pool: ClassVar[list[bytes]] = [b"\x00" * 8]

    def feed(self, data: bytes) -> None:
        value = draw(random.Random(data))
        try:
            packed = encode_prediction(value)
        except UnusableOutput as error:
            str(error).encode()
            return
        try:
            msgpack.unpackb(packed, strict_map_key=True)
        except (ValueError, msgpack.UnpackException, RecursionError) as error:
            raise Fault(f"no client can read it: {error!r}") from error
