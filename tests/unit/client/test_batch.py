"""A batch of rows: its pieces, and how their answers become one."""

import msgspec
import pytest

from zeropool.client.answered import Answered
from zeropool.client.asked import batch_of
from zeropool.client.batch import PIECES_IN_FLIGHT, Batch
from zeropool.client.making import Maker, Manner
from zeropool.client.outcomes import Expired, Failed, Lost
from zeropool.client.tables import rows_of
from zeropool.shared.wire.records import RemoteFailure

pack = msgspec.msgpack.encode
unpack = msgspec.msgpack.decode
MAKER = Maker("m_predict_batch", 2.0, None)
TOO_LARGE = Failed(RemoteFailure("PayloadTooLarge", "9 bytes exceed 8", ""))


def batch_over(rows, **options):
    return Batch(rows_of(rows), MAKER, **options)


def made(batch, now=0.0):
    calls = []
    while (call := batch.next_call(now)) is not None:
        calls.append(call)
    return calls


def rows_in(call):
    return unpack(call.args)[0]


def serve(batch, call, answer):
    call.outcome = answer
    batch.end(call)


def predictions(values, errors=()):
    return Answered(pack([{"predictions": values, "errors": list(errors)}]))


def echo(batch, call):
    serve(batch, call, predictions([{"is": row} for row in rows_in(call)]))


def run(batch):
    """Answer everything, the newest first; return the sizes of the pieces."""
    sizes = []
    flying = []
    while not batch.is_over:
        flying += made(batch)
        assert len(flying) <= PIECES_IN_FLIGHT
        call = flying.pop()
        sizes.append(len(rows_in(call)))
        echo(batch, call)
    return sizes


def test_a_small_batch_is_one_call():
    batch = batch_over([1, 2, 3])

    (call,) = made(batch, now=1.0)
    assert (call.method, rows_in(call), call.deadline) == ("m_predict_batch", [1, 2, 3], 3.0)
    assert not batch.is_over
    echo(batch, call)

    assert batch.is_over
    assert batch.result() == [{"is": 1}, {"is": 2}, {"is": 3}]


def test_no_rows_need_no_call():
    batch = batch_over([])

    assert made(batch) == []
    assert batch.is_over
    assert batch.result() == []


def test_many_rows_go_in_pieces_of_which_a_few_are_in_flight():
    batch = batch_over(list(range(25)), piece_rows=3)

    assert sorted(run(batch)) == [1] + 8 * [3]

    assert batch.result() == [{"is": row} for row in range(25)]


def test_large_rows_go_in_smaller_pieces():
    rows = ["x" * 100] * 50
    batch = batch_over(rows, piece_bytes=1030)

    sizes = run(batch)

    assert max(sizes) == 10
    assert sum(sizes) == 50
    assert batch.result() == [{"is": row} for row in rows]


def test_a_row_above_the_limit_goes_alone():
    batch = batch_over(["x" * 100, "y"], piece_bytes=10)

    assert run(batch) == [1, 1]


def test_what_is_too_large_for_the_server_is_halved_until_it_is_not():
    batch = batch_over([1, 2, 3])
    (whole,) = made(batch)

    serve(batch, whole, TOO_LARGE)
    first, rest = made(batch)
    assert [rows_in(first), rows_in(rest)] == [[1], [2, 3]]
    serve(batch, rest, TOO_LARGE)
    echo(batch, first)
    run(batch)

    assert batch.result() == [{"is": 1}, {"is": 2}, {"is": 3}]


def test_one_row_that_is_too_large_fails():
    batch = batch_over([1])
    (call,) = made(batch)
    serve(batch, call, TOO_LARGE)

    with pytest.raises(Exception, match="PayloadTooLarge: 9 bytes exceed 8"):
        batch.result()


def row_error(index, message="no"):
    return {"index": index, "name": "ValueError", "message": message}


def half_good(**options):
    """Two pieces; the second row of the second piece has failed, and then that of the first."""
    batch = batch_over([1, 2, 3, 4], piece_rows=2, **options)
    first, second = made(batch)
    serve(batch, second, predictions(["c", None], [row_error(1, "late")]))
    serve(batch, first, predictions(["a", None], [row_error(1, "early")]))
    return batch


def test_the_failure_of_the_first_row_that_failed_is_raised():
    with pytest.raises(Exception, match=r"\Arow 1: ValueError: early\Z") as caught:
        half_good().result()

    assert (caught.value.name, caught.value.msg) == ("ValueError", "early")


def test_after_a_failure_that_is_to_be_raised_no_more_pieces_begin():
    batch = batch_over(range(100), piece_rows=1)
    first, *others = made(batch)
    serve(batch, first, Lost("x"))
    assert made(batch) == []
    for call in others:
        assert not batch.is_over
        echo(batch, call)

    assert batch.is_over
    with pytest.raises(Exception, match=r"\Ax\Z"):
        batch.result()


def test_where_failures_are_returned_the_other_pieces_go_on():
    batch = batch_over(range(100), piece_rows=1, is_raising=False)
    (first, *_) = made(batch)
    serve(batch, first, Lost("x"))

    assert len(made(batch)) == 1


def test_or_failures_stand_among_the_predictions():
    first, second, third, fourth = half_good(is_raising=False).result()

    assert (first, third) == ("a", "c")
    assert (str(second), str(fourth)) == ("row 1: ValueError: early", "row 3: ValueError: late")


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        (Failed(RemoteFailure("Overloaded", "full; retry_after_s=1.00", "")), "Overloaded: full"),
        (Expired(), "timeout after 2.0s"),
        (Lost("the connection broke"), "the connection broke"),
        (Answered(pack([5])), "m_predict_batch"),
        (predictions(["a"]), r"\Am_predict_batch: 1 predictions for 2 rows\Z"),
        (None, "m_predict_batch"),
    ],
)
def test_a_piece_that_fails_is_all_its_rows_failure(outcome, message):
    batch = batch_over([1, 2, 3], piece_rows=2, is_raising=False)
    first, second = made(batch)
    serve(batch, first, outcome)
    echo(batch, second)

    *failed, good = batch.result()

    assert good == {"is": 3}
    assert len(failed) == 2
    for failure in failed:
        with pytest.raises(Exception, match=message):
            raise failure


def test_errors_of_rows_that_are_none_are_ignored():
    batch = batch_over([1])
    (call,) = made(batch)
    serve(batch, call, predictions(["a"], [row_error(1), row_error(-1)]))

    assert batch.result() == ["a"]


def test_news_that_come_twice_count_once():
    batch = batch_over([1])
    (call,) = made(batch)
    echo(batch, call)
    serve(batch, call, Lost("x"))

    assert batch.result() == [{"is": 1}]


@pytest.mark.parametrize(
    ("rows", "options", "error", "message"),
    [
        (5, {}, TypeError, "not a int"),
        ([1], {"errors": True}, ValueError, r"\Aerrors=True: expected"),
        ([1], {"piece_rows": 0}, ValueError, r"\Apieces of 0 rows: expected 1 or more\Z"),
        ([1], {"piece_bytes": 0}, ValueError, r"\Apieces of 0 bytes: expected 1 or more\Z"),
        ([1], {"window": 5}, TypeError, "window"),
    ],
)
def test_nonsense_is_refused_at_once(rows, options, error, message):
    with pytest.raises(error, match=message):
        batch_of("m", rows, Manner(None, None), **options)
