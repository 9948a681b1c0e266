"""The baseline: a `zerorpc.Server` with the iris model, as its users write one.

One process, one model instance, no batching; the method that Zeropool serves under the same name.

    python benchmarks/zerorpc_server.py tcp://127.0.0.1:4242
"""

from __future__ import annotations

import sys
from typing import Any

import zerorpc
from iris_model.iris_predict import IrisModel  # type: ignore[import-not-found,unused-ignore]


class Flowers:
    """The service; `zerorpc.Server` exposes its public methods."""

    def __init__(self) -> None:
        self._model = IrisModel()
        self._model.warmup()

    def iris_model_predict(self, data: dict[str, Any]) -> dict[str, str]:
        """Name the species of one flower."""
        prediction: dict[str, str] = self._model.predict(data)
        return prediction


def main() -> None:
    """Serve the endpoint given as the only argument, until killed."""
    server = zerorpc.Server(Flowers())
    server.bind(sys.argv[1])
    server.run()


if __name__ == "__main__":
    main()
