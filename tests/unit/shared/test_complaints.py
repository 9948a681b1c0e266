"""How many lines a flood may write."""

from zeropool.shared.complaints import MAX_LINES, WINDOW_S, Complaints


def test_the_first_events_are_all_written():
    complaints = Complaints()
    assert [complaints.count("lost", 0.0) for _ in range(MAX_LINES)] == [0] * MAX_LINES


def test_a_flood_is_kept_silent_and_its_size_is_told_later():
    complaints = Complaints()
    written = [complaints.count("lost", 0.001 * number) for number in range(1000)]
    assert written[MAX_LINES:] == [None] * (1000 - MAX_LINES)
    assert complaints.count("lost", WINDOW_S) == 1000 - MAX_LINES
    assert complaints.count("lost", WINDOW_S) == 0


def test_a_flood_of_one_kind_silences_no_other():
    complaints = Complaints()
    for _ in range(1000):
        complaints.count("lost", 0.0)
    assert complaints.count("refused", 0.0) == 0
    assert repr(complaints) == "<Complaints kinds=2>"


def test_a_line_tells_how_many_got_none():
    complaints = Complaints()
    lines = [complaints.told("a", {"peer": "p"}, 1.0) for _ in range(MAX_LINES + 2)]
    assert lines == MAX_LINES * [{"peer": "p"}] + [None, None]

    after = complaints.told("a", {"peer": "p"}, 1.0 + WINDOW_S)
    assert after == {"peer": "p", "not_logged": 2}
