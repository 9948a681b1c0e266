from __future__ import annotations

import pytest
from iris_model.iris_predict import IrisModel
from iris_model.records import MEASUREMENTS
from sklearn.datasets import load_iris


@pytest.fixture(scope="session")
def model():
    return IrisModel()


@pytest.fixture(scope="session")
def iris():
    return load_iris()


@pytest.fixture(scope="session")
def flowers(iris):
    """All 150 flowers of the data set, as a caller would send them."""
    return [dict(zip(MEASUREMENTS, row, strict=True)) for row in iris.data.tolist()]


@pytest.fixture
def flower():
    return {"sepal_length": 1.1, "sepal_width": 1.2, "petal_width": 1.3, "petal_length": 1.4}
