"""What is asked, and what the right answer to it is: one flower of each species.

Measurements are centimetres. Source: rows 0, 50 and 100 of `sklearn.datasets.load_iris`.
"""

from __future__ import annotations

from typing import TypedDict


class Flower(TypedDict):
    """What msgspec checks a request against, in the servers that leave the type to their users."""

    sepal_length: float
    sepal_width: float
    petal_length: float
    petal_width: float


METHOD = "iris_model_predict"

#: The argument of a call, and the species that it must be answered with.
FLOWERS: tuple[tuple[dict[str, float], str], ...] = (
    (
        {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2},
        "setosa",
    ),
    (
        {"sepal_length": 7.0, "sepal_width": 3.2, "petal_length": 4.7, "petal_width": 1.4},
        "versicolor",
    ),
    (
        {"sepal_length": 6.3, "sepal_width": 3.3, "petal_length": 6.0, "petal_width": 2.5},
        "virginica",
    ),
)

#: The same for gRPC: /SERVICE/Predict.
SERVICE = "zeropool.benchmarks.Flowers"
