"""Short versions of the experiments, without what depends on the speed of the machine."""

from overload.books import Books, lowest_rate, milliseconds, total
from overload.goodput import Plan, experiment
from overload.report import Report
from overload.slow_readers import KINDS
from overload.slow_readers import experiment as slow_readers

#: Promises about rates and waits: a busy machine may break them.
OF_SPEED = ("per second", "Overloaded", "poorest", "share of its fair", "p99")
SHORT = {"unread", "endless"}


def broken(report: Report) -> list[str]:
    return [promise for promise in report.broken if not any(word in promise for word in OF_SPEED)]


def test_ten_times_too_much_is_answered_call_by_call_within_the_memory():
    report = experiment(Plan(seconds=1.0, capacity_s=0.5, window_s=1.0))
    assert broken(report) == []


def test_hostile_peers_cost_bounded_memory_and_give_all_back():
    kinds = tuple(kind for kind in KINDS if kind.name in SHORT and not kind.on_worker_port)
    assert broken(slow_readers(0.5, kinds)) == []


def test_a_broken_promise_is_told_and_makes_the_exit_code(tmp_path):
    report = Report("trial", {})
    report.at_most("kept", 1.0, 1.0, "ms")
    report.at_most("above", 1.1, 1.0, "ms")
    report.at_least("missing", None, 1.0, "ms")
    assert report.broken == ["above", "missing"]
    assert report.finish(tmp_path / "trial.json") == 1
    assert Report("empty", {}).finish(None) == 0


def test_the_poorest_window_counts_also_where_nothing_came():
    buckets = [1] * 8 + [0] * 4
    assert lowest_rate(buckets, 3.0, 1.0) == 0.0
    assert lowest_rate(buckets, 4.0, 1.0) == 0.0
    assert lowest_rate([2] * 12, 3.0, 1.0) == 8.0


def test_books_add_up():
    one, other = Books(sent=2, buckets=[1]), Books(sent=1, buckets=[0, 1])
    one.count_right(0.2, 0.3, None)
    one.count_right(0.2, 0.3, 0.1)
    other.count_error("Overloaded", 0.1)
    whole = total([one, other])
    assert (whole.sent, whole.right, whole.late, whole.errors) == (3, 1, 1, {"Overloaded": 1})
    assert whole.buckets == [1, 2]
    assert milliseconds(whole.right_s)["p99"] == 200.0
