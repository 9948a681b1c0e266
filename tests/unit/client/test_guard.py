"""A lock that is had in any case, though a signal comes while it is waited for."""

import threading

import pytest

from zeropool.client.guard import Guard


class Interrupted(BaseException):
    """What a signal's handler raises."""


@pytest.fixture
def interrupted():
    """A guard whose lock raises, as it does when a signal's handler does, before it is had."""
    guard = Guard()
    acquire = guard._acquire
    interruptions = []

    def acquire_late(*args):
        if interruptions:
            raise interruptions.pop(0)
        return acquire(*args)

    guard._acquire = acquire_late
    return guard, interruptions


@pytest.mark.parametrize("signals", [1, 3])
def test_what_is_done_with_it_is_done_and_the_interruption_is_raised_later(interrupted, signals):
    guard, interruptions = interrupted
    interruptions += [Interrupted(number) for number in range(signals)]
    with guard:
        assert not guard.try_once()

    with pytest.raises(Interrupted) as raised:
        guard.check()

    assert raised.value.args == (signals - 1,)
    guard.check()
    assert guard.try_once()


def test_another_thread_is_not_interrupted_instead(interrupted):
    guard, interruptions = interrupted
    interruptions.append(Interrupted())
    with guard:
        pass
    others = []

    def check():
        guard.check()
        others.append("went on")

    other = threading.Thread(target=check)
    other.start()
    other.join()

    assert others == ["went on"]
    with pytest.raises(Interrupted):
        guard.check()
