"""What may not have arrived is kept within bounds, and sent again until a gateway tells of it."""

from hypothesis import given
from hypothesis import strategies as st

from zeropool.shared import jobs
from zeropool.workers.outbox import Outbox, portions


def filled(*frames, max_bytes=100):
    outbox = Outbox(max_bytes)
    for frame in frames:
        outbox.add(frame)
    return outbox


def test_frames_are_numbered_from_one():
    outbox = filled(b"a", b"b")

    assert outbox.last == 2
    assert len(outbox) == 2


def test_what_was_seen_is_let_go():
    outbox = filled(b"a", b"bb", b"ccc")

    outbox.seen(2)
    outbox.reconnected()

    assert outbox.kept_bytes == 3
    assert outbox.take_unsure() == [(3, b"ccc")]


def test_to_have_seen_less_than_before_changes_nothing():
    outbox = filled(b"a", b"b", b"c")
    outbox.seen(2)

    outbox.seen(1)
    outbox.seen(0)

    assert len(outbox) == 1


def test_nobody_has_seen_what_was_never_sent():
    outbox = filled(b"a")

    outbox.seen(2)

    assert len(outbox) == 1


def test_only_what_went_over_an_earlier_connection_is_unsure():
    outbox = filled(b"a", b"b")
    assert outbox.take_unsure() == []

    outbox.reconnected()
    outbox.add(b"c")

    assert outbox.take_unsure() == [(1, b"a"), (2, b"b")]
    assert outbox.take_unsure() == []


def test_what_was_sent_again_may_be_lost_again():
    outbox = filled(b"a", b"b")
    outbox.reconnected()
    outbox.take_unsure()

    outbox.reconnected()

    assert outbox.take_unsure() == [(1, b"a"), (2, b"b")]


def test_over_the_limit_the_oldest_are_let_go_and_keep_their_number():
    outbox = filled(b"a" * 60, b"b" * 30, b"c" * 50)
    outbox.reconnected()

    assert outbox.kept_bytes == 80
    assert outbox.take_unsure() == [(1, None), (2, b"b" * 30), (3, b"c" * 50)]


def test_the_newest_is_kept_whatever_its_size():
    outbox = filled(b"a", b"b" * 200)
    outbox.reconnected()

    assert outbox.take_unsure() == [(1, None), (2, b"b" * 200)]


def test_what_was_let_go_can_be_seen_all_the_same():
    outbox = filled(b"a" * 60, b"b" * 60, b"c" * 60)

    outbox.seen(2)
    outbox.add(b"d" * 60)
    outbox.reconnected()

    assert outbox.take_unsure() == [(3, None), (4, b"d" * 60)]


def test_a_new_incarnation_gets_nothing_and_the_count_goes_on():
    outbox = filled(b"a", b"b")
    outbox.reconnected()

    outbox.forget()
    outbox.add(b"c")

    assert outbox.take_unsure() == []
    assert outbox.last == 3
    assert outbox.kept_bytes == 1


@given(st.lists(st.one_of(st.binary(min_size=1, max_size=40), st.integers(0, 60), st.none())))
def test_it_keeps_the_newest_of_what_was_not_seen(steps):
    outbox = Outbox(max_bytes=50)
    frames: dict[int, bytes] = {}
    seen = 0
    for step in steps:
        match step:
            case bytes():
                outbox.add(step)
                frames[outbox.last] = step
            case int():
                outbox.seen(step)
                seen = max(seen, step) if step <= outbox.last else seen
            case None:
                outbox.reconnected()
                found = dict(outbox.take_unsure())
                assert list(found) == list(range(seen + 1, outbox.last + 1))
                kept = [frame for frame in found.values() if frame is not None]
                assert kept == list(frames.values())[len(frames) - len(kept) :]
        newest = frames.get(outbox.last, b"") if outbox.last > seen else b""
        assert outbox.kept_bytes <= max(50, len(newest))


def test_its_repr_tells_what_was_not_seen():
    assert repr(filled(b"a", b"bc")) == "<Outbox last=2 unseen=2 kept_bytes=3>"


def result(number, body=b"", items=()):
    return jobs.Result(number, 1, jobs.Outcome.OK, body, items)


def test_results_travel_together_as_long_as_they_are_small():
    results = [result(1, b"1234"), result(2, b"567"), result(3)]
    assert list(portions(results, max_bytes=7)) == [results]


def test_large_results_travel_apart_and_in_order():
    results = [result(1, b"1234"), result(2, items=(b"56", b"78")), result(3, b"9"), result(4)]
    assert list(portions(results, max_bytes=7)) == [results[:1], results[1:]]


def test_a_result_over_the_limit_travels_alone():
    results = [result(1, b"1"), result(2, b"123456789"), result(3, b"3")]
    assert list(portions(results, max_bytes=7)) == [results[:1], results[1:2], results[2:]]
