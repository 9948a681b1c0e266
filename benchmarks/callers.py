"""One process that calls a gateway as a user of one of the clients would: `callers.py KIND …`.

Waits for a line on standard input, calls for some seconds, tells a line of JSON (`Round`), and so
on until its input ends. Every answer is compared with the right one.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import msgspec
from flowers import FLOWERS, METHOD

MODEL = METHOD.removesuffix("_predict")
RIGHT = [{"species": species} for _, species in FLOWERS]


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one round."""

    #: From the first call to the last answer.
    seconds: float
    #: Right answers.
    answers: int
    wrong: int
    #: CPU time of the whole process, all threads.
    cpu_s: float


class Count:
    """Answers of one caller, or of many that never run at the same time."""

    def __init__(self, end_at: float) -> None:
        self.right = 0
        self.wrong = 0
        self._end_at = end_at

    def rows(self) -> Iterator[tuple[int, dict[str, float]]]:
        """Rows to ask for, until the time is over."""
        numbered = [(number, row) for number, (row, _) in enumerate(FLOWERS)]
        clock, end_at = time.perf_counter, self._end_at
        for row in itertools.cycle(numbered):
            if clock() >= end_at:
                return
            yield row

    def take(self, number: int, answer: object) -> None:
        """Compare one answer with the right one."""
        if answer == RIGHT[number]:
            self.right += 1
        else:
            self.wrong += 1


#: Calls until the time is over; tells what each of its callers counted.
Work = Callable[[float], list[Count]]


def zerorpc_greenlets(endpoint: str, callers: int) -> Work:
    """As its users share one `zerorpc.Client`: by greenlets."""
    import zerorpc  # noqa: PLC0415 - only this process needs it

    client = zerorpc.Client(endpoint)
    return _greenlets([client] * callers)


def zerorpc_clients(endpoint: str, callers: int) -> Work:
    """A `zerorpc.Client` for each greenlet."""
    import zerorpc  # noqa: PLC0415 - only this process needs it

    return _greenlets([zerorpc.Client(endpoint) for _ in range(callers)])


def _greenlets(clients: list[Any]) -> Work:
    import gevent  # noqa: PLC0415 - only this process needs it

    def work(end_at: float) -> list[Count]:
        counts = [Count(end_at) for _ in clients]
        pairs = zip(clients, counts, strict=True)
        gevent.joinall([gevent.spawn(_call, *pair) for pair in pairs], raise_error=True)
        return counts

    return work


def _call(client: Any, count: Count) -> None:  # noqa: ANN401 - either client
    for number, row in count.rows():
        count.take(number, client.iris_model_predict(row))


def threads(endpoint: str, callers: int) -> Work:
    """Our `Client`, shared by threads."""
    from zeropool.client import Client  # noqa: PLC0415 - only this process needs it

    client = Client(endpoint)

    def work(end_at: float) -> list[Count]:
        counts = [Count(end_at) for _ in range(callers)]
        running = [threading.Thread(target=_call, args=(client, count)) for count in counts[1:]]
        for thread in running:
            thread.start()
        _call(client, counts[0])
        for thread in running:
            thread.join()
        return counts

    return work


def predict_many(endpoint: str, callers: int) -> Work:
    """Our `Client` with a window of calls in flight, from one thread."""
    from zeropool.client import Client  # noqa: PLC0415 - only this process needs it

    client = Client(endpoint)

    def work(end_at: float) -> list[Count]:
        count = Count(end_at)
        rows = (row for _, row in count.rows())
        answers = client.predict_many(MODEL, rows, window=callers)
        for number, answer in enumerate(answers):
            count.take(number % len(FLOWERS), answer)
        return [count]

    return work


def tasks(endpoint: str, callers: int) -> Work:
    """Our `AsyncClient`, shared by tasks."""
    from zeropool.client import AsyncClient  # noqa: PLC0415 - only this process needs it

    loop = asyncio.new_event_loop()
    client = AsyncClient(endpoint)

    async def call(count: Count) -> None:
        for number, row in count.rows():
            count.take(number, await client.iris_model_predict(row))

    async def all_calls(counts: list[Count]) -> None:
        await asyncio.gather(*map(call, counts))

    def work(end_at: float) -> list[Count]:
        counts = [Count(end_at) for _ in range(callers)]
        loop.run_until_complete(all_calls(counts))
        return counts

    return work


def async_predict_many(endpoint: str, callers: int) -> Work:
    """Our `AsyncClient` with a window of calls in flight, from one task."""
    from zeropool.client import AsyncClient  # noqa: PLC0415 - only this process needs it

    loop = asyncio.new_event_loop()
    client = AsyncClient(endpoint)

    async def call(count: Count) -> None:
        rows = (row for _, row in count.rows())
        answers: AsyncIterator[object] = client.predict_many(MODEL, rows, window=callers)
        number = 0
        async for answer in answers:
            count.take(number % len(FLOWERS), answer)
            number += 1

    def work(end_at: float) -> list[Count]:
        count = Count(end_at)
        loop.run_until_complete(call(count))
        return [count]

    return work


KINDS: dict[str, Callable[[str, int], Work]] = {
    kind.__name__.replace("_", "-"): kind
    for kind in (
        *(zerorpc_greenlets, zerorpc_clients, threads, predict_many),
        *(tasks, async_predict_many),
    )
}


def measure(work: Work, seconds: float) -> Round:
    """Call for so long; count and time it."""
    began_at, began_cpu_s = time.perf_counter(), time.process_time()
    counts = work(began_at + seconds)
    return Round(
        seconds=time.perf_counter() - began_at,
        answers=sum(count.right for count in counts),
        wrong=sum(count.wrong for count in counts),
        cpu_s=time.process_time() - began_cpu_s,
    )


def main() -> None:
    """Measure once for each line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("endpoint")
    parser.add_argument("--callers", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    work = KINDS[options.kind](options.endpoint, options.callers)
    for _ in sys.stdin:
        told = measure(work, options.seconds)
        sys.stdout.write(msgspec.json.encode(told).decode() + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
