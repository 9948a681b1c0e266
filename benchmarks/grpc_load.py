"""The load generator for gRPC servers: its C core's asyncio client, on a few channels.

A closed loop of as many coroutines as there are calls in flight; messages are bytes that were
packed beforehand. Each channel is a connection of its own, so that processes which share a port
share the calls. Source: grpc.io, "Performance Best Practices", a pool of channels.

    python benchmarks/grpc_load.py 127.0.0.1:50051 --in-flight 64 --seconds 3 </dev/null
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from typing import Any

import grpc
import msgspec
from driver import ANSWER_TIMEOUT_S, drive
from flowers import FLOWERS, SERVICE
from tally import Count, Tally

#: The kernel deals connections out to two processes by chance: with 16, hardly all to one.
MOST_CHANNELS = 16

_REQUESTS = [msgspec.msgpack.encode(row) for row, _ in FLOWERS]
_RIGHT = [msgspec.msgpack.encode({"species": species}) for _, species in FLOWERS]


class GrpcLoad:
    """A closed loop of calls over some channels."""

    def __init__(self, runner: asyncio.Runner, calls: list[Any]) -> None:
        self._runner = runner
        self._calls = calls

    def __repr__(self) -> str:
        return f"<GrpcLoad channels={len(self._calls)}>"

    def measure(self, in_flight: int, seconds: float) -> Tally:
        """Keep ``in_flight`` calls open for so long, wait for the last, and count."""
        return self._runner.run(self._measure(in_flight, seconds))

    async def _measure(self, in_flight: int, seconds: float) -> Tally:
        count = Count()
        end_at = count.began_at + seconds
        lost = await asyncio.gather(
            *(self._caller(number, count, end_at) for number in range(in_flight))
        )
        return count.tally(in_flight, unanswered=sum(lost))

    async def _caller(self, number: int, count: Count, end_at: float) -> int:
        """Call again and again; tell how many calls had no answer in the end: none or one."""
        call = self._calls[number % len(self._calls)]
        now = time.perf_counter()
        while now < end_at:
            flower = number % len(FLOWERS)
            number += 1
            sent_at = now
            try:
                answer = await call(_REQUESTS[flower], timeout=ANSWER_TIMEOUT_S)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                    return 1
                now = time.perf_counter()
                count.wrong(f"{error.code()}: {error.details()}", now)
                continue
            now = time.perf_counter()
            if answer == _RIGHT[flower]:
                count.right(sent_at, now)
            else:
                count.wrong(f"wrong answer {answer!r}", now)
        return 0


@contextlib.contextmanager
def _connected(address: str, in_flight: int) -> Iterator[GrpcLoad]:
    with asyncio.Runner() as runner:
        channels = runner.run(_open(address, min(in_flight, MOST_CHANNELS)))
        yield GrpcLoad(runner, [channel.unary_unary(f"/{SERVICE}/Predict") for channel in channels])
        for channel in channels:
            runner.run(channel.close())


async def _open(address: str, count: int) -> list[Any]:
    # With a pool of its own, no channel takes another's connection.
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(address, options=options) for _ in range(count)]
    for channel in channels:
        await channel.channel_ready()
    return channels


if __name__ == "__main__":
    drive(_connected, __doc__)
