from __future__ import annotations

import math
import pickle
import subprocess
import sys

import numpy as np
import pytest
from iris_model.errors import MLModelSchemaValidationException
from iris_model.iris_predict import IrisModel
from iris_model.records import MEASUREMENTS
from schema import Schema


class CountingSession:
    """An ONNX Runtime session that remembers how many rows each run had."""

    def __init__(self, session):
        self._session = session
        self.runs = []

    def run(self, outputs, inputs):
        self.runs.append(len(inputs["measurements"]))
        return self._session.run(outputs, inputs)


@pytest.fixture
def counted():
    model = IrisModel()
    model._session = CountingSession(model._session)
    return model


def test_the_model_describes_itself(model):
    assert model.qualified_name == "iris_model"
    assert model.display_name == "Iris Model"
    assert (model.major_version, model.minor_version) == (0, 1)
    assert model.description == (
        "A machine learning model for predicting the species of a flower based on its measurements."
    )
    assert isinstance(model.input_schema, Schema)
    assert isinstance(model.output_schema, Schema)
    assert model.retry_safe is True
    assert repr(model) == "<IrisModel 0.1>"


def test_the_example_flower_is_a_setosa(model, flower):
    assert model.predict(flower) == {"species": "setosa"}


def test_integers_predict_what_the_same_floats_do(model):
    for whole in ((5, 3, 1, 0), (6, 3, 4, 1), (7, 3, 6, 2)):
        integers = dict(zip(MEASUREMENTS, whole, strict=True))
        floats = dict(zip(MEASUREMENTS, map(float, whole), strict=True))
        assert model.predict(integers) == model.predict(floats)


def test_a_prediction_follows_the_output_schema(model, flowers):
    for flower in flowers:
        prediction = model.predict(flower)
        assert model.output_schema.validate(prediction) == prediction
        assert type(prediction["species"]) is str


def test_predicting_leaves_the_input_alone(model, flower):
    before = dict(flower)
    model.predict(flower)
    assert flower == before


def test_invalid_data_raises_the_validation_exception(model, flower):
    with pytest.raises(MLModelSchemaValidationException) as caught:
        model.predict(flower | {"petal_width": "abc"})
    assert str(caught.value) == (
        "Failed to validate input data: "
        "Key 'petal_width' error: 'abc' should be instance of 'float'"
    )


def test_nan_raises_instead_of_naming_a_species(model, flower):
    with pytest.raises(MLModelSchemaValidationException, match="nan should be between"):
        model.predict(flower | {"petal_width": math.nan})


def test_the_validation_exception_survives_the_way_between_processes(model):
    with pytest.raises(MLModelSchemaValidationException) as caught:
        model.predict({})
    copy = pickle.loads(pickle.dumps(caught.value))  # noqa: S301  our own bytes
    assert type(copy) is MLModelSchemaValidationException
    assert str(copy) == str(caught.value)


def test_a_batch_predicts_what_single_calls_do(model, flowers):
    assert len(flowers) == 150
    assert model.predict_batch(flowers) == [model.predict(flower) for flower in flowers]


def test_a_batch_is_one_run_of_the_network(counted, flowers):
    counted.predict_batch(flowers)
    assert counted._session.runs == [150]


def test_a_batch_of_one_is_allowed(model, flower):
    assert model.predict_batch([flower]) == [{"species": "setosa"}]


def test_an_empty_batch_runs_nothing(counted):
    assert counted.predict_batch([]) == []
    assert counted._session.runs == []


def test_a_batch_of_bad_rows_runs_nothing(counted):
    rejections = counted.predict_batch([{}, None])
    assert [type(rejection) for rejection in rejections] == [MLModelSchemaValidationException] * 2
    assert counted._session.runs == []


def test_bad_rows_keep_their_places_and_spoil_no_others(counted, flowers):
    bad = {
        0: flowers[0] | {"petal_width": "abc"},
        70: None,
        71: flowers[71] | {"sepal_length": 10**400},
        149: {},
    }
    rows = [bad.get(index, flower) for index, flower in enumerate(flowers)]
    results = counted.predict_batch(rows)
    assert counted._session.runs == [146]
    for index, (result, flower) in enumerate(zip(results, flowers, strict=True)):
        if index not in bad:
            assert result == counted.predict(flower)
            continue
        with pytest.raises(MLModelSchemaValidationException) as caught:
            counted.predict(bad[index])
        assert type(result) is MLModelSchemaValidationException
        assert str(result) == str(caught.value)


@pytest.mark.parametrize(
    "value",
    [True, "1", None, math.nan, -math.inf, 1e9 + 1, int(1e9) + 1, 2**64, 10**400, np.float64(1.5)],
)
def test_one_odd_measurement_among_many_is_told_as_alone(counted, flowers, value):
    rows = [*flowers[:70], flowers[70] | {"petal_length": value}, *flowers[71:]]

    found = counted.predict_batch(rows)

    assert len(counted._session.runs) == 1
    for row, each in zip(rows, found, strict=True):
        (expected,) = counted.predict_batch([row])
        assert repr(each) == repr(expected)


def columns_of(rows):
    return {name: np.array([row[name] for row in rows]) for name in MEASUREMENTS}


def test_columns_predict_what_rows_do(model, flowers):
    found = model.predict_columns(columns_of(flowers))

    assert list(found) == ["species"]
    assert {type(species) for species in found["species"]} == {str}
    predictions = model.predict_batch(flowers)
    assert found["species"].tolist() == [each["species"] for each in predictions]


def test_columns_are_one_run_of_the_network(counted, flowers):
    counted.predict_columns(columns_of(flowers))
    assert counted._session.runs == [150]


@pytest.mark.parametrize("value", [math.nan, math.inf, -1e10, 1e10, 1e300])
def test_a_measurement_out_of_bounds_is_told_as_in_a_row_and_spoils_no_other(model, flowers, value):
    rows = [*flowers[:70], flowers[70] | {"petal_length": value}, *flowers[71:]]

    found = model.predict_columns(columns_of(rows))

    expected = model.predict_batch(rows)
    assert type(found[70]) is MLModelSchemaValidationException
    assert list(map(repr, found)) == list(map(repr, expected))


def test_equal_predictions_of_a_batch_are_separate_records(model, flower):
    first, second = model.predict_batch([flower, flower])
    assert first == second
    assert first is not second


def test_warming_up_runs_the_network(counted):
    counted.warmup()
    assert counted._session.runs == [1]


def test_serving_needs_neither_the_server_nor_the_training_libraries():
    program = (
        "import sys\n"
        "for name in ('zeropool', 'sklearn', 'skl2onnx', 'onnx'):\n"
        "    sys.modules[name] = None\n"
        "from iris_model.iris_predict import IrisModel\n"
        "names = ('sepal_length', 'sepal_width', 'petal_length', 'petal_width')\n"
        "print(IrisModel().predict(dict.fromkeys(names, 1.0)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "{'species': 'setosa'}\n"
