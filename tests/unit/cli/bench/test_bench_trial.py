"""When a load has been measured enough, in literal times."""

import pytest

from zeropool.cli.bench.trial import (
    MAX_STRETCH,
    MIN_CALLS,
    CpuTime,
    Phase,
    Rules,
    Trial,
    Window,
    agree,
)

RULES = Rules(warm_up_s=1.0, window_s=2.0, tolerance=0.1, max_windows=5)
IDLE = CpuTime(0.0, 0.0)


def window(answers=1000, latency_s=0.001, seconds=2.0):
    made = Window(0.0, IDLE)
    for _ in range(answers):
        made.latencies.observe(latency_s)
    made.close(seconds, IDLE)
    return made


class Play:
    """A trial whose windows a test fills."""

    def __init__(self, rules=RULES):
        self.trial = Trial(rules, 0.0, IDLE)
        self.advance()

    def advance(self):
        self.trial.advance(self.trial.due_at, IDLE)

    def window(self, answers=1000, latency_s=0.001, errors=0):
        for _ in range(answers):
            self.trial.current.latencies.observe(latency_s)
        if errors:
            self.trial.current.errors["Overloaded"] += errors
        self.advance()
        return self.trial.phase


def test_what_comes_during_the_warm_up_is_not_counted():
    trial = Trial(RULES, 10.0, IDLE)
    trial.current.latencies.observe(5.0)
    assert (trial.phase, trial.due_at) == (Phase.WARMING, 11.0)

    trial.advance(11.0, IDLE)

    assert (trial.phase, trial.due_at, trial.windows) == (Phase.MEASURING, 13.0, [])
    assert not trial.current.latencies


def test_three_windows_that_agree_are_stable():
    play = Play()

    assert [play.window(answers) for answers in (1000, 1040, 960)] == [
        Phase.MEASURING,
        Phase.MEASURING,
        Phase.STABLE,
    ]
    assert play.trial.is_over


def test_windows_before_the_three_in_a_row_do_not_count():
    play = Play()

    phases = [play.window(answers) for answers in (500, 1000, 1000, 1000)]

    assert phases[-1] is Phase.STABLE
    assert [len(one.latencies) for one in play.trial.verdict_windows()] == [1000, 1000, 1000]


def test_one_window_that_differs_begins_the_count_again():
    play = Play(Rules(warm_up_s=0, window_s=1, tolerance=0.1, max_windows=10))

    phases = [play.window(answers) for answers in (1000, 1000, 500, 1000, 1000, 1000)]

    assert phases.index(Phase.STABLE) == 5


def test_what_does_not_hold_still_is_said_to_be_unstable_after_the_last_window():
    play = Play()

    phases = [play.window(answers) for answers in (1000, 500, 1000, 500, 1000)]

    assert phases[-2:] == [Phase.MEASURING, Phase.UNSTABLE]


def test_equal_throughput_is_not_enough_where_the_p99_moves():
    play = Play()

    phases = [play.window(latency_s=latency_s) for latency_s in (0.001, 0.001, 0.002, 0.001, 0.002)]

    assert phases[-1] is Phase.UNSTABLE


@pytest.mark.parametrize(
    ("answers", "is_stable"), [((900, 1000, 1100), True), ((890, 1000, 1110), False)]
)
def test_each_window_may_be_so_far_from_the_mean(answers, is_stable):
    assert agree([window(count) for count in answers], 0.1) is is_stable


def test_two_windows_are_too_few():
    assert not agree([window(), window()], 0.5)


def test_windows_without_answers_do_not_agree():
    assert not agree([window(0)] * 3, 0.5)


def test_a_window_with_few_calls_goes_on_for_a_while():
    play = Play()
    trial = play.trial
    trial.current.latencies.observe(0.5)

    trial.advance(3.0, IDLE)
    assert (trial.windows, trial.due_at) == ([], 5.0)
    for _ in range(MIN_CALLS):
        trial.current.latencies.observe(0.5)
    trial.advance(5.0, IDLE)

    assert [(one.seconds, one.calls) for one in trial.windows] == [(4.0, MIN_CALLS + 1)]


def test_a_window_with_few_calls_ends_at_last():
    trial = Trial(RULES, 0.0, IDLE)
    trial.advance(1.0, IDLE)
    trial.current.latencies.observe(0.5)

    while not trial.windows:
        trial.advance(trial.due_at, IDLE)

    assert trial.windows[0].seconds == MAX_STRETCH * RULES.window_s


def test_a_window_without_any_call_goes_on_until_one_ends():
    trial = Trial(RULES, 0.0, IDLE)
    trial.advance(1.0, IDLE)
    for now in (3.0, 11.0, 29.0):
        trial.advance(now, IDLE)
    assert (trial.phase, trial.windows) == (Phase.MEASURING, [])

    trial.current.errors["TimeoutExpired"] += 1
    trial.advance(31.0, IDLE)

    assert trial.phase is Phase.UNSTABLE


def test_windows_that_are_over_keep_their_figures_and_not_all_latencies():
    play = Play()
    for answers in (500, 1000, 1000, 1000):
        play.window(answers)

    first, *verdict = play.trial.windows
    assert (first.answers, len(first.latencies)) == (500, 0)
    assert first.p99_s == pytest.approx(0.001, rel=0.01)
    assert [len(window.latencies) for window in verdict] == [1000, 1000, 1000]


def test_errors_are_calls_too():
    play = Play()

    play.window(answers=1, errors=MIN_CALLS)

    assert [one.seconds for one in play.trial.windows] == [2.0]


def test_a_window_of_errors_only_ends_the_trial():
    play = Play()

    assert play.window(answers=0, errors=500) is Phase.UNSTABLE


def test_a_trial_that_is_cut_keeps_what_its_present_window_brought():
    play = Play()
    play.window()
    play.trial.current.latencies.observe(0.001)

    play.trial.cut(play.trial.due_at - 1.5, IDLE)

    assert play.trial.phase is Phase.CUT
    assert [(one.seconds, one.calls) for one in play.trial.windows] == [(2.0, 1000), (0.5, 1)]


def test_a_trial_that_is_cut_while_it_warms_up_has_no_windows():
    trial = Trial(RULES, 0.0, IDLE)
    trial.current.latencies.observe(0.001)

    trial.cut(0.5, IDLE)

    assert (trial.phase, trial.windows) == (Phase.CUT, [])


def test_a_trial_that_is_over_cannot_be_cut_any_more():
    play = Play()
    for _ in range(3):
        play.window()

    play.trial.cut(100.0, IDLE)

    assert play.trial.phase is Phase.STABLE


def test_a_window_knows_its_pace_and_what_the_generator_used():
    made = Window(10.0, CpuTime(1.0, 2.0))
    for _ in range(100):
        made.latencies.observe(0.002)
    made.close(14.0, CpuTime(2.0, 4.5))

    assert (made.seconds, made.answers_per_s) == (4.0, 25.0)
    assert made.p99_s == pytest.approx(0.002, rel=0.01)
    assert made.cpu == CpuTime(1.0, 2.5)
    assert repr(made) == "<Window seconds=4.000 answers=100 errors=0>"
