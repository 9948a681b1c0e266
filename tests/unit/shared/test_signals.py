"""Signals arrive as facts, in order, and wake whoever polls."""

from __future__ import annotations

import select
import signal

import pytest

from zeropool.shared.signals import Signals

WATCHED = (signal.SIGUSR1, signal.SIGUSR2)


@pytest.fixture
def signals():
    before = {number: signal.getsignal(number) for number in WATCHED}
    signals = Signals(WATCHED)
    signals.open()
    yield signals
    signals.close()
    for number, handler in before.items():
        signal.signal(number, handler)


def is_readable(signals):
    return bool(select.select([signals], [], [], 0)[0])


def test_nothing_has_arrived_at_first(signals):
    assert not is_readable(signals)
    assert signals.take() == []


def test_a_signal_wakes_and_is_taken_once(signals):
    signal.raise_signal(signal.SIGUSR1)
    assert is_readable(signals)
    assert signals.take() == [signal.SIGUSR1]
    assert not is_readable(signals)
    assert signals.take() == []


def test_signals_are_taken_in_the_order_of_their_arrival(signals):
    for number in (signal.SIGUSR2, signal.SIGUSR1, signal.SIGUSR2):
        signal.raise_signal(number)
    assert signals.take() == [signal.SIGUSR2, signal.SIGUSR1, signal.SIGUSR2]


def test_more_signals_than_the_wake_up_pipe_holds_are_all_taken(signals):
    for _ in range(5000):
        signal.raise_signal(signal.SIGUSR1)
    assert len(signals.take()) == 5000
    assert not is_readable(signals)


def test_closing_gives_the_signals_back(signals):
    signals.close()
    assert [signal.getsignal(number) for number in WATCHED] == [signal.SIG_DFL] * 2
    assert signal.set_wakeup_fd(-1) == -1


def test_constructing_installs_nothing():
    before = signal.getsignal(signal.SIGUSR1)
    assert Signals(WATCHED).fileno() == -1
    assert Signals(WATCHED).take() == []
    assert signal.getsignal(signal.SIGUSR1) is before


def test_an_ignored_signal_is_not_watched():
    before = {number: signal.getsignal(number) for number in WATCHED}
    signals = Signals(WATCHED, ignored=(signal.SIGUSR2,))
    signals.open()
    try:
        signal.raise_signal(signal.SIGUSR2)
        signal.raise_signal(signal.SIGUSR1)
        assert signals.take() == [signal.SIGUSR1]
    finally:
        signals.close()
        for number, handler in before.items():
            signal.signal(number, handler)


def test_what_cannot_wait_for_the_loop_is_done_by_the_handler():
    done = []
    before = signal.getsignal(signal.SIGUSR1)
    signals = Signals(WATCHED, at_once=lambda: done.append("at once"))
    signals.open()
    try:
        signal.raise_signal(signal.SIGUSR1)
        assert done == ["at once"]
        assert signals.take() == [signal.SIGUSR1]
    finally:
        signals.close()
    assert signal.getsignal(signal.SIGUSR1) is before
