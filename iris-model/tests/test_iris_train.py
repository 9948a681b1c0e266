from __future__ import annotations

import ast
from importlib.resources import files
from pathlib import Path

import iris_model
import numpy as np
import onnx
import pytest
from iris_model import iris_train
from iris_model.iris_predict import PARAMETERS, open_session

PACKAGE = Path(iris_model.__file__).parent
SHIPPED = files("iris_model").joinpath(PARAMETERS)


@pytest.fixture(scope="session")
def retrained(tmp_path_factory):
    path = tmp_path_factory.mktemp("parameters") / "iris_model.onnx"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["iris_train", "--output", str(path)])
        iris_train.main()
    return path.read_bytes()


def labels_of(network, rows):
    (labels,) = open_session(network).run(["label"], {"measurements": rows.astype(np.float32)})
    return labels


def provenance_of(network):
    return open_session(network).get_modelmeta().custom_metadata_map


def test_the_shipped_network_says_how_good_it_is():
    provenance = provenance_of(SHIPPED.read_bytes())
    assert float(provenance["accuracy"]) >= 0.93
    assert float(provenance["cross_validated_accuracy"]) >= 0.93


def test_the_shipped_network_says_where_it_comes_from():
    provenance = provenance_of(SHIPPED.read_bytes())
    assert provenance["training_samples"] == "105"
    assert provenance["held_out_samples"] == "45"
    assert provenance["seed"] == "0"
    assert provenance["sklearn_version"]
    assert sorted(provenance) == [
        "accuracy",
        "cross_validated_accuracy",
        "held_out_samples",
        "seed",
        "sklearn_version",
        "training_samples",
    ]


def test_the_shipped_network_is_right_about_most_flowers(iris):
    labels = labels_of(SHIPPED.read_bytes(), iris.data)
    assert np.mean(labels == iris.target) >= 0.93


def test_the_shipped_network_is_valid_and_small():
    network = SHIPPED.read_bytes()
    onnx.checker.check_model(onnx.load_from_string(network), full_check=True)
    assert len(network) < 4096


def test_training_again_reproduces_the_shipped_decisions(retrained, iris):
    axes = [
        np.linspace(low, high, 9)
        for low, high in zip(iris.data.min(0), iris.data.max(0), strict=True)
    ]
    grid = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 4)
    shipped = SHIPPED.read_bytes()
    assert (labels_of(retrained, iris.data) == labels_of(shipped, iris.data)).all()
    # Another version of the solver may shift the borders between species by a hair.
    assert np.mean(labels_of(retrained, grid) == labels_of(shipped, grid)) >= 0.999


def test_training_twice_writes_the_same_bytes(retrained):
    again = iris_train.to_onnx(iris_train.train()).SerializeToString(deterministic=True)
    assert again == retrained


def test_the_exported_network_decides_as_the_classifier_does(iris):
    trained = iris_train.train()
    network = iris_train.to_onnx(trained).SerializeToString()
    assert (labels_of(network, iris.data) == trained.classifier.predict(iris.data)).all()


def test_training_prints_the_accuracy(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("sys.argv", ["iris_train", "--output", str(tmp_path / "iris.onnx")])
    iris_train.main()
    printed = capsys.readouterr().out
    assert printed.startswith("accuracy ")
    assert "on 45 held-out flowers" in printed


def test_data_with_other_species_is_refused(monkeypatch):
    monkeypatch.setattr("iris_model.iris_train.SPECIES", ("rose", "tulip", "lily"))
    with pytest.raises(ValueError, match="the data has the species"):
        iris_train.train()


def test_nothing_is_pickled():
    shipped = [path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert {path.suffix for path in shipped} == {".py", ".typed", ".onnx"}
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        names = {alias.name for node in imports for alias in node.names}
        names |= {node.module for node in imports if isinstance(node, ast.ImportFrom)}
        roots = {name.partition(".")[0] for name in names if name}
        assert not roots & {"pickle", "joblib", "dill", "cloudpickle"}
