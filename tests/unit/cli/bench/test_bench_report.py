"""What a run tells people and spreadsheets."""

import io

import pytest
from bench_points import BY_RATE, NONE, TARGET, point

from zeropool.cli.bench import report
from zeropool.cli.bench.latencies import Summary
from zeropool.cli.bench.result import Mode
from zeropool.cli.bench.trial import Phase


def notes(target, *points, messages=None):
    return report.notes(target, points, messages or {})


def test_the_title_says_what_is_measured():
    assert report.title(TARGET) == "iris_predict at tcp://127.0.0.1:4242, 1 connection"
    assert report.title(BY_RATE) == (
        "iris_predict at tcp://127.0.0.1:4242, 8 connections, poisson arrivals"
    )


def test_the_columns_of_rows_stand_below_their_names():
    assert [report.heading(Mode.CONCURRENCY), report.row(point())] == [
        "concurrency    calls/s  p50 ms  p90 ms  p99 ms p99.9 ms  max ms  errors load %",
        "         16     10,000   1.234   2.000    12.3    123.4   1,234       0     12",
    ]
    assert report.heading(Mode.RATE).startswith("     rate/s  ")


@pytest.mark.parametrize(
    ("changes", "cell"),
    [
        ({"answers_per_s": 0.3214}, "0.321"),
        ({"answers_per_s": 85.32}, "85.3"),
        ({"answers_per_s": 999.6}, "1,000"),
        ({"load": 2.5}, "2.5"),
        ({"load": 100_000}, "100,000"),
        ({"errors": {"Overloaded": 1000, "ValueError": 1}}, "1,001"),
        ({"generator_share": 1.2}, "120"),
        ({"verdict": Phase.UNSTABLE}, "~"),
        ({"verdict": Phase.CUT}, "-"),
        ({"answers": 0, "latency_ms": NONE}, "-"),
    ],
)
def test_a_figure_has_the_digits_that_are_known(changes, cell):
    assert cell in report.row(point(**changes)).split()


def test_a_clean_run_needs_no_notes():
    assert notes(TARGET, point(), point(load=32)) == []


def test_each_mark_is_explained_once():
    lines = notes(
        TARGET,
        point(verdict=Phase.UNSTABLE),
        point(verdict=Phase.UNSTABLE),
        point(verdict=Phase.CUT),
    )

    assert [line[0] for line in lines] == ["~", "-"]


def test_errors_are_told_by_name_with_one_message_each():
    lines = notes(
        TARGET,
        point(errors={"Overloaded": 1200, "TimeoutExpired": 3}),
        point(load=32, errors={"Overloaded": 5}),
        messages={
            "Overloaded": "queue of\n 4096 is full",
            "TimeoutExpired": "",
            "Other": "earlier",
        },
    )

    assert lines == [
        "concurrency 16: 1,200 Overloaded, 3 TimeoutExpired",
        "concurrency 32: 5 Overloaded",
        "Overloaded: queue of 4096 is full",
    ]


def test_a_server_with_many_kinds_of_errors_does_not_fill_the_screen():
    errors = {f"E{number}": 10 for number in range(20)}

    lines = notes(TARGET, point(errors=errors), messages=dict.fromkeys(errors, "x" * 1000))

    assert lines[0] == "concurrency 16: 10 E0, 10 E1, 10 E2, 10 E3, 10 E4 and 15 other kinds"
    assert len(lines) == 1 + report.MAX_KINDS
    assert len(lines[1]) < 200


def test_a_generator_that_is_busy_itself_is_told():
    [line] = notes(TARGET, point(generator_share=0.91))

    assert line == (
        "concurrency 16: warning: this generator used 91 % of one core; "
        "the server may be faster than it"
    )
    assert notes(TARGET, point(generator_share=0.9)) == []


def test_calls_that_left_late_are_told_where_that_is_a_good_part_of_what_is_measured():
    assert notes(BY_RATE, point(late_p99_ms=0.4)) == []
    [line] = notes(BY_RATE, point(late_p99_ms=0.6, load=10_000))
    assert line == (
        "rate 10,000: warning: one call in a hundred left 0.600 ms or more later than due; "
        "their latencies count that"
    )
    slow = Summary(mean=50.0, p50=50.0, p90=60.0, p99=70.0, p999=80.0, max=90.0)
    assert notes(BY_RATE, point(late_p99_ms=0.6, latency_ms=slow)) == []


def test_a_server_that_does_not_keep_up_with_a_rate_is_told():
    point_ = point(load=300, answers=510, answers_per_s=85.0, errors={"Overloaded": 18})

    lines = notes(BY_RATE, point_)

    assert lines[1] == (
        "rate 300: only 88 calls/s ended: more were due than the server, or this machine, carries"
    )
    assert len(notes(TARGET, point_)) == 1


def test_csv_has_a_line_for_each_load():
    out = io.StringIO()

    report.write_csv(
        TARGET, [point(errors={"Overloaded": 2, "ValueError": 1}), point(load=32)], out
    )

    names, first, second = (line.split(",") for line in out.getvalue().splitlines())
    assert names[:5] == ["concurrency", "verdict", "seconds", "answers", "answers_per_s"]
    assert names[5:11] == ["mean_ms", "p50_ms", "p90_ms", "p99_ms", "p99.9_ms", "max_ms"]
    assert names[11:] == ["errors", "generator_share", "late_p99_ms"]
    assert first[:5] == ["16", "stable", "6.000", "60000", "10000.00"]
    assert first[5:11] == ["1.5000", "1.2345", "2.0000", "12.3450", "123.4000", "1234.5000"]
    assert first[11:] == ["Overloaded=2 ValueError=1", "0.123", "0.0000"]
    assert (second[0], second[11]) == ("32", "")
