"""The baseline: a `zerorpc.Server` with an iris model, as its users write one.

One process, one model instance, no batching; the method that Zeropool serves under the same name.

    python benchmarks/zerorpc_server.py tcp://127.0.0.1:4242 --model original
"""

from __future__ import annotations

import argparse
import importlib
from typing import Any

import zerorpc
from flowers import FLOWERS
from ready import tell_ready

#: The class of each model, by the name it has on the command line.
MODELS = {
    "today": ("iris_model.iris_predict", "IrisModel"),
    "original": ("original_model", "OriginalIrisModel"),
}


class Flowers:
    """The service; `zerorpc.Server` exposes its public methods."""

    def __init__(self, model: Any) -> None:  # noqa: ANN401 - either of two classes
        self._model = model

    def iris_model_predict(self, data: dict[str, Any]) -> dict[str, str]:
        """Name the species of one flower."""
        prediction: dict[str, str] = self._model.predict(data)
        return prediction


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("endpoint")
    parser.add_argument("--model", choices=MODELS, default="today")
    options = parser.parse_args()
    module_name, class_name = MODELS[options.model]
    model = getattr(importlib.import_module(module_name), class_name)()
    model.predict(FLOWERS[0][0])
    server = zerorpc.Server(Flowers(model))
    server.bind(options.endpoint)
    tell_ready()
    server.run()


if __name__ == "__main__":
    main()
