"""Mosec with the iris model: a Rust front, two worker processes, batches of up to 64.

As its documentation advises: MessagePack instead of JSON and a type that msgspec checks
(`TypedMsgPackMixin`, from its validation example), a worker for each core, dynamic batching with
the shortest wait that it allows, as "`max_wait_time` should be less than the batch inference
time" and this model's is far below that. Source: the README of mosec 0.9.8, "Configuration" and
"Performance tuning".

Its own command line says where it listens:

    python benchmarks/mosec_server.py --address 127.0.0.1 --port 8000
"""

from __future__ import annotations

import argparse

from flowers import Flower
from iris_model.iris_predict import IrisModel
from mosec import Server, Worker
from mosec.mixin import TypedMsgPackMixin
from ready import tell_ready

WORKERS = 2
#: Milliseconds; Mosec takes anything below for "not configured" and waits 10.
SHORTEST_WAIT_MS = 1


class Loaded(TypedMsgPackMixin, Worker):
    """One worker process with its model."""

    def __init__(self) -> None:
        super().__init__()
        self._model = IrisModel()
        self._model.warmup()
        tell_ready()


class Batches(Loaded):
    """Mosec takes from the annotation what each request must be."""

    def forward(self, data: list[Flower]) -> list[dict[str, str]]:
        """Name the species of many flowers."""
        return self._model.predict_batch(data)


class Singles(Loaded):
    """The same for requests that come one by one."""

    def forward(self, data: Flower) -> dict[str, str]:
        """Name the species of one flower."""
        return self._model.predict(data)


def main() -> None:
    """Serve until terminated; the other options are Mosec's own."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--max-batch-size", type=int, default=64)
    parser.add_argument("--max-wait-ms", type=int, default=SHORTEST_WAIT_MS)
    options, _ = parser.parse_known_args()
    server = Server()
    if options.max_batch_size > 1:
        server.append_worker(
            Batches,
            num=WORKERS,
            max_batch_size=options.max_batch_size,
            max_wait_time=options.max_wait_ms,
        )
    else:
        server.append_worker(Singles, num=WORKERS)
    server.run()


if __name__ == "__main__":
    main()
