"""A short form of each experiment; what is a matter of speed is judged in the long ones only.

The long ones are commands, see `make help`.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos import detection, hung, kills, poison, program, readyz, rolls, soak
from chaos.findings import EXIT_BROKEN, Findings, fit, percentile

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def folder() -> Iterator[Path]:
    with program.private_folder() as path:
        yield path


def assert_kept(findings: Findings) -> None:
    print("\n".join(findings.lines()))  # noqa: T201 - shown where the test fails
    assert findings.promises
    assert [promise for promise in findings.broken if not promise.is_speed] == []


def test_every_call_has_one_right_answer_while_workers_die_freeze_and_lie(folder: Path):
    plan = kills.Plan(requests=2_000, kills=8, freezes=3, garbage=100, hangs=1)
    assert_kept(kills.run(plan, folder))


def test_a_lost_workers_job_starts_on_another(folder: Path):
    assert_kept(detection.run(detection.Plan(kills=2, loaded_kills=2, freezes=1), folder))


def test_a_job_that_kills_its_workers_harms_nobody_else(folder: Path):
    assert_kept(poison.run(poison.Plan(doses=(1, 2)), folder))


def test_a_prediction_that_hangs_with_the_lock_is_ended_and_answered(folder: Path):
    assert_kept(hung.run(hung.Plan(limits_s=(1.0,), hangs=1, quiet_s=1.0), folder))


def test_rolling_workers_and_ending_gateways_lose_nothing_that_was_accepted(folder: Path):
    assert_kept(rolls.run(rolls.Plan(rolls=3, gateway_terms=3), folder))


def test_readyz_says_so_when_the_last_worker_is_gone_and_when_there_is_one_again(folder: Path):
    assert_kept(readyz.run(readyz.Plan(deaths=2), folder))


def test_a_short_soak_leaves_no_descriptors_behind(folder: Path):
    assert_kept(soak.run(soak.Plan(minutes=0.2), folder))


# The instruments


def test_a_broken_promise_is_an_exit_code_and_stands_in_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    findings = Findings("lifting", {"seed": 1})
    findings.expect("it holds", True, 1)
    assert findings.publish(None) == 0
    findings.expect("it does not break", False, "two halves")
    out = tmp_path / "new" / "lifting.json"
    assert findings.publish(out) == EXIT_BROKEN
    assert re.search(r"BROKEN it does not break: two halves", capsys.readouterr().out)
    assert '"kept": false' in out.read_text()


def test_the_plan_of_a_seed_is_always_the_same():
    plan = kills.Plan(seed=5)
    assert plan.faults() == kills.Plan(seed=5).faults()
    assert plan.faults() != kills.Plan(seed=6).faults()
    assert [kind for _, kind in plan.faults()].count("kill") == plan.kills


def test_slopes_and_percentiles_are_those_of_the_textbook():
    line = fit([(0.0, 1.0), (1.0, 3.0), (2.0, 5.0), (3.0, 7.0)])
    assert (line.slope, line.error) == (2.0, 0.0)
    assert percentile([float(n) for n in range(1, 101)], 0.99) == 99.0
    assert percentile([3.0], 0.5) == 3.0
