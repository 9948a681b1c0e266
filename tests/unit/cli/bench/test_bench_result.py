"""From the windows of a trial to the figures of a load."""

import msgspec
import pytest

from zeropool.cli.bench.result import Point, point_of
from zeropool.cli.bench.trial import CpuTime, Phase, Rules, Trial

RULES = Rules(warm_up_s=1.0, window_s=2.0, tolerance=0.1, max_windows=10)


def trial_of(*windows):
    """A trial with so many answers of 1 ms and errors in each window of 2 s."""
    trial = Trial(RULES, 0.0, CpuTime(0.0, 0.0))
    trial.advance(1.0, CpuTime(0.5, 0.5))
    for number, (answers, errors) in enumerate(windows, 1):
        for _ in range(answers):
            trial.current.latencies.observe(0.001)
        trial.current.errors.update(errors)
        trial.current.lateness.observe(0.0002)
        trial.advance(1.0 + 2.0 * number, CpuTime(0.5 + 0.2 * number, 0.5 + 0.6 * number))
    return trial


def test_the_figures_are_those_of_the_last_three_windows():
    trial = trial_of((500, {"E": 9}), (1000, {"E": 1}), (1000, {}), (1000, {"F": 2}))

    point = point_of(16, trial)

    assert (point.load, point.verdict, point.answers) == (16, Phase.STABLE, 3000)
    assert point.seconds == pytest.approx(6.0)
    assert point.answers_per_s == pytest.approx(500.0)
    assert point.errors == {"F": 2, "E": 1}
    assert list(point.errors) == ["F", "E"]
    assert point.latency_ms.p50 == pytest.approx(1.0, rel=0.01)
    assert point.late_p99_ms == pytest.approx(0.2, rel=0.01)


def test_calls_that_were_open_at_the_end_and_failed_are_told():
    trial = trial_of((1000, {"Overloaded": 1}), (1000, {}), (1000, {}))
    trial.late_errors.update({"TimeoutExpired": 3, "Overloaded": 1})

    assert point_of(16, trial).errors == {"TimeoutExpired": 3, "Overloaded": 2}


def test_every_window_is_told():
    point = point_of(16, trial_of((500, {"E": 9}), (1000, {}), (1000, {}), (1000, {})))

    assert [(span.answers, span.errors) for span in point.windows] == [
        (500, 9),
        (1000, 0),
        (1000, 0),
        (1000, 0),
    ]
    assert point.windows[0].answers_per_s == pytest.approx(250.0)


def test_the_generators_share_is_that_of_its_busier_thread():
    assert point_of(1, trial_of((1000, {}))).generator_share == pytest.approx(0.3)


def test_a_trial_without_windows_is_no_point():
    trial = trial_of()
    trial.cut(1.5, CpuTime(0.0, 0.0))

    assert point_of(1, trial) is None


def test_a_load_without_answers_has_figures_too():
    point = point_of(1, trial_of((0, {"Overloaded": 500})))

    assert (point.verdict, point.answers, point.latency_ms.max) == (Phase.UNSTABLE, 0, 0.0)


def test_a_point_is_the_same_after_a_trip_through_json():
    point = point_of(16, trial_of((1000, {"E": 1})))

    assert msgspec.json.decode(msgspec.json.encode(point), type=Point) == point
