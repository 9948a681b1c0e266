"""What the tables say of servers that were measured, failed, or could not be run."""

from pathlib import Path

import msgspec
import pytest
from claims import CLAIMS, judge
from machine import Machine
from page import NoSuchPartError, part, with_part
from summary import Report, markdown, summarise
from unit_points import made_point

REPOSITORY = Path(__file__).resolve().parents[3]
MACHINE = Machine(cpu="a CPU", cores=2, system="Linux", python="3.11", libzmq="4", packages={})


def report(points, not_run):
    servers = {"mosec": "Mosec", "zeropool-2": "Zeropool"}
    return Report(
        machine=MACHINE,
        seconds=1.0,
        rounds=2,
        duration_s=60.0,
        servers=servers,
        not_run=not_run,
        verdicts=[judge(claim, points) for claim in CLAIMS[:1]],
        lines=summarise(points, list(servers)),
        peak_rss_mib={"zeropool-2": {"gateway": 10.0, "worker-0": 20.0, "worker-1": 30.0}},
        points=points,
    )


def row(text, *beginning):
    (found,) = [line for line in text.splitlines() if line.startswith(f"| {' | '.join(beginning)}")]
    return [cell.strip() for cell in found.strip("|").split("|")]


def test_a_row_has_median_and_range_of_the_clean_rounds():
    points = [
        made_point("zeropool-2", 64, 1, calls_per_s=1000),
        made_point("zeropool-2", 64, 2, calls_per_s=3000),
    ]
    assert row(markdown(report(points, {})), "64", "Zeropool")[2:4] == ["2,000", "1,000 to 3,000"]


def test_a_server_that_could_not_be_run_says_why_at_each_load():
    points = [made_point("zeropool-2", load, 1) for load in (1, 64)]
    made = report(points, {"mosec": "No module named 'mosec'"})
    for load in ("1", "64"):
        assert row(markdown(made), load, "Mosec")[2] == "not run: No module named 'mosec'"
    assert "not run" in row(markdown(made), "Mosec", "64", "calls/s")
    assert not made.is_complete


def test_a_failed_round_is_told_and_leaves_the_run_incomplete():
    points = [
        made_point("zeropool-2", 64, 1, calls_per_s=1000),
        made_point("zeropool-2", 64, 2, unanswered=3),
    ]
    made = report(points, {})
    assert row(markdown(made), "64", "Zeropool (1 rounds failed)")[2] == "1,000"
    assert "FAILED: Zeropool, 64 in flight" in markdown(made)
    assert not made.is_complete


def test_only_a_clean_point_beside_other_load_is_worth_another_try():
    quiet = made_point("zeropool-2", 64, 1)
    beside_load = msgspec.structs.replace(quiet, other_cores=0.5)
    failed = msgspec.structs.replace(made_point("zeropool-2", 64, 1, unanswered=1), other_cores=0.5)
    assert [point.is_disturbed(0.25) for point in (quiet, beside_load, failed)] == [
        False,
        True,
        False,
    ]


def test_memory_is_summed_and_told_by_kind_of_process():
    text = markdown(report([made_point("zeropool-2", 64, 1)], {}))
    assert row(text, "Zeropool", "3") == ["Zeropool", "3", "60", "gateway 10; worker 20, 30"]


def test_a_part_of_a_page_is_replaced_and_the_rest_kept():
    page = "a\n<!-- peers: by a run -->\nold\n<!-- end of peers -->\nz\n"
    replaced = with_part(page, "peers", r"| new \1 |")
    assert part(replaced, "peers") == r"| new \1 |"
    assert replaced.startswith("a\n<!-- peers: by a run -->\n")
    assert replaced.endswith("\n<!-- end of peers -->\nz\n")


def test_a_page_without_the_part_is_refused():
    with pytest.raises(NoSuchPartError, match="peers stands 0 times"):
        with_part("nothing here", "peers", "x")


def test_the_page_has_the_tables_of_the_results_that_are_committed():
    results = REPOSITORY / "benchmarks/results/peers.json"
    made = msgspec.json.decode(results.read_bytes(), type=Report)
    page = (REPOSITORY / "docs/benchmarks.md").read_text()
    assert part(page, "peers") == markdown(made)
