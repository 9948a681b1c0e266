"""100,000 rows in one `predict_batch`, against the bare model in one process per core."""

from __future__ import annotations

import contextlib
import multiprocessing
import secrets
import statistics
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection

import msgspec
import zmq
from flowers import FLOWERS
from pool import IRIS, Pool, cpu_s

ROWS = 100_000
ROUNDS = 9
#: What the bare model predicts at a time: as the worker does it, and as suits it best.
BATCH_SIZES = (64, 1024)
#: In the place of such a size: arrays of as many rows as a worker gives.
COLUMNS = -1024
ANSWER_TIMEOUT_MS = 60_000


class RowsFigures(msgspec.Struct, frozen=True):
    """What a batch of 100,000 rows reaches. Rates are rows a second."""

    cores: int
    rows: int
    #: The bare model in one process per core, all at the same time, by rows of one call.
    bare_rows_per_s: dict[str, float]
    #: The same of its `predict_columns`, given arrays.
    bare_columns_rows_per_s: float
    #: From the send of the encoded call to its encoded answer; medians.
    pool_rows_per_s: float
    #: The same of rows that name their fields in two orders: they are read one by one.
    unlike_rows_per_s: float
    #: The same with the client's encoding and decoding.
    with_client_rows_per_s: float
    #: The pool against the best bare model of the same round; the median.
    share: float
    #: Microseconds of CPU time for each row.
    gateway_us: float
    workers_us: float
    client_encoding_us: float
    client_decoding_us: float


def measure(cores: int) -> RowsFigures:
    """Measure both in turn: the machine's pace changes from minute to minute."""
    rows = [FLOWERS[index % len(FLOWERS)][0] for index in range(ROWS)]
    unlike = [row if index % 2 else _turned(row) for index, row in enumerate(rows)]
    with contextlib.ExitStack() as stack:
        bare = stack.enter_context(_bare_models(cores))
        pool = stack.enter_context(Pool(IRIS, workers=cores))
        context = stack.enter_context(zmq.Context())
        dealer = stack.enter_context(context.socket(zmq.DEALER))
        dealer.setsockopt(zmq.LINGER, 0)
        dealer.setsockopt(zmq.RCVTIMEO, ANSWER_TIMEOUT_MS)
        dealer.connect(pool.endpoint)
        _call(dealer, rows)
        rounds = [_round(bare, pool, dealer, rows, unlike) for _ in range(ROUNDS)]

    def median(of: Callable[[_Round], float]) -> float:
        return statistics.median(map(of, rounds))

    micro = 1e6 / ROWS
    return RowsFigures(
        cores=cores,
        rows=ROWS,
        bare_rows_per_s={
            str(size): statistics.median(each.bare_rows_per_s[index] for each in rounds)
            for index, size in enumerate(BATCH_SIZES)
        },
        bare_columns_rows_per_s=median(lambda each: each.bare_columns_rows_per_s),
        pool_rows_per_s=ROWS / median(lambda each: each.call_s),
        unlike_rows_per_s=ROWS / median(lambda each: each.unlike_call_s),
        with_client_rows_per_s=ROWS
        / median(lambda each: each.encoding_s + each.call_s + each.decoding_s),
        share=median(lambda each: ROWS / each.call_s / max(each.bare_rows_per_s)),
        gateway_us=median(lambda each: each.gateway_s) * micro,
        workers_us=median(lambda each: each.workers_s) * micro,
        client_encoding_us=median(lambda each: each.encoding_s) * micro,
        client_decoding_us=median(lambda each: each.decoding_s) * micro,
    )


def _turned(row: dict[str, float]) -> dict[str, float]:
    return dict(reversed(row.items()))


class _Round(msgspec.Struct, frozen=True):
    bare_rows_per_s: list[float]
    bare_columns_rows_per_s: float
    unlike_call_s: float
    encoding_s: float
    call_s: float
    decoding_s: float
    gateway_s: float
    workers_s: float


def _round(
    bare: list[Connection],
    pool: Pool,
    dealer: zmq.Socket[bytes],
    rows: list[dict[str, float]],
    unlike: list[dict[str, float]],
) -> _Round:
    bare_rows_per_s = [_bare_rows_per_s(bare, size) for size in BATCH_SIZES]
    bare_columns_rows_per_s = _bare_rows_per_s(bare, COLUMNS)
    # The pace of either, which sets the size of tasks, is learnt while the other is measured.
    sent_at, answered_at = _call(dealer, unlike)
    unlike_call_s = answered_at - sent_at
    _call(dealer, rows)
    gateway_s, workers_s = cpu_s(pool.gateway_pids), cpu_s(pool.worker_pids)
    began_at = time.perf_counter()
    sent_at, answered_at = _call(dealer, rows)
    ended_at = time.perf_counter()
    return _Round(
        bare_rows_per_s=bare_rows_per_s,
        bare_columns_rows_per_s=bare_columns_rows_per_s,
        unlike_call_s=unlike_call_s,
        encoding_s=sent_at - began_at,
        call_s=answered_at - sent_at,
        decoding_s=ended_at - answered_at,
        gateway_s=cpu_s(pool.gateway_pids) - gateway_s,
        workers_s=cpu_s(pool.worker_pids) - workers_s,
    )


def _call(dealer: zmq.Socket[bytes], rows: list[dict[str, float]]) -> tuple[float, float]:
    """One call; return when it was sent, encoded, and when the answer was there, encoded."""
    header = {"message_id": secrets.token_hex(16).encode(), "v": 3}
    payload = msgspec.msgpack.encode([header, "iris_model_predict_batch", [rows]])
    sent_at = time.perf_counter()
    dealer.send_multipart([b"", payload])
    answer = dealer.recv_multipart()[-1]
    answered_at = time.perf_counter()
    _, name, args = msgspec.msgpack.decode(answer)
    right = [{"species": FLOWERS[index % len(FLOWERS)][1]} for index in range(len(rows))]
    if name != "OK" or args[0] != {"predictions": right, "errors": []}:
        raise RuntimeError(f"wrong answer: {name} {str(args)[:200]}")
    return sent_at, answered_at


@contextlib.contextmanager
def _bare_models(cores: int) -> Iterator[list[Connection]]:
    """A process for each core with its own model and decoded rows, and the pipes to them."""
    context = multiprocessing.get_context("spawn")
    pipes: list[Connection] = []
    processes = []
    for _ in range(cores):
        ours, theirs = context.Pipe()
        process = context.Process(target=_predict_bare, args=(theirs,), daemon=True)
        process.start()
        pipes.append(ours)
        processes.append(process)
    for pipe in pipes:
        pipe.recv()
    yield pipes
    for pipe in pipes:
        pipe.send(0)
    for process in processes:
        process.join()


def _bare_rows_per_s(pipes: list[Connection], batch_size: int) -> float:
    """Rows a second of all of them at the same time; `COLUMNS` is a size, too."""
    for pipe in pipes:
        pipe.send(batch_size)
    rates: list[float] = [pipe.recv() for pipe in pipes]
    return sum(rates)


def _predict_bare(pipe: Connection) -> None:
    import numpy as np  # noqa: PLC0415 - only the child needs these
    from iris_model.iris_predict import IrisModel  # noqa: PLC0415

    model = IrisModel()
    model.warmup()
    rows = [dict(FLOWERS[index % len(FLOWERS)][0]) for index in range(ROWS)]
    pipe.send(None)
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    while batch_size := pipe.recv():
        began_at = time.perf_counter()
        if batch_size == COLUMNS:
            for start in range(0, ROWS, -COLUMNS):
                end = start - COLUMNS
                model.predict_columns({name: all_[start:end] for name, all_ in columns.items()})
        else:
            for start in range(0, ROWS, batch_size):
                model.predict_batch(rows[start : start + batch_size])
        pipe.send(ROWS / (time.perf_counter() - began_at))
