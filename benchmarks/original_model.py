"""The iris model as models for the original service are written.

The whole record goes through `schema` in pure Python, and scikit-learn is asked about one row at a
time. It knows nothing of batches. The classifier is of the kind that iris-model's network was
exported from; it is fitted here, from the flowers that scikit-learn bundles, instead of being
loaded from a pickle.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from schema import Or, Schema
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

#: It converges in about a tenth of these.
MAX_ITERATIONS = 1000


class OriginalIrisModel:
    """Names the species of an iris; constructing one fits the classifier."""

    display_name = "Iris Model"
    qualified_name = "iris_model"
    description = "Predicts the species of a flower from its measurements."
    major_version = 0
    minor_version = 1
    input_schema = Schema(
        {
            "sepal_length": float,
            "sepal_width": float,
            "petal_length": float,
            "petal_width": float,
        }
    )
    output_schema = Schema({"species": Or("setosa", "versicolor", "virginica")})

    def __init__(self) -> None:
        iris = load_iris()
        self._species = iris.target_names.tolist()
        self._classifier = LogisticRegression(max_iter=MAX_ITERATIONS)
        self._classifier.fit(iris.data, iris.target)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.major_version}.{self.minor_version}>"

    def predict(self, data: dict[str, Any]) -> dict[str, str]:
        """Name the species of one flower, measured in centimetres.

        Raises:
            schema.SchemaError: The data is anything else than four floats by name.
        """
        self.input_schema.validate(data)
        row = np.array(
            [
                data["sepal_length"],
                data["sepal_width"],
                data["petal_length"],
                data["petal_width"],
            ]
        ).reshape(1, -1)
        return {"species": self._species[int(self._classifier.predict(row)[0])]}
