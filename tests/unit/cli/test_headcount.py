"""How many workers there are, may be, and are after a reload."""

import pytest

from zeropool.cli.headcount import count_after_reload, most_workers, worker_count
from zeropool.shared.config import Config, ModelSettings, WorkerSettings


def config(count, *limits):
    """A configuration of so many workers, with a model for each limit of its workers."""
    models = tuple(
        ModelSettings(module_name="m", class_name="M", workers=limit) for limit in limits
    )
    return Config(worker=WorkerSettings(count=count), models=models)


@pytest.mark.parametrize(
    ("count", "limits", "expected"),
    [
        (0, (0,), 4),
        (0, (1,), 1),
        (0, (1, 3), 3),
        (0, (1, 0), 4),
        (0, (9,), 4),
        (2, (1,), 2),
    ],
)
def test_there_are_as_many_workers_as_cores_unless_some_had_no_model(count, limits, expected):
    assert worker_count(config(count, *limits), cores=4) == expected


@pytest.mark.parametrize(
    ("count", "limits", "expected"),
    [
        (0, (0,), 8),
        (3, (0,), 8),
        (20, (0,), 20),
        (1, (3, 5), 5),
        (1, (3, 0), 8),
        (7, (2,), 7),
    ],
)
def test_no_more_are_started_than_cores_and_models_can_use(count, limits, expected):
    assert most_workers(config(count, *limits), cores=2) == expected


def test_a_reload_keeps_the_number_that_was_asked_for_by_signal():
    assert count_after_reload(config(2, 0), config(2, 0), running=5, cores=2) == 5


@pytest.mark.parametrize("count", [1, 3])
def test_a_reload_with_another_number_is_obeyed(count):
    assert count_after_reload(config(2, 0), config(count, 0), running=5, cores=2) == count


def test_after_a_reload_no_worker_is_left_without_a_model():
    assert count_after_reload(config(2, 0), config(2, 2), running=5, cores=2) == 2
