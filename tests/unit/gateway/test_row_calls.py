"""How calls over many rows become tasks, and results replies."""

from __future__ import annotations

from gateway_world import (
    answer,
    batch,
    pack,
    sent,
    stream,
    take_all,
)

from zeropool.gateway.row_calls import FIRST_TASK_ROWS, STREAM_WINDOW_BYTES, STREAM_WINDOW_ROWS
from zeropool.shared.errors import Overloaded
from zeropool.shared.jobs import Outcome, Result

# Batch


def test_a_batch_is_put_together_in_the_order_of_its_rows(session, channel):
    call = batch(channel, [1, "two", 3, 4, None])
    for task in reversed(take_all(call)):
        answer(call, task, session)
    errors = [
        {"index": 1, "name": "InvalidInput", "message": "no number"},
        {"index": 4, "name": "InvalidInput", "message": "no number"},
    ]
    reply = {"predictions": [2, None, 6, 8, None], "errors": errors}
    assert sent(session) == [("OK", [reply])]
    assert call.is_over


def test_the_first_tasks_of_a_batch_are_small_until_it_is_known_what_its_rows_cost(
    session, channel
):
    call = batch(channel, list(range(10_000)), task_rows=5_000, max_reply_bytes=1_000_000)
    first, second = call.take(1), call.take(2)
    assert first.rows == second.rows == FIRST_TASK_ROWS
    answer(call, first, session)
    assert call.take(3).rows == 5_000


def test_a_batch_over_no_rows_is_answered_at_once(session, channel):
    assert batch(channel, []).answer_if_empty(session)
    assert sent(session) == [("OK", [{"predictions": [], "errors": []}])]


def test_a_batch_with_rows_is_not_answered_before_they_are(session, channel):
    assert not batch(channel, [1]).answer_if_empty(session)
    assert sent(session) == []


def test_a_batch_is_refused_once_its_reply_is_too_large(session, channel):
    call = batch(channel, list(range(200, 206)), task_rows=2, max_reply_bytes=6)
    first, second, _ = take_all(call)
    answer(call, first, session)
    assert not call.is_over
    answer(call, second, session)
    message = "reply exceeds max_reply_bytes 6"
    assert sent(session) == [("ERR", ["PayloadTooLarge", message, f"PayloadTooLarge: {message}"])]
    assert call.error_name == "PayloadTooLarge"


def test_the_errors_of_rows_count_as_part_of_the_reply(session, channel):
    call = batch(channel, ["a", "b"], task_rows=2, max_reply_bytes=20)
    answer(call, call.take(1), session)
    assert call.error_name == "PayloadTooLarge"


def test_a_batch_holds_its_arguments_and_what_is_answered(session, channel):
    call = batch(channel, [1, 2, 3], task_rows=2)
    before = call.held_bytes
    answer(call, call.take(1), session)
    assert call.held_bytes == before + 2


def test_the_limit_of_a_batch_starts_again_with_every_answer(session, channel):
    call = batch(channel, [1, 2, 3, 4], limit_s=10.0, due_at=25.0)
    first, second = take_all(call)
    answer(call, first, session, now=8.0)
    assert call.deadline_at == 18.0
    call.put_back(second)
    call.progress(17.0)
    assert call.deadline_at == 25.0


# Stream


def test_a_stream_sends_one_item_for_each_row_and_then_its_end(session, channel, grant):
    call = stream(channel, [1, 2, 3])
    grant(call, 10)
    for task in take_all(call):
        answer(call, task, session)
    assert sent(session) == [
        ("STREAM", {"index": 0, "prediction": 2}),
        ("STREAM", {"index": 1, "prediction": 4}),
        ("STREAM", {"index": 2, "prediction": 6}),
        ("STREAM_DONE", None),
    ]
    assert call.is_over


def test_a_stream_over_no_rows_ends_at_once(session, channel):
    assert stream(channel, []).answer_if_empty(session)
    assert sent(session) == [("STREAM_DONE", None)]


def test_a_stream_is_not_over_before_its_caller_has_its_end(session, channel, grant):
    call = stream(channel, [1, 2])
    answer(call, call.take(1), session)
    assert not call.is_over
    grant(call, 1)
    assert not call.is_over
    grant(call, 1)
    assert call.is_over
    assert [name for name, _ in sent(session)] == ["STREAM", "STREAM", "STREAM_DONE"]


def test_a_stream_runs_no_further_ahead_of_its_caller_than_the_window(session, channel):
    call = stream(channel, list(range(1000)), task_rows=60)
    assert sum(task.rows for task in take_all(call)) == 300  # 256, and the rest of one task
    assert not call.has_work


def test_a_stream_asks_for_its_next_task_by_what_its_last_items_took(session, channel):
    asked = []

    def task_rows(item_bytes):
        asked.append(item_bytes)
        return 2

    call = stream(channel, list(range(1000)), max_reply_bytes=STREAM_WINDOW_BYTES)
    call._task_rows = task_rows
    task = call.take(1)
    call.answered(task, Result(1, 1, Outcome.OK, b"", (b"\x00" * 10, b"\x00" * 30)), session, 0.0)
    call.take(2)

    assert asked == [0, 20]


def test_items_that_wait_for_credit_keep_the_window_closed(session, channel, grant):
    call = stream(channel, list(range(1000)), task_rows=64)
    for task in take_all(call):
        answer(call, task, session)
    assert channel.backlog == STREAM_WINDOW_ROWS - 1
    for task in take_all(call):
        answer(call, task, session)
    assert channel.backlog == STREAM_WINDOW_ROWS - 1 + 64
    assert call.waits_for_caller
    grant(call, 64)
    assert not call.waits_for_caller


def test_large_items_close_the_window_by_their_bytes(session, channel, grant):
    call = stream(channel, list(range(20)), task_rows=2, max_reply_bytes=STREAM_WINDOW_BYTES)
    large = pack({"index": 0, "prediction": "x" * (STREAM_WINDOW_BYTES // 4)})
    for number in range(1, 21):
        if not call.has_work:
            break
        result = Result(number, 1, Outcome.OK, b"", (large,) * 2)
        call.answered(call.take(number), result, session, 0.0)
    assert STREAM_WINDOW_BYTES <= call.held_bytes < 2 * STREAM_WINDOW_BYTES
    grant(call, 100)
    assert call.has_work


def test_an_item_that_is_too_large_is_that_rows_error(session, channel, grant):
    call = stream(channel, [1, 2], max_reply_bytes=30)
    task = call.take(1)
    items = (pack({"index": 0, "prediction": "x" * 40}), pack({"index": 1, "prediction": 4}))
    call.answered(task, Result(1, 1, Outcome.OK, b"", items), session, 0.0)
    grant(call, 10)
    error = {"name": "PayloadTooLarge", "message": "reply exceeds max_reply_bytes 30"}
    assert sent(session) == [
        ("STREAM", {"index": 0, "error": error}),
        ("STREAM", {"index": 1, "prediction": 4}),
        ("STREAM_DONE", None),
    ]


def test_a_task_that_came_back_leaves_the_window(channel):
    call = stream(channel, list(range(1000)), task_rows=64)
    tasks = take_all(call)
    for task in reversed(tasks):
        call.put_back(task)
    assert take_all(call) == tasks


def test_a_stream_holds_what_waits_for_its_caller(session, channel, grant):
    call = stream(channel, [1, 2, 3], task_rows=3)
    before = call.held_bytes
    answer(call, call.take(1), session)
    assert call.held_bytes > before + 2 * len(pack({"index": 0, "prediction": 2}))
    grant(call, 2)
    assert len(channel.waiting) == 1  # its end
    assert call.held_bytes < before + 100


def test_a_stream_that_waits_for_its_caller_alone_has_the_idle_limit(session, channel):
    call = stream(channel, [1, 2, 3], task_rows=3, limit_s=300.0, idle_s=60.0)
    assert call.deadline_at == 300.0
    answer(call, call.take(1), session, now=10.0)
    assert call.deadline_at == 70.0
    assert str(call.overdue(70.0)) == "double: the caller read nothing for 60.0 s"


def test_a_deadline_is_never_looked_at_later_than_the_idle_limit_can_begin(channel):
    call = stream(channel, [1], limit_s=300.0, idle_s=60.0)
    assert call.check_at(0.0) == 60.0
    assert call.check_at(280.0) == 300.0


def test_the_idle_limit_starts_again_when_the_caller_reads(session, channel, grant):
    call = stream(channel, list(range(5)), task_rows=5, idle_s=60.0)
    answer(call, call.take(1), session, now=10.0)
    grant(call, 2, now=50.0)
    assert call.deadline_at == 110.0


def test_credit_that_sends_nothing_does_not_count_as_reading(session, channel, grant):
    call = stream(channel, list(range(5)), task_rows=5, idle_s=60.0)
    answer(call, call.take(1), session, now=10.0)
    grant(call, -5, now=50.0)
    assert call.deadline_at == 70.0


def test_a_caller_that_reads_does_not_lengthen_the_time_of_a_worker(session, channel, grant):
    call = stream(channel, list(range(4)), task_rows=2, limit_s=300.0)
    first, _ = take_all(call)
    answer(call, first, session, now=10.0)
    grant(call, 100, now=200.0)
    assert call.deadline_at == 310.0


def test_a_stream_that_fails_lets_go_of_what_waits(session, channel):
    call = stream(channel, [1, 2, 3], task_rows=3)
    answer(call, call.take(1), session)
    call.fail(Overloaded("too much"), session)
    assert channel.backlog == 1
    assert call.error_name == "Overloaded"


def test_a_stream_whose_end_is_said_does_not_fail_any_more(session, channel):
    call = stream(channel, [1], task_rows=1)
    answer(call, call.take(1), session)
    assert not call.is_over
    call.fail(Overloaded("too much"), session)
    assert call.is_over
    assert call.error_name == ""
    assert channel.backlog == 1
