"""gRPC for Python with the iris model: two processes that share a port by SO_REUSEPORT.

As its documentation advises for work that is bound by the CPU: a process for each core, each with
a server of its own on the same port (grpc/grpc, examples/python/multiprocessing), and asyncio,
which "could improve performance" (grpc.io, "Performance Best Practices", Python). Messages are
bytes that msgspec decodes and validates, in the place of protobuf. gRPC knows no batches, so each
call is one `predict`.

    python benchmarks/grpc_server.py 127.0.0.1:50051
"""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
import sys

import grpc
import msgspec
from flowers import SERVICE, Flower
from iris_model.iris_predict import IrisModel
from ready import tell_ready

PROCESSES = 2


class Flowers:
    """The service's one method."""

    def __init__(self) -> None:
        self._model = IrisModel()
        self._model.warmup()
        self._decode = msgspec.msgpack.Decoder(Flower).decode
        self._encode = msgspec.msgpack.Encoder().encode

    async def predict(self, request: bytes, context: grpc.aio.ServicerContext) -> bytes:  # noqa: ARG002
        """Name the species of one flower."""
        return self._encode(self._model.predict(self._decode(request)))


async def _serve(address: str) -> None:
    method = grpc.unary_unary_rpc_method_handler(Flowers().predict)
    server = grpc.aio.server(options=[("grpc.so_reuseport", 1)])
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(SERVICE, {"Predict": method}),)
    )
    server.add_insecure_port(address)
    await server.start()
    tell_ready()
    await server.wait_for_termination()


def _run(address: str) -> None:
    asyncio.run(_serve(address))


def main() -> None:
    """Serve until terminated."""
    # The processes are daemons: they end with this one, which does not take calls itself.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    spawn = multiprocessing.get_context("spawn")
    processes = [
        spawn.Process(target=_run, args=(sys.argv[1],), daemon=True) for _ in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


if __name__ == "__main__":
    main()
