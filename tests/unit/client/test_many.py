"""Many calls over rows: when each is made, and what becomes of its outcome."""

import itertools

import msgspec
import pytest

from zeropool.client.answered import Answered
from zeropool.client.asked import many_of
from zeropool.client.making import Maker, Manner
from zeropool.client.many import Many
from zeropool.client.outcomes import Ended, Expired, Failed, Lost
from zeropool.client.progress import Progress
from zeropool.client.retry import RetryPolicy
from zeropool.client.window import Order, window_of
from zeropool.shared.wire.records import RemoteFailure

pack = msgspec.msgpack.encode


def many_over(rows, window=2, order=Order.INPUT, **options):
    maker = Maker("m_predict", 2.0, None)
    return Many(map(pack, rows), maker, window_of(window, order), **options)


def made(many, now=0.0):
    """The calls that it wants now."""
    calls = []
    while (call := many.next_call(now)) is not None:
        calls.append(call)
    return calls


def answer(many, call, value):
    call.outcome = Answered(pack([value]))
    many.end(call)


def fail(many, call, outcome):
    call.outcome = outcome
    many.end(call)


def test_a_call_for_each_row_and_no_more_than_the_window_holds():
    many = many_over(["a", "b", "c"])

    calls = made(many)

    assert [(call.method, call.args) for call in calls] == [
        ("m_predict", pack(["a"])),
        ("m_predict", pack(["b"])),
    ]
    assert many.open == calls
    assert not many.is_over


def test_each_call_has_the_time_from_when_it_is_made():
    many = many_over(itertools.count())

    first, _ = made(many, now=10.0)
    answer(many, first, "x")
    many.take()
    (third,) = made(many, now=11.5)

    assert (first.deadline, third.deadline) == (12.0, 13.5)
    assert third.sends_deadline


def test_rows_are_taken_only_when_they_are_due():
    seen = []
    rows = (seen.append(number) or number for number in itertools.count())
    many = many_over(rows, window=3)

    made(many)

    assert seen == [0, 1, 2]


def test_results_come_in_order_and_make_room():
    many = many_over([1, 2, 3])
    first, second = made(many)

    answer(many, second, "two")
    assert (many.take(), made(many)) == ([], [])
    answer(many, first, "one")

    assert many.take() == ["one", "two"]
    (third,) = made(many)
    answer(many, third, "three")
    assert many.take() == ["three"]
    assert made(many) == []
    assert many.is_over


def test_or_as_they_come():
    many = many_over([1, 2], order=Order.ARRIVAL)
    first, second = made(many)

    answer(many, second, "two")
    answer(many, first, "one")

    assert many.take() == [(1, "two"), (0, "one")]


def test_no_rows_are_over_at_once():
    many = many_over([])

    assert made(many) == []
    assert many.is_over


def test_news_that_come_twice_count_once():
    many = many_over([1])
    (call,) = made(many)

    answer(many, call, "one")
    answer(many, call, "another")

    assert many.take() == ["one"]
    answer(many, call, "another")
    assert many.take() == []


FAILURES = [
    (Failed(RemoteFailure("ValueError", "no", "Traceback\nValueError: no")), r"ValueError: no\Z"),
    (Expired(), r"\Atimeout after 2.0s, when calling remote method m_predict\Z"),
    (Lost("the connection broke"), "the connection broke"),
    (Ended(), "m_predict"),
    (None, "m_predict"),
]


@pytest.mark.parametrize(("outcome", "message"), FAILURES)
def test_a_failure_is_raised_when_it_is_its_turn(outcome, message):
    many = many_over([1, 2])
    first, second = made(many)
    fail(many, second, outcome)
    answer(many, first, "one")

    assert many.take() == ["one"]
    with pytest.raises(Exception, match=message):
        many.check()


@pytest.mark.parametrize(("outcome", "message"), FAILURES)
def test_or_returned(outcome, message):
    many = many_over([1], is_raising=False)
    (call,) = made(many)
    fail(many, call, outcome)

    (result,) = many.take()
    many.check()

    with pytest.raises(Exception, match=message):
        raise result


def test_a_failure_waits_until_what_came_before_it_is_given_out():
    many = many_over([1, 2, 3], window=3, order=Order.ARRIVAL)
    first, second, third = made(many)
    answer(many, third, "three")
    fail(many, first, Lost("gone"))
    answer(many, second, "two")

    assert many.take() == [(2, "three")]
    with pytest.raises(Exception, match="gone"):
        many.check()


def test_progress_is_told_after_each_call():
    told = []
    many = many_over([1, 2], progress=told.append, total=2)
    first, second = made(many)

    answer(many, second, "two")
    fail(many, first, Lost("x"))

    assert told == [Progress(1, 0, 2), Progress(2, 1, 2)]


# What a user says

MANNER = Manner(30.0, RetryPolicy(models={"m"}))


def test_the_clients_manner_counts_unless_something_else_is_said():
    (usual,) = made(many_of("m", [1], MANNER, Order.INPUT))
    (hasty,) = made(many_of("m", [1], MANNER, Order.INPUT, timeout=0.5))
    (patient,) = made(many_of("other", [1], MANNER, Order.INPUT, timeout=None))

    assert (usual.deadline, hasty.deadline, patient.deadline) == (30.0, 0.5, float("inf"))
    assert not patient.sends_deadline
    assert usual.tries is not None
    assert patient.tries is None


def test_the_number_of_rows_is_told_where_it_is_known():
    told = []
    for rows in ([1], iter([1])):
        many = many_of("m", rows, MANNER, Order.INPUT, progress=told.append)
        (call,) = made(many)
        answer(many, call, "one")

    assert [progress.total for progress in told] == [1, None]


@pytest.mark.parametrize(
    ("rows", "options", "error", "message"),
    [
        (5, {}, TypeError, "not a int"),
        ([1], {"errors": "ignore"}, ValueError, r"""\Aerrors='ignore': expected "raise" or"""),
        ([1], {"window": 0}, ValueError, "window of 0"),
        ([1], {"columns": ["a"]}, TypeError, "columns name those"),
        ([1], {"windows": 5}, TypeError, "windows"),
    ],
)
def test_nonsense_is_refused_at_once(rows, options, error, message):
    with pytest.raises(error, match=message):
        many_of("m", rows, MANNER, Order.INPUT, **options)


def test_a_row_without_form_ends_it_where_it_is_due():
    many = many_of("m", [1, object()], MANNER, Order.INPUT)
    many.next_call(now=0.0)

    with pytest.raises(TypeError, match=r"\Arow 1: builtins.object has no form"):
        many.next_call(now=0.0)
