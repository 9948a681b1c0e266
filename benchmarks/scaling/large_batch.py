"""100,000 rows in one `predict_batch`, against the bare model in one process per core."""

from __future__ import annotations

import multiprocessing
import secrets
import statistics
import time
from multiprocessing.connection import Connection

import msgspec
import zmq
from flowers import FLOWERS
from pool import IRIS, Pool, cpu_s

ROWS = 100_000
ROUNDS = 5
#: What the bare model predicts at a time: as the worker does it, and as suits it best.
BATCH_SIZES = (64, 1024)
ANSWER_TIMEOUT_MS = 60_000


class RowsFigures(msgspec.Struct, frozen=True):
    """What a batch of 100,000 rows reaches. Rates are rows a second."""

    cores: int
    rows: int
    #: The bare model in one process per core, all at the same time, by rows of one call.
    bare_rows_per_s: dict[str, float]
    #: From the send of the encoded call to its encoded answer; medians.
    pool_rows_per_s: float
    #: The same with the client's encoding and decoding.
    with_client_rows_per_s: float
    #: The pool against the best bare model.
    share: float
    #: Microseconds of CPU time for each row.
    gateway_us: float
    workers_us: float
    client_encoding_us: float
    client_decoding_us: float


def measure(cores: int) -> RowsFigures:
    """Measure both, the bare model first."""
    bare = {str(size): _bare_rows_per_s(cores, size) for size in BATCH_SIZES}
    rows = [FLOWERS[index % len(FLOWERS)][0] for index in range(ROWS)]
    with Pool(IRIS, workers=cores) as pool:
        return _measure_pool(pool, rows, cores, bare)


def _measure_pool(
    pool: Pool, rows: list[dict[str, float]], cores: int, bare: dict[str, float]
) -> RowsFigures:
    call_s: list[float] = []
    whole_s: list[float] = []
    encoding_s: list[float] = []
    decoding_s: list[float] = []
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.setsockopt(zmq.LINGER, 0)
        dealer.setsockopt(zmq.RCVTIMEO, ANSWER_TIMEOUT_MS)
        dealer.connect(pool.endpoint)
        _call(dealer, rows)
        gateway_s, workers_s = cpu_s(pool.gateway_pids), cpu_s(pool.worker_pids)
        for _ in range(ROUNDS):
            began_at = time.perf_counter()
            sent_at, answered_at = _call(dealer, rows)
            ended_at = time.perf_counter()
            call_s.append(answered_at - sent_at)
            whole_s.append(ended_at - began_at)
            encoding_s.append(sent_at - began_at)
            decoding_s.append(ended_at - answered_at)
        gateway_s = cpu_s(pool.gateway_pids) - gateway_s
        workers_s = cpu_s(pool.worker_pids) - workers_s
    micro = 1e6 / ROWS
    return RowsFigures(
        cores=cores,
        rows=ROWS,
        bare_rows_per_s=bare,
        pool_rows_per_s=ROWS / statistics.median(call_s),
        with_client_rows_per_s=ROWS / statistics.median(whole_s),
        share=ROWS / statistics.median(call_s) / max(bare.values()),
        gateway_us=gateway_s / ROUNDS * micro,
        workers_us=workers_s / ROUNDS * micro,
        client_encoding_us=statistics.median(encoding_s) * micro,
        client_decoding_us=statistics.median(decoding_s) * micro,
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


def _bare_rows_per_s(cores: int, batch_size: int) -> float:
    """Rows a second of all processes together, each with its own model and decoded rows."""
    context = multiprocessing.get_context("spawn")
    pipes: list[Connection] = []
    processes = []
    for _ in range(cores):
        ours, theirs = context.Pipe()
        process = context.Process(target=_predict_bare, args=(theirs, batch_size))
        process.start()
        pipes.append(ours)
        processes.append(process)
    for pipe in pipes:
        pipe.recv()
    for pipe in pipes:
        pipe.send(None)
    rates: list[float] = [pipe.recv() for pipe in pipes]
    for process in processes:
        process.join()
    return sum(rates)


def _predict_bare(pipe: Connection, batch_size: int) -> None:
    from iris_model.iris_predict import IrisModel  # noqa: PLC0415 - only the child needs it

    model = IrisModel()
    model.warmup()
    rows = [dict(FLOWERS[index % len(FLOWERS)][0]) for index in range(ROWS)]
    pipe.send(None)
    pipe.recv()
    began_at = time.perf_counter()
    for _ in range(ROUNDS):
        for start in range(0, ROWS, batch_size):
            model.predict_batch(rows[start : start + batch_size])
    pipe.send(ROUNDS * ROWS / (time.perf_counter() - began_at))
