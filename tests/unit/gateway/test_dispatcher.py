"""Which worker gets which task, and what happens when either goes wrong."""

# ruff: noqa: PLR0917 - fixtures are parameters

from __future__ import annotations

import pytest
from gateway_world import (
    batch,
    model_info,
    open_channel,
    pack,
    result_of,
    returned,
    sent,
    stream,
    unary,
    worker,
)

from zeropool.gateway.budget import CALL_BYTES
from zeropool.gateway.ledger import Stale
from zeropool.shared.errors import Draining, Overloaded
from zeropool.shared.jobs import Outcome, Result, Results
from zeropool.shared.wire import event as wire


@pytest.fixture
def submit(session, dispatcher):
    """Submits a unary call, or what `make` makes of its channel."""

    def submit(name="c1", make=unary, **facts):
        call = make(open_channel(session, name), **facts)
        dispatcher.submit(call)
        return call

    return submit


@pytest.fixture
def dispatch(dispatcher):
    """The jobs for each worker."""

    def dispatch(now=0.0):
        return dispatcher.dispatch(now)

    return dispatch


@pytest.fixture
def results(dispatcher, fleet):
    """A worker sends results; its pace is told with `rows` and `busy_s`."""

    def results(name, *found, rows=0, busy_s=0.0, now=0.0):
        message = Results(name, "gw1", list(found), "double", rows, busy_s)
        dispatcher.take_results(message, fleet.get(name), now)

    return results


@pytest.fixture
def fast(dispatcher):
    """The pace is known: a row takes a tenth of a millisecond."""
    dispatcher.queues["double"].observe(1, 0.0001)


@pytest.fixture
def steady(dispatcher):
    """The pace is known: a row takes a millisecond."""
    dispatcher.queues["double"].observe(1, 0.001)


# Who gets it


def test_before_the_pace_is_known_every_idle_worker_gets_one_task(submit, ready, dispatch):
    ready("w1", "w2")
    for name in "abc":
        submit(name)
    assert {name: len(jobs) for name, jobs in dispatch().items()} == {"w1": 1, "w2": 1}


def test_the_least_loaded_worker_gets_the_next_task(submit, ready, dispatch, fast, fleet):
    ready("w1", "w2", "w3")
    fleet.get("w1").took(1, 0.002, 0.0)
    fleet.get("w2").took(1, 0.001, 0.0)
    submit("a")
    assert list(dispatch()) == ["w3"]
    fleet.get("w3").took(1, 0.005, 0.0)
    submit("b")
    assert list(dispatch()) == ["w2"]
    for name in ("w1", "w2", "w3"):  # what no ledger knows of
        fleet.remove(name)


def test_tasks_are_spread_evenly_and_sent_together(submit, ready, dispatch, steady):
    ready("w1", "w2")
    for n in range(6):
        submit(str(n))
    assert {name: len(jobs) for name, jobs in dispatch().items()} == {"w1": 3, "w2": 3}


def test_cheap_tasks_fill_one_worker_before_the_next(submit, ready, dispatch, fast):
    ready("w1", "w2")
    for name in "abcdefghijklm":
        submit(name)
    assert {name: len(jobs) for name, jobs in dispatch().items()} == {"w1": 10, "w2": 3}


def test_a_batch_whose_tasks_are_not_cheap_is_spread_however_cheap_its_rows_are(
    submit, ready, dispatch, fast
):
    ready("w1", "w2")
    submit("b", lambda chan: batch(chan, [1, 2, 3, 4], task_rows=2))
    assert {name: len(jobs) for name, jobs in dispatch().items()} == {"w1": 1, "w2": 1}


def test_nobody_gets_more_than_the_credit(submit, ready, dispatch, fast, dispatcher):
    ready("w1", credit=4)
    for n in range(10):
        submit(str(n))
    assert len(dispatch()["w1"]) == 4
    assert dispatcher.waiting == 6
    assert dispatch() == {}


def test_a_task_of_many_rows_takes_no_more_of_the_credit_than_a_batch(
    submit, ready, dispatch, dispatcher, fleet, results
):
    dispatcher.queues["double"].observe(1, 0.000_001)
    ready("w1", credit=128)
    submit("b", lambda chan: batch(chan, list(range(600)), task_rows=200))
    first, second = dispatch()["w1"]
    assert (first.rows, second.rows, fleet.get("w1").held_rows) == (200, 200, 128)
    assert dispatch() == {}
    results("w1", result_of(first))
    assert [job.rows for job in dispatch()["w1"]] == [200]
    assert fleet.get("w1").held_rows == 128


def test_only_a_worker_that_holds_the_model_gets_it(submit, ready, dispatch):
    ready("w1", models=("other",))
    submit()
    assert dispatch() == {}


def test_a_job_says_how_long_the_caller_still_waits(submit, ready, dispatch):
    ready("w1")
    submit(limit_s=10.0)
    (job,) = dispatch(now=4.0)["w1"]
    assert job.remaining_s == 6.0
    assert (job.reply_to, job.version, job.attempt) == (b"\xa2c1", 3, 1)


def test_a_small_call_waits_for_one_task_of_a_large_one_only(submit, ready, dispatch, results):
    ready("w1")
    large = submit("large", lambda chan: batch(chan, list(range(6)), task_rows=2))
    submit("small")
    kinds = []
    for _ in range(4):
        (job,) = dispatch()["w1"]
        kinds.append(job.kind.name)
        results("w1", result_of(job))
    assert kinds == ["ROWS", "CALL", "ROWS", "ROWS"]
    assert large.is_over


def test_rows_that_cannot_be_read_end_the_call(session, submit, ready, dispatch):
    ready("w1")

    def broken(chan):
        call = batch(chan, [1, 2, 3])
        call._rows._bytes = b"\x91\x93\x01"
        return call

    submit("broken", broken)
    submit("whole")
    (job,) = dispatch()["w1"]
    assert job.reply_to == b"\xa5whole"
    ((name, args),) = sent(session)
    assert (name, args[:1]) == ("ERR", ["TypeError"])


# Models that share workers


@pytest.fixture
def turns(session, dispatcher, fleet, ready, dispatch):
    """One worker that takes a second for each call; the models that it computes, in order."""
    ready("w1", models=("double", "other"))
    dispatcher.know(model_info("other"))

    def turns(count):
        models = ""
        for _ in range(count):
            ((job,),) = dispatch().values()
            message = Results("w1", "gw1", [result_of(job)], job.model, 1, 1.0)
            dispatcher.take_results(message, fleet.get("w1"), 0.0)
            models += job.model[0]
        session.take_outgoing()
        return models

    return turns


def test_a_flooded_model_leaves_the_others_their_share_of_the_workers(submit, turns):
    for number in range(20):
        submit(f"d{number}")
    assert turns(10) == 10 * "d"
    for number in range(5):
        submit(f"o{number}", model="other")
    assert turns(8).count("o") == 4


def test_a_model_that_nobody_wanted_has_no_claim_to_the_time_of_others(submit, turns):
    submit("o", model="other")
    assert turns(1) == "o"
    for number in range(20):
        submit(f"d{number}")
    assert turns(10) == 10 * "d"
    for number in range(9):
        submit(f"o{number}", model="other")
    assert turns(8).count("o") == 4


# What is taken and what is not


def test_a_result_without_form_is_dropped_and_the_right_one_still_counts(
    session, dispatcher, submit, ready, dispatch, results
):
    ready("w1")
    submit()
    (job,) = dispatch()["w1"]
    results("w1", Result(job.job_id, job.attempt, Outcome.OK))
    assert sent(session) == []
    results("w1", result_of(job))
    assert sent(session) == [("OK", [2])]
    assert dispatcher.ledger.stale == {Stale.WRONG_FORM: 1}


def test_a_result_is_taken_once(session, dispatcher, submit, ready, dispatch, results):
    ready("w1")
    submit()
    (job,) = dispatch()["w1"]
    results("w1", result_of(job), result_of(job))
    assert sent(session) == [("OK", [2])]
    assert dispatcher.ledger.stale == {Stale.UNKNOWN_JOB: 1}
    assert dispatcher.queues["double"].tally.outcomes == {"OK": 1}


def test_an_error_of_the_model_is_counted_by_its_name(dispatcher, submit, ready, dispatch, results):
    ready("w1")
    submit(args=("no number",))
    (job,) = dispatch()["w1"]
    results("w1", result_of(job))
    assert dispatcher.queues["double"].tally.outcomes == {"InvalidInput": 1}


@pytest.mark.parametrize(
    ("rows", "busy_s"),
    [
        (1, float("nan")),
        (1, float("inf")),
        (1, -1.0),
        (1, 1.7e308),  # twice, and the sum is infinite
        (2**64 - 1, 1.0),  # twice, and no status can carry the sum
    ],
)
def test_nonsense_about_its_pace_is_not_believed(
    dispatcher, fleet, submit, ready, dispatch, results, rows, busy_s
):
    ready("w1")
    submit()
    (job,) = dispatch()["w1"]
    results("w1", result_of(job), rows=rows, busy_s=busy_s)
    assert dispatcher.queues["double"].row_s is None
    assert fleet.get("w1").answered_rows == 0


def test_the_pace_is_what_workers_say(dispatcher, fleet, submit, ready, dispatch, results):
    ready("w1")
    submit()
    (job,) = dispatch()["w1"]
    results("w1", result_of(job), rows=10, busy_s=0.1)
    assert dispatcher.queues["double"].row_s == pytest.approx(0.01)
    assert fleet.get("w1").answered_rows == 10


def test_whose_results_are_all_stale_teaches_no_pace(dispatcher, submit, ready, dispatch, results):
    ready("w1")
    submit()
    (job,) = dispatch()["w1"]
    results("w1", Result(job.job_id, 7, Outcome.OK), rows=1, busy_s=1e300)
    assert dispatcher.queues["double"].row_s is None


# Models that batch


def test_idle_workers_get_their_share_of_a_batching_models_calls_however_long_they_take(
    submit, ready, dispatch, dispatcher
):
    dispatcher.know(model_info(batches=True, max_batch_size=4))
    dispatcher.queues["double"].observe(1, 0.020)
    ready("w1", "w2")
    for name in "abcdef":
        submit(name)
    assert {name: len(jobs) for name, jobs in dispatch().items()} == {"w1": 3, "w2": 3}
    for name in "ghijklmnop":
        submit(name)
    assert dispatch() == {}


def test_a_share_is_at_most_a_batch(submit, ready, dispatch, dispatcher):
    dispatcher.know(model_info(batches=True, max_batch_size=4))
    ready("w1")
    for name in "abcdef":
        submit(name)
    assert len(dispatch()["w1"]) == 4


def test_calls_join_one_that_waits_for_company(submit, ready, dispatch, dispatcher):
    dispatcher.know(model_info(batches=True, max_batch_size=3, max_wait_s=0.1))
    ready("w1")
    submit("a")
    assert len(dispatch()["w1"]) == 1
    for name in "bcd":
        submit(name)
    assert len(dispatch()["w1"]) == 2


def test_a_worker_in_which_calls_may_wait_for_company_is_not_stalled(
    submit, ready, dispatch, dispatcher
):
    dispatcher.know(model_info(batches=True, max_batch_size=1, max_wait_s=0.1))
    dispatcher.queues["double"].observe(1, 0.0001)
    ready("w1")
    submit("a")
    submit("b")
    dispatch()
    dispatcher.reclaim(1.0)
    assert dispatcher.ledger.owned_by("w1") == 2


# Lost workers


def test_a_dead_workers_tasks_move_with_their_ids_and_a_new_attempt(
    submit, ready, dispatch, dispatcher, fleet, fast
):
    ready("w1")
    for name in "abc":
        submit(name)
    before = dispatch()["w1"]
    fleet.remove("w1")
    dispatcher.worker_lost("w1")
    ready("w2", "w3", "w4")
    after = [job for jobs in dispatch().values() for job in jobs]
    assert [job.job_id for job in after] == [job.job_id for job in before]
    assert [job.attempt for job in after] == [2, 2, 2]
    assert dispatcher.redispatched == 3


# Suspects


@pytest.fixture
def suspects(submit, ready, dispatch, dispatcher, fleet, fast):
    """Makes calls whose worker died."""

    def suspects(*names):
        ready("dead")
        calls = [submit(name) for name in names]
        dispatch()
        fleet.remove("dead")
        dispatcher.worker_lost("dead")
        return calls

    return suspects


def channels(assigned):
    return {name: [job.reply_to for job in jobs] for name, jobs in assigned.items()}


def test_each_task_of_a_dead_worker_runs_alone(suspects, submit, ready, dispatch, results, fleet):
    suspects("a", "b")
    submit("c")
    ready("w1")
    first = dispatch()
    assert channels(first) == {"w1": [b"\xa1a"]}
    assert not fleet.get("w1").can_take(0.0)
    results("w1", result_of(first["w1"][0]))
    second = dispatch()
    assert channels(second) == {"w1": [b"\xa1b"]}
    results("w1", result_of(second["w1"][0]))
    assert channels(dispatch()) == {"w1": [b"\xa1c"]}


def test_innocent_tasks_survive_the_company_of_a_poison_one(
    session, suspects, ready, dispatch, results, dispatcher, fleet
):
    poison, innocent = suspects("p", "i")
    for name in ("w1", "w2"):
        ready(name)
        for worker_id, jobs in dispatch().items():
            if [job.reply_to for job in jobs] != [b"\xa1p"]:
                results(worker_id, *map(result_of, jobs))
        (killed,) = (worker for worker in fleet if worker.held_rows)
        fleet.remove(killed.worker_id)
        dispatcher.worker_lost(killed.worker_id)
        ready("spare")
    assert poison.error_name == "WorkerLost"
    assert innocent.is_over
    assert innocent.error_name == ""


def test_a_busy_worker_is_kept_free_until_it_is_idle_for_a_suspect(
    submit, ready, dispatch, results, dispatcher, fleet, steady
):
    ready("w1", "w2", "dead")
    for name in "xyz":
        submit(name)
    busy = dispatch()
    fleet.remove("dead")
    dispatcher.worker_lost("dead")
    submit("e")
    submit("f")
    assert channels(dispatch()) == {"w2": [b"\xa1e", b"\xa1f"]}
    results("w1", *map(result_of, busy["w1"]))
    assert channels(dispatch()) == {"w1": [b"\xa1z"]}


def test_a_suspect_whose_caller_is_gone_is_forgotten(suspects, ready, dispatch, dispatcher):
    (call,) = suspects("a")
    dispatcher.caller_lost(call.channel)
    ready("w1")
    assert dispatch() == {}
    assert dispatcher.take_cancellations() == {}


def test_a_suspect_does_not_wait_for_a_stalled_worker(
    submit, ready, dispatch, results, dispatcher, fleet, steady
):
    ready("stuck", "w1", "dead")
    for name in "xyz":
        submit(name)
    busy = dispatch()
    results("w1", *map(result_of, busy["w1"]), now=1.0)
    submit("e")
    submit("f")
    dispatch(1.0)
    fleet.remove("dead")
    dispatcher.worker_lost("dead")
    submit("g")
    assert dispatch(1.0) == {}
    assert dispatcher.waiting == 1


def test_a_suspect_that_comes_back_unstarted_still_runs_alone(
    suspects, submit, ready, dispatch, results, fleet
):
    suspects("s")
    ready("w1")
    (job,) = dispatch()["w1"]
    for name in "ab":
        submit(name)
    results("w1", returned(job))
    again = dispatch()["w1"]
    assert [job.reply_to for job in again] == [b"\xa1s"]


# Workers that stall


def test_a_worker_that_must_have_answered_or_died_is_overdue(submit, ready, dispatch, dispatcher):
    dispatcher.know(model_info(timeout_s=5.0))
    ready("w1", "w2")
    submit("a")
    dispatch()
    assert dispatcher.overdue_workers(20.0) == []
    assert dispatcher.overdue_workers(20.1) == ["w1"]


def test_what_a_stalled_worker_cannot_have_started_goes_to_another(
    submit, ready, dispatch, dispatcher, results, fleet, fast
):
    dispatcher.know(model_info(batches=True, max_batch_size=2))
    ready("w1")
    for name in "abcd":
        submit(name)
    held = dispatch()["w1"]
    ready("w2")
    dispatcher.reclaim(0.049)
    assert dispatch(0.049) == {}
    dispatcher.reclaim(0.050)
    assert dispatcher.take_cancellations() == {"w1": [job.job_id for job in reversed(held[2:])]}
    moved = dispatch(0.050)["w2"]
    assert [(job.job_id, job.attempt) for job in moved] == [
        (held[2].job_id, 2),
        (held[3].job_id, 2),
    ]
    results("w1", result_of(held[2]), now=0.1)
    assert dispatcher.ledger.stale[Stale.WRONG_OWNER] == 1
    assert fleet.get("w1").held_rows == 2


def test_a_task_of_rows_runs_alone_so_all_behind_it_is_taken_back(
    submit, ready, dispatch, dispatcher, fast
):
    ready("w1")
    submit("b", lambda chan: batch(chan, [1, 2], task_rows=2))
    submit("c")
    dispatch()
    dispatcher.reclaim(1.0)
    assert dispatcher.ledger.owned_by("w1") == 1
    assert dispatcher.waiting == 1


def test_a_model_that_is_not_retry_safe_stays_with_a_stalled_worker(
    submit, ready, dispatch, dispatcher, fast
):
    dispatcher.know(model_info(max_batch_size=1, retry_safe=False))
    ready("w1")
    submit("a")
    submit("b")
    dispatch()
    dispatcher.reclaim(1.0)
    assert dispatcher.ledger.owned_by("w1") == 2


def test_a_task_that_kills_workers_is_stopped(session, submit, ready, dispatch, dispatcher, fleet):
    submit()
    for name in ("w1", "w2", "w3"):
        ready(name)
        assert list(dispatch()) == [name]
        fleet.remove(name)
        dispatcher.worker_lost(name)
    message = "3 workers died while they had this call"
    assert sent(session) == [("ERR", ["WorkerLost", message, f"WorkerLost: {message}"])]
    assert dispatcher.open_calls == 0


def test_a_model_that_is_not_retry_safe_is_not_retried(
    session, submit, ready, dispatch, dispatcher, fleet
):
    dispatcher.know(model_info(retry_safe=False))
    ready("w1")
    submit()
    dispatch()
    fleet.remove("w1")
    dispatcher.worker_lost("w1")
    message = "worker w1 died; double is not retried"
    assert sent(session) == [("ERR", ["WorkerLost", message, f"WorkerLost: {message}"])]


def test_a_batch_that_fails_with_its_worker_is_cancelled_at_the_others_only(
    submit, ready, dispatch, dispatcher, fleet
):
    dispatcher.know(model_info(retry_safe=False))
    ready("w1", "w2")
    submit("b", lambda chan: batch(chan, [1, 2, 3, 4], task_rows=2))
    jobs = dispatch()
    fleet.remove("w1")
    dispatcher.worker_lost("w1")
    assert dispatcher.take_cancellations() == {"w2": [jobs["w2"][0].job_id]}


def test_a_goodbye_does_not_count_as_a_death(submit, ready, dispatch, dispatcher, fleet):
    call = submit()
    for name in ("w1", "w2", "w3", "w4", "w5"):
        ready(name)
        dispatch()
        fleet.remove(name)
        dispatcher.worker_left(name)
    assert not call.is_over
    assert dispatcher.redispatched == 0


def test_what_was_returned_goes_to_the_front_in_its_order(submit, ready, dispatch, results, fast):
    ready("w1", credit=3)
    for name in "abcde":
        submit(name)
    first = dispatch()["w1"]
    results("w1", *map(returned, first))
    again = dispatch()["w1"]
    assert [job.reply_to for job in again] == [b"\xa1a", b"\xa1b", b"\xa1c"]


def test_a_late_result_of_another_attempt_is_not_taken(
    session, submit, ready, dispatch, dispatcher, fleet, results
):
    ready("w1")
    submit()
    (job,) = dispatch()["w1"]
    fleet.remove("w1")
    dispatcher.worker_lost("w1")
    ready("w1")  # it was only frozen, and registers again
    (again,) = dispatch()["w1"]
    results("w1", result_of(job))
    assert dispatcher.ledger.stale == {Stale.WRONG_ATTEMPT: 1}
    results("w1", result_of(again))
    assert sent(session) == [("OK", [2])]


# Time


def test_a_call_that_waits_too_long_is_never_started(session, submit, ready, dispatch, dispatcher):
    submit(limit_s=10.0)
    assert dispatcher.next_deadline() == 10.0
    dispatcher.tick(9.9)
    assert sent(session) == []
    dispatcher.tick(10.0)
    message = "double: no result after 10.0 s"
    expected = ["DeadlineExceeded", message, f"DeadlineExceeded: {message}"]
    assert sent(session) == [("ERR", expected)]
    ready("w1")
    assert dispatch() == {}
    assert dispatcher.waiting == 0


def test_a_call_that_runs_too_long_is_cancelled_and_its_late_result_frees_the_worker(
    session, submit, ready, dispatch, dispatcher, results, fleet
):
    ready("w1")
    submit(limit_s=10.0)
    (job,) = dispatch()["w1"]
    dispatcher.tick(10.0)
    assert dispatcher.take_cancellations() == {"w1": [job.job_id]}
    assert len(sent(session)) == 1
    assert fleet.get("w1").held_rows == 1
    results("w1", result_of(job), now=11.0)
    assert sent(session) == []
    assert fleet.get("w1").held_rows == 0
    assert dispatcher.take_cancellations() == {}


def test_a_cancelled_task_that_comes_back_is_not_repeated(
    submit, ready, dispatch, dispatcher, results
):
    ready("w1")
    call = submit()
    (job,) = dispatch()["w1"]
    dispatcher.caller_lost(call.channel)
    results("w1", returned(job))
    assert dispatch() == {}
    assert dispatcher.queues["double"].tally.outcomes == {"CallerLost": 1}


@pytest.mark.parametrize(
    ("make", "rows"), [(unary, 1), (lambda chan: batch(chan, [1, 2]), 2)], ids=["unary", "batch"]
)
def test_what_is_over_holds_no_arguments_whatever_its_worker_does(
    submit, ready, dispatch, dispatcher, fleet, results, make, rows
):
    ready("w1")
    ready("w2")
    answered, lost = submit("a", make), submit("b", make)
    jobs = dispatch()
    flying = [*answered.flying, *lost.flying]
    for call in (answered, lost):
        dispatcher.caller_lost(call.channel)
    assert [(task.args, task.rows) for task in flying] == [(b"", rows)] * 2
    results("w1", *map(result_of, jobs["w1"]))
    fleet.remove("w2")
    dispatcher.worker_lost("w2")
    assert answered.flying == lost.flying == []


def test_nobody_works_for_callers_that_are_gone(submit, dispatch, ready, dispatcher):
    call = submit("a")
    submit("b")
    dispatcher.caller_lost(call.channel)
    dispatcher.caller_lost(call.channel)
    ready("w1")
    (job,) = dispatch()["w1"]
    assert job.reply_to == b"\xa1b"


def test_a_batch_that_goes_on_is_not_ended(submit, ready, dispatch, dispatcher, results):
    ready("w1")
    call = submit("b", lambda chan: batch(chan, [1, 2, 3, 4], limit_s=10.0))
    results("w1", result_of(dispatch()["w1"][0]), now=8.0)
    dispatcher.tick(10.0)
    assert not call.is_over
    assert dispatcher.next_deadline() == 18.0
    dispatcher.tick(18.0)
    assert call.is_over


def test_a_stream_that_nobody_reads_ends_after_the_idle_limit(
    session, submit, ready, dispatch, dispatcher, results
):
    ready("w1")
    call = submit("s", lambda chan: stream(chan, [1, 2, 3], task_rows=3, idle_s=60.0))
    results("w1", result_of(dispatch()["w1"][0]), now=50.0)
    assert [name for name, _ in sent(session)] == ["STREAM"]
    dispatcher.tick(60.0)
    assert dispatcher.next_deadline() == 110.0
    dispatcher.tick(110.0)
    assert call.is_over
    assert call.channel.backlog == 1
    assert dispatcher.held_bytes == 0
    assert dispatcher.queues["double"].tally.outcomes == {"DeadlineExceeded": 1}


def test_a_stream_goes_on_when_its_caller_reads_on(
    session, submit, ready, dispatch, dispatcher, results
):
    ready("w1", credit=1000)
    call = submit("s", lambda chan: stream(chan, list(range(600)), task_rows=300))
    results("w1", result_of(dispatch()["w1"][0]))
    assert dispatch() == {}
    more = wire.encode_more(b"\xa1m", call.channel.channel_id, 700)
    session.receive(call.channel.route, more, 1.0)
    dispatcher.caller_granted(call.channel, 1.0)
    results("w1", result_of(dispatch()["w1"][0]))
    assert call.is_over
    assert dispatcher.held_bytes == 0
    assert [name for name, _ in sent(session)] == 600 * ["STREAM"] + ["STREAM_DONE"]
    dispatcher.caller_granted(call.channel, 2.0)


def test_the_deadlines_of_ended_calls_do_not_pile_up(session, submit, dispatcher):
    for n in range(1000):
        dispatcher.caller_lost(submit(str(n)).channel)
    assert len(dispatcher._deadlines) <= 2 * 0 + 64 + 1


# Bounds


ME = b"client"
YOU = b"you"


def test_a_full_queue_takes_no_more(dispatcher, submit):
    dispatcher.know(model_info(max_queue=1))
    dispatcher.check_room(dispatcher.queues["double"], ME, 10, 300.0)
    submit()
    with pytest.raises(Overloaded) as refused:
        dispatcher.check_room(dispatcher.queues["double"], ME, 10, 300.0)
    message = "queue of double holds max_queue 1 calls; retry_after_s=1.00"
    assert str(refused.value) == message
    assert dispatcher.queues["double"].tally.outcomes == {"Overloaded": 1}


def test_in_a_full_queue_the_client_with_the_most_calls_makes_room(session, dispatcher, submit):
    dispatcher.know(model_info(max_queue=2))
    first, second = submit("1"), submit("2")
    dispatcher.check_room(dispatcher.queues["double"], YOU, 10, 300.0)
    request = wire.encode_request(pack("y"), "double_predict", [1])
    channel = session.receive((YOU,), request, 0.0).channel
    dispatcher.submit(unary(channel))
    assert (first.is_over, second.is_over) == (False, True)
    ((name, args),) = sent(session)
    assert (name, args[0]) == ("ERR", "Overloaded")
    assert args[1].startswith("queue of double holds max_queue 2 calls; retry_after_s=")
    assert dispatcher.queues["double"].waiting == 2


def test_a_call_that_would_have_to_wait_beyond_its_deadline_is_refused_at_once(dispatcher, submit):
    for name in ("1", "2", "3"):
        submit(name)
    dispatcher.queues["double"].observe(1, 2.0)
    dispatcher.check_room(dispatcher.queues["double"], ME, 10, 6.7)
    message = r"double: a wait of 6.00 s is too long for the 6.60 s left; retry_after_s=6.00"
    with pytest.raises(Overloaded, match=message):
        dispatcher.check_room(dispatcher.queues["double"], ME, 10, 6.6)


def test_more_bytes_than_may_be_held_are_refused(dispatcher, submit):
    submit(args=("x" * 90_000,))
    free = 100_000 - (90_000 + 6 + CALL_BYTES) - CALL_BYTES
    dispatcher.check_room(dispatcher.queues["double"], YOU, free, 300.0)
    message = r"calls hold 92054 of max_held_bytes 100000; retry_after_s="
    with pytest.raises(Overloaded, match=message):
        dispatcher.check_room(dispatcher.queues["double"], YOU, free + 1, 300.0)


def test_results_that_wait_are_held_too(dispatcher, submit, ready, dispatch, results):
    ready("w1")
    call = submit("b", lambda chan: batch(chan, [1, 2, 3, 4]))
    before = dispatcher.held_bytes
    results("w1", result_of(dispatch()["w1"][0]))
    assert dispatcher.held_bytes == before + 2 == call.held_bytes + call.record_bytes


def test_a_batch_whose_reply_is_too_large_is_cancelled_elsewhere(
    session, submit, ready, dispatch, dispatcher, results
):
    ready("w1", "w2")
    submit("b", lambda chan: batch(chan, [200, 201, 202, 203], max_reply_bytes=5))
    jobs = dispatch()
    results("w1", result_of(jobs["w1"][0]))
    assert [name for name, _ in sent(session)] == ["ERR"]
    assert list(dispatcher.take_cancellations()) == ["w2"]
    assert dispatcher.queues["double"].tally.outcomes == {"PayloadTooLarge": 1}
    assert dispatcher.held_bytes == 0


def test_all_open_calls_can_be_answered_with_an_error(session, submit, dispatcher, ready, dispatch):
    ready("w1")
    submit("a")
    dispatch()
    submit("b")
    dispatcher.fail_all(Draining("over"))
    assert [args[0] for _, args in sent(session)] == ["Draining", "Draining"]
    budget = "<Budget held=0 of=100000 clients=0>"
    assert repr(dispatcher) == f"<Dispatcher calls=0 flying=1 waiting=0 {budget}>"


def test_a_stream_whose_worker_is_late_is_told_so(session, submit, ready, dispatch, dispatcher):
    ready("w1")
    submit("s", lambda chan: stream(chan, [1], limit_s=10.0))
    dispatch()
    dispatcher.tick(10.0)
    ((_, args),) = sent(session)
    assert args[1] == "double: no result after 10.0 s"


def test_the_invariants_notice_a_call_that_nobody_will_dispatch(dispatcher, submit):
    call = submit()
    dispatcher.queues["double"].pop()
    with pytest.raises(RuntimeError, match="has work and is in no queue"):
        dispatcher.check_invariants()
    call.end()
    with pytest.raises(RuntimeError, match="is over and still open"):
        dispatcher.check_invariants()
    dispatcher.caller_lost(call.channel)


def test_the_invariants_notice_a_worker_that_holds_what_nobody_gave(dispatcher, fleet):
    fleet.add(worker("w1"))
    fleet.get("w1").held_rows = 1
    with pytest.raises(RuntimeError, match="the ledger does not know"):
        dispatcher.check_invariants()
    fleet.get("w1").held_rows = -1
    with pytest.raises(RuntimeError, match="answered more than it was given"):
        dispatcher.check_invariants()
    fleet.remove("w1")
