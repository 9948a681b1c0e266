"""Calling a Zeropool, or any ZeroRPC server, from Python.

`Client` stands in the place of `zerorpc.Client`, and `AsyncClient` beside it for asyncio.
`RemoteError`, `TimeoutExpired` and `LostRemote` are zerorpc's own; zerorpc, and with it gevent, is
loaded when one of them is named or raised, and asyncio when `AsyncClient` is named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zeropool.shared import native

# Before anything is imported that may be compiled.
native.choose()

from zeropool.client.pending import Gathering, Pending  # noqa: E402
from zeropool.client.retry import RetryPolicy  # noqa: E402
from zeropool.client.sync import Client  # noqa: E402

if TYPE_CHECKING:
    from zeropool.client.aio import AsyncClient

__all__ = ["AsyncClient", "Client", "Gathering", "Pending", "RetryPolicy"]

_OF_ZERORPC = frozenset({"LostRemote", "RemoteError", "TimeoutExpired"})


def __getattr__(name: str) -> type:
    """What takes its time to load, when somebody wants it."""
    if name == "AsyncClient":
        from zeropool.client.aio import AsyncClient  # noqa: PLC0415 - see the module's docstring

        return AsyncClient
    if name not in _OF_ZERORPC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from zeropool.client.results import named  # noqa: PLC0415 - see the module's docstring

    return named(name)
