"""From configuration to loaded models and a worker that runs."""

import logging
import os
import subprocess
import sys

import pytest

from zeropool.shared.config import Config, GatewaySettings, ModelSettings, WorkerSettings
from zeropool.shared.errors import ModelRefused
from zeropool.workers import start
from zeropool.workers.start import THREAD_VARIABLES, limit_threads, load, models_for, work

ECHO = ModelSettings(module_name="fixture_models.plain", class_name="EchoModel")
BATCH = ModelSettings(module_name="fixture_models.batching", class_name="BatchModel")


def refused(class_name, module="refused"):
    return ModelSettings(module_name=f"fixture_models.{module}", class_name=class_name)


def limited(model, workers):
    return ModelSettings(
        module_name=model.module_name, class_name=model.class_name, workers=workers
    )


@pytest.mark.parametrize(
    ("index", "chosen"),
    [(None, 3), (0, 3), (1, 2), (2, 1), (99, 1)],
)
def test_a_worker_holds_the_models_that_want_more_workers_than_stand_before_it(index, chosen):
    config = Config(models=(ECHO, limited(BATCH, 2), limited(BATCH, 1)))

    assert models_for(config, index) == list(config.models[:chosen])


def test_a_worker_without_a_model_is_refused():
    config = Config(models=(limited(ECHO, 2),))

    with pytest.raises(ModelRefused, match="no model for worker 2"):
        models_for(config, 2)


def test_a_model_whose_columns_are_not_used_is_told_of(caplog):
    models = (refused("UnusedColumnModel", "columnar"), refused("ColumnModel", "columnar"))

    with caplog.at_level(logging.WARNING):
        load(Config(models=models), None)

    assert [(each.message, each.fields["model"]) for each in caplog.records] == [
        ("predict_columns is not used", "unused_columns")
    ]
    for reason in ("without constraints", "closed to other keys", "pydantic"):
        assert reason in caplog.records[0].fields["reason"]


def test_the_threads_of_numerical_libraries_are_bounded(monkeypatch):
    for variable in THREAD_VARIABLES:
        monkeypatch.setenv(variable, "77")

    limit_threads(2)

    assert {os.environ[variable] for variable in THREAD_VARIABLES} == {"2"}


def test_no_numerical_library_is_loaded_before_its_threads_are_bounded():
    code = (
        "import sys, zeropool.workers.start, zeropool.cli.children\n"
        "print([name for name in ('numpy', 'onnxruntime', 'torch') if name in sys.modules])"
    )

    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ran.stdout.strip() == "[]"


def test_loaded_models_have_their_limits_and_are_warm():
    model = ModelSettings(
        module_name=BATCH.module_name,
        class_name=BATCH.class_name,
        max_batch_size=7,
        timeout_s=2.5,
        max_queue=11,
    )

    (loaded,) = load(Config(models=(model,)), None)

    info = loaded.info
    assert (info.max_batch_size, info.timeout_s, info.max_queue) == (7, 2.5, 11)
    assert loaded.model.is_warm


def test_a_model_without_a_queue_limit_has_the_gateways():
    (loaded,) = load(Config(models=(ECHO,), gateway=GatewaySettings(max_queue=123)), None)

    assert loaded.info.max_queue == 123


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (refused("EchoModel", "nowhere"), "can not import fixture_models.nowhere"),
        (refused("Absent", "plain"), "has no class Absent"),
        (refused("BrokenConstructor"), "FileNotFoundError: no weights"),
        (refused("BrokenWarmup"), "warmup raised OSError: no device"),
    ],
)
def test_a_model_that_cannot_be_served_is_refused_with_the_reason(model, reason):
    with pytest.raises(ModelRefused, match=reason):
        load(Config(models=(ECHO, model)), None)


def test_two_models_of_one_name_are_refused():
    with pytest.raises(ModelRefused, match="'echo' is taken by"):
        load(Config(models=(ECHO, ECHO)), None)


class FakeWorker:
    """Takes what `work` gives to a worker, and runs nothing."""

    made: "FakeWorker"
    error = None

    def __init__(self, models, settings, gateways, runtime_dir, **options):
        self.models = models
        self.settings = settings
        self.gateways = gateways
        self.runtime_dir = runtime_dir
        self.options = options
        FakeWorker.made = self

    def run(self):
        if self.error is not None:
            raise self.error


@pytest.fixture
def worker(monkeypatch):
    """The class of the worker that `work` makes; the threads stay as they are."""
    monkeypatch.setattr(start, "Worker", FakeWorker)
    for variable in THREAD_VARIABLES:
        monkeypatch.setenv(variable, "1")
    return FakeWorker


def test_work_gives_the_worker_its_models_and_waits(worker, tmp_path):
    patient = ModelSettings(
        module_name=BATCH.module_name, class_name=BATCH.class_name, max_wait_ms=250.0
    )
    config = Config(models=(ECHO, patient), worker=WorkerSettings(threads=3))

    work(config, index=None, gateways=["ipc:///g"], runtime_dir=tmp_path)

    made = worker.made
    waits_s = {model.info.qualified_name: model.info.max_wait_s for model in made.models}
    assert waits_s == {"echo": 0.0, "batch_size": 0.25}
    assert (made.settings, made.gateways) == (config.worker, ["ipc:///g"])
    assert made.runtime_dir == tmp_path
    assert os.environ["OMP_NUM_THREADS"] == "3"


def test_models_are_closed_when_the_worker_ends(worker, tmp_path):
    work(Config(models=(BATCH,)), index=0, gateways=[], runtime_dir=tmp_path)

    assert worker.made.models[0].model.is_closed


def test_models_are_closed_when_the_worker_fails(worker, tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "error", OSError("no socket"))

    with pytest.raises(OSError, match="no socket"):
        work(Config(models=(BATCH,)), index=0, gateways=[], runtime_dir=tmp_path)

    assert worker.made.models[0].model.is_closed


def test_a_model_that_fails_to_close_does_not_keep_the_next_one_open(
    worker, tmp_path, monkeypatch, caplog
):
    def fail(_):
        message = "still busy"
        raise RuntimeError(message)

    monkeypatch.setattr("fixture_models.plain.EchoModel.close", fail, raising=False)

    with caplog.at_level(logging.ERROR):
        work(Config(models=(ECHO, BATCH)), index=0, gateways=[], runtime_dir=tmp_path)

    assert worker.made.models[1].model.is_closed
    assert "still busy" in caplog.text
