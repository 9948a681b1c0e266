"""What the iris model is known by, on the wire: rows, its entry in get_models, its complaint."""

from typing import Any

SETOSA = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
VIRGINICA = {"sepal_length": 6.3, "sepal_width": 3.3, "petal_length": 6.0, "petal_width": 2.5}
WHOLE_NUMBERS = {"sepal_length": 7, "sepal_width": 3, "petal_length": 6, "petal_width": 2}
BAD_ROW = SETOSA | {"petal_width": "abc"}

REJECTED = "MLModelSchemaValidationException"
REJECTION = (
    "Failed to validate input data: Key 'petal_width' error: 'abc' should be instance of 'float'"
)

MODEL = {
    "display_name": "Iris Model",
    "qualified_name": "iris_model",
    "description": "A machine learning model for predicting the species of a flower "
    "based on its measurements.",
    "major_version": 0,
    "minor_version": 1,
}


def is_a_prediction(value: Any) -> bool:
    """Tells `{"species": "some text"}` from anything else, whatever the species are called."""
    if not isinstance(value, dict) or set(value) != {"species"}:
        return False
    return isinstance(value["species"], str) and bool(value["species"])
