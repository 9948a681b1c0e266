"""The names of a model's methods."""

import pytest

from zeropool.shared.methods import model_of


@pytest.mark.parametrize(
    ("method", "model"),
    [
        ("iris_predict", "iris"),
        ("iris_predict_batch", "iris"),
        ("iris_predict_stream", "iris"),
        ("x_predict_predict", "x_predict"),
        ("get_models", None),
        ("predict", None),
    ],
)
def test_a_models_method_names_its_model(method, model):
    assert model_of(method) == model
