"""LitServe with the iris model: two worker processes, as many HTTP processes, batches of up to 64.

As its documentation advises: `workers_per_device` is the number of cores, `fast_queue` (ZeroMQ)
is on "for high-throughput scenarios (>100 RPS)", `num_api_servers` is left at the number of
workers ("recommended"), logs are at "warning" ("good for production"). Source: the docstrings of
LitServer and LitServer.run, litserve 0.2.19. Requests are JSON: it has no other form for a
record. `msgspec.convert` validates, `predict_batch` is called once for each batch.

    python benchmarks/litserve_server.py 8000
"""

from __future__ import annotations

import sys
from typing import Any

import litserve
import msgspec
from flowers import Flower
from iris_model.iris_predict import IrisModel
from ready import tell_ready

WORKERS = 2
MAX_BATCH_SIZE = 64
#: As long as Mosec waits. With 0, its default, an idle worker would keep a core busy.
BATCH_TIMEOUT_S = 0.001


class Flowers(litserve.LitAPI):
    """One worker process; LitServe calls the hooks in the order in which they stand here."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - there is only the CPU
        """Load the model."""
        self._model = IrisModel()
        self._model.warmup()
        tell_ready()

    # FastAPI would act on an annotation of `request`; without one, it is what the JSON says.
    def decode_request(self, request) -> Flower:  # type: ignore[no-untyped-def] # noqa: ANN001
        """Validate one record."""
        return msgspec.convert(request, Flower)

    def predict(self, x: list[Flower]) -> list[Any]:
        """Name the species of many flowers."""
        return self._model.predict_batch(x)


def main() -> None:
    """Serve until terminated."""
    api = Flowers(max_batch_size=MAX_BATCH_SIZE, batch_timeout=BATCH_TIMEOUT_S)
    server = litserve.LitServer(
        api, accelerator="cpu", devices=1, workers_per_device=WORKERS, fast_queue=True
    )
    server.run(
        host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", generate_client_file=False
    )


if __name__ == "__main__":
    main()
