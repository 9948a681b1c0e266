"""One call of one thread, from its arguments to what the server answers."""

from __future__ import annotations

import time
from typing import Any, Final

from zeropool.client.call import Call
from zeropool.client.crew import Crew
from zeropool.client.foreign import ENCODER
from zeropool.client.making import make_call
from zeropool.client.results import value_of
from zeropool.client.retry import RetryPolicy

_encode: Final = ENCODER.encode
_monotonic: Final = time.monotonic


def new_call(
    method: str | bytes,
    args: tuple[object, ...],
    timeout_s: float | None,
    retry: RetryPolicy | None,
    slots: int,
) -> tuple[Call, float]:
    """A call that is to be made, and when.

    Raises:
        TypeError, OverflowError, UnicodeEncodeError: an argument has no MessagePack form.
    """
    name = method.decode() if isinstance(method, bytes) else method
    packed = _encode(args)
    # One time for both: so most requests of a method tell of exactly as much time.
    now = _monotonic()
    call = make_call(name, packed, timeout_s, retry, now)
    call.slots = slots
    return call, now


def ask(  # noqa: PLR0913, PLR0917 - as a client's call has them
    crew: Crew,
    method: str | bytes,
    args: tuple[object, ...],
    timeout_s: float | None,
    retry: RetryPolicy | None,
    slots: int,
) -> Any:  # noqa: ANN401 - what the server answers
    """What the server answers; the call itself where that is a stream. No answer is a call.

    Raises:
        zerorpc.RemoteError, zerorpc.TimeoutExpired, zerorpc.LostRemote: it has not ended well.
        ProtocolError: the answer cannot be decoded.
        ClientClosed, Overloaded: as `Crew.make`.
        TypeError, OverflowError, UnicodeEncodeError: as `new_call`.
    """
    call, now = new_call(method, args, timeout_s, retry, slots)
    try:
        crew.make([call], now)
        crew.wait(call)
    except BaseException:
        crew.forget(call)
        raise
    return call if call.is_stream else value_of(call, timeout_s)
