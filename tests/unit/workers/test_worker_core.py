"""What a worker decides: whom it tells what, what it runs, and how it ends. Time is a number."""

import math

import pytest
from worker_world import IDENTITY, LATEST, START, World, job, model_info

from zeropool.shared import jobs
from zeropool.shared.jobs import BEAT_INTERVAL_S, FORGOTTEN_AFTER_S, Kind, Outcome, Result
from zeropool.workers.commands import Note
from zeropool.workers.core import UNHEARD_AFTER_TRIES
from zeropool.workers.outbox import MAX_KEPT_BYTES, MAX_MESSAGE_BYTES
from zeropool.workers.registration import ANSWER_WAIT_S, WAIT_AGAIN_S
from zeropool.workers.wear import Wear

BEAT = jobs.WorkerBeat("w1")


@pytest.fixture
def world():
    return World()


@pytest.fixture
def welcomed(world):
    """A worker with one gateway that knows it; its beat has just been sent."""
    world.is_welcomed()
    world.core.tick(START)
    world.said()
    return world


# Registration


def test_a_worker_registers_with_each_gateway_at_once():
    world = World(model_info(), model_info("rose", max_batch_size=16), gateways=2)

    world.core.tick(START)

    (to_first, first), (to_second, second) = world.said_to_all()
    assert (to_first, first.link, to_second, second.link) == (0, 0, 1, 1)
    assert (first.worker, first.endpoint) == (IDENTITY.worker_id, IDENTITY.endpoint)
    assert (first.pid, first.host) == (IDENTITY.pid, IDENTITY.host)
    assert first.protocol_version == jobs.PROTOCOL_VERSION
    assert [info.qualified_name for info in first.models] == ["iris", "rose"]


def test_it_asks_for_two_of_its_largest_batches():
    world = World(model_info(max_batch_size=3), model_info("rose", max_batch_size=16))

    world.core.tick(START)

    assert world.said()[0].credit == 32


def test_an_unheard_worker_registers_again_and_says_so_once(world):
    now = START
    for _ in range(2 * UNHEARD_AFTER_TRIES):
        world.core.tick(now)
        now = max(now, world.core.next_deadline())

    assert sum(type(message) is jobs.Register for message in world.said()) > UNHEARD_AFTER_TRIES
    assert [(note.note, note.fields) for note in world.notes] == [
        (
            Note.NO_GATEWAY,
            {"endpoint": "ipc:///run/gateway-0.ipc", "protocol_version": jobs.PROTOCOL_VERSION},
        )
    ]


def test_a_connection_that_comes_up_is_told_at_once(welcomed):
    welcomed.core.connected(0, START + 0.5)
    assert welcomed.core.next_deadline() == START + 0.5

    welcomed.core.tick(START + 0.5)

    assert [type(message) for message in welcomed.said()] == [jobs.Register]


def test_silence_makes_a_worker_register_again(welcomed):
    welcomed.hears(jobs.GatewayBeat("g"), now=START + 1.0)
    welcomed.core.tick(START + 1.0 + FORGOTTEN_AFTER_S - 0.01)
    assert welcomed.said() == [BEAT]

    welcomed.core.tick(START + 1.0 + FORGOTTEN_AFTER_S)

    assert [type(message) for message in welcomed.said()] == [jobs.Register]


def test_the_first_welcome_makes_it_ready():
    world = World(gateways=2)

    world.is_welcomed("g1", link=1)
    world.is_welcomed("g0", link=0)

    world.said()
    assert [note.note for note in world.notes] == [Note.READY]
    assert world.notes[0].fields["gateway"] == "ipc:///run/gateway-1.ipc"


@pytest.mark.parametrize("link", [-1, 1, 2**40])
def test_a_welcome_for_a_link_that_does_not_exist_is_ignored(world, link):
    world.is_welcomed(link=link)

    world.said()
    assert world.notes == []


def test_a_new_incarnation_of_a_gateway_forgets_the_jobs_of_the_old_one(welcomed):
    welcomed.is_given(job(1))

    welcomed.is_welcomed("g2", now=START + 1.0)

    assert welcomed.core.next_batch(START + 1.0) is None


# Messages


def test_what_cannot_be_read_is_noted(welcomed):
    welcomed.core.message(b"\xc1", START)

    assert welcomed.said() == []
    assert [note.note for note in welcomed.notes][-1] is Note.MALFORMED


@pytest.mark.parametrize(
    "message",
    [jobs.Jobs("other", [job(1)]), jobs.Drain("other"), jobs.Cancel("other", [1])],
)
def test_a_foreign_gateway_has_no_say(welcomed, message):
    welcomed.is_given(job(1))

    welcomed.hears(message)

    assert [each.job_id for each in welcomed.core.next_batch(START).jobs] == [1]
    assert welcomed.said() == []
    assert not welcomed.core.is_ending


def test_jobs_before_the_welcome_are_not_taken(world):
    world.is_given(job(1))
    world.hears(jobs.Jobs("", [job(2)]))

    assert world.core.next_batch(START) is None


def test_jobs_for_a_model_that_it_does_not_hold_come_back(welcomed):
    welcomed.is_given(job(1), job(2, "rose", attempt=3))

    (returned,) = welcomed.said()
    assert [(r.job_id, r.attempt, r.outcome) for r in returned.results] == [
        (2, 3, Outcome.RETURNED)
    ]
    assert (returned.gateway, returned.model, returned.rows) == ("g", "", 0)


def test_cancelled_jobs_come_back_unless_they_have_started(welcomed):
    welcomed.is_given(*(job(job_id) for job_id in range(6)))
    assert [each.job_id for each in welcomed.core.next_batch(START).jobs] == [0, 1, 2, 3]

    welcomed.hears(jobs.Cancel("g", [3, 4]))

    (returned,) = welcomed.said()
    assert [(r.job_id, r.outcome) for r in returned.results] == [(4, Outcome.RETURNED)]
    assert [each.job_id for each in welcomed.core.next_batch(START).jobs] == [5]


# Batches


def test_results_go_to_the_gateway_that_asked():
    world = World(gateways=2)
    world.is_welcomed("g0", link=0)
    world.is_welcomed("g1", link=1)
    world.is_given(job(1), gateway="g1")

    world.runs_a_batch()

    ((link, results),) = world.said_to_all()
    assert (link, results.gateway) == (1, "g1")


def test_results_tell_rows_and_seconds(welcomed):
    welcomed.is_given(job(1, rows=40, kind=Kind.ROWS), job(2))

    welcomed.runs_a_batch(took_s=0.25)
    welcomed.runs_a_batch(took_s=0.5)

    facts = [(each.model, each.rows, each.busy_s) for each in welcomed.said()]
    assert facts == [("iris", 40, 0.25), ("iris", 1, 0.5)]


def test_rows_that_expired_do_not_count_as_run(welcomed):
    welcomed.is_given(job(1, remaining_s=1.0), job(2))

    batch = welcomed.runs_a_batch(now=START + 2.0)

    assert [each.job_id for each in batch.expired] == [1]
    assert welcomed.said()[0].rows == 1


@pytest.mark.parametrize("first_bytes", [1, MAX_MESSAGE_BYTES // 2])
def test_large_results_leave_in_several_messages_and_the_batch_is_told_of_once(
    welcomed, first_bytes
):
    sizes_bytes = [first_bytes, *[MAX_MESSAGE_BYTES // 2] * 3]
    results = [
        Result(job_id, 1, Outcome.OK, bytes(size_bytes))
        for job_id, size_bytes in enumerate(sizes_bytes)
    ]
    welcomed.is_given(*(job(job_id) for job_id in range(4)))
    batch = welcomed.core.next_batch(START)

    welcomed.core.finished(batch, results, started_at=START, ended_at=START + 1.0)

    said = welcomed.said()
    assert [[result.job_id for result in each.results] for each in said] == [[0, 1], [2, 3]]
    assert [(each.rows, each.busy_s, each.number) for each in said] == [
        (4, 1.0, 1),
        (0, 0.0, 2),
    ]


def test_results_for_a_gateway_that_was_replaced_are_dropped(welcomed):
    welcomed.is_given(job(1))
    batch = welcomed.core.next_batch(START)
    welcomed.is_welcomed("g2")

    welcomed.core.finished(batch, [], started_at=START, ended_at=START + 1.0)

    assert welcomed.said() == []


def test_a_model_without_predict_batch_is_given_calls_one_by_one():
    world = World(model_info(batches=False, max_wait_s=5.0))
    world.is_welcomed()
    world.is_given(job(1), job(2))

    assert [each.job_id for each in world.core.next_batch(START).jobs] == [1]


def test_the_next_deadline_is_that_of_a_batch_where_one_waits():
    world = World(model_info(max_wait_s=0.125))
    world.is_welcomed()
    world.core.tick(START)
    world.is_given(job(1))

    assert world.core.next_deadline() == START + 0.125
    assert world.core.next_batch(START + 0.1) is None
    assert world.core.next_batch(START + 0.125) is not None


# Beats


def test_a_gateway_that_comes_up_is_answered_before_the_next_batch():
    world = World(gateways=2)
    world.core.connected(0, START)
    world.is_welcomed("g0", link=0)
    world.core.connected(1, START)
    world.is_given(job(1), job(2), gateway="g0")
    assert world.core.next_batch(START) is None
    world.core.tick(START)
    assert [type(said) for said in world.said(link=1)] == [jobs.Register]
    assert world.core.next_batch(START) is None
    assert START < world.core.next_deadline() <= START + ANSWER_WAIT_S

    world.is_welcomed("g1", link=1)
    assert world.core.next_deadline() <= START
    assert world.core.next_batch(START) is not None


@pytest.mark.parametrize("flaps", [False, True])
def test_whatever_a_gateway_does_batches_wait_for_it_a_tenth_of_the_time_at_most(flaps):
    world = World(gateways=2)
    world.is_welcomed("g0", link=0)
    world.core.connected(1, START)
    batch_s, rested_s, now = 0.05, 0.0, START
    for number in range(1_000):
        if flaps:
            world.core.disconnected(1)
            world.core.connected(1, now)
        world.is_given(job(number), gateway="g0", now=now)
        world.core.tick(now)
        if world.core.next_batch(now) is None:
            rested_s += ANSWER_WAIT_S
            now += ANSWER_WAIT_S
            assert world.core.next_batch(now) is not None
        now += batch_s

    assert 0.0 < rested_s <= ANSWER_WAIT_S / WAIT_AGAIN_S * (now - START) + ANSWER_WAIT_S


def test_a_gateway_that_takes_up_no_registration_is_waited_for_after_each_long_batch():
    world = World(gateways=2)
    world.is_welcomed("g0", link=0)
    world.core.connected(1, START)
    for number in range(10):
        now = START + 5.0 * number
        world.is_given(job(number), gateway="g0", now=now)
        world.core.tick(now)
        assert world.core.next_batch(now) is None
        assert world.core.next_batch(now + ANSWER_WAIT_S) is not None


def test_a_gateway_that_has_gone_is_not_waited_for():
    world = World(gateways=2)
    world.is_welcomed("g0", link=0)
    world.is_given(job(1), gateway="g0")
    world.core.connected(1, START)
    assert world.core.next_batch(START) is None
    world.core.disconnected(1)
    assert world.core.next_deadline() <= START
    assert world.core.next_batch(START) is not None


def test_an_idle_worker_beats(welcomed):
    assert welcomed.core.next_deadline() == START + BEAT_INTERVAL_S

    welcomed.core.tick(START + BEAT_INTERVAL_S)
    welcomed.core.tick(START + 1.5 * BEAT_INTERVAL_S)

    assert welcomed.said() == [BEAT]


def test_results_are_as_good_as_a_beat(welcomed):
    welcomed.is_given(job(1))
    welcomed.runs_a_batch(now=START + 0.5, took_s=0.25)
    welcomed.said()

    welcomed.core.tick(START + BEAT_INTERVAL_S)

    assert welcomed.said() == []
    assert welcomed.core.next_deadline() == START + 0.75 + BEAT_INTERVAL_S


def test_a_gateway_that_does_not_know_the_worker_gets_no_beat(world):
    world.core.tick(START)

    assert [type(message) for message in world.said()] == [jobs.Register]


# The end


def test_a_draining_worker_gives_back_what_it_has_not_started_and_says_goodbye(welcomed):
    welcomed.is_given(job(1), job(2, attempt=2))

    welcomed.core.drain()

    draining, returned, bye = welcomed.said()
    assert (draining, bye) == (jobs.Draining("w1"), jobs.Bye("w1", last=1))
    assert returned.number == 1
    assert [(r.job_id, r.attempt, r.outcome, r.body) for r in returned.results] == [
        (1, 1, Outcome.RETURNED, b""),
        (2, 2, Outcome.RETURNED, b""),
    ]
    assert welcomed.notes[-1].fields == {"worker": "w1", "not_started": 2}


def test_each_gateway_gets_its_own_jobs_back():
    world = World(gateways=2)
    world.is_welcomed("g0", link=0)
    world.is_welcomed("g1", link=1)
    world.is_given(job(1), gateway="g0")
    world.is_given(job(1), gateway="g1")

    world.core.drain()

    returned = [(n, m.gateway) for n, m in world.said_to_all() if type(m) is jobs.Results]
    assert sorted(returned) == [(0, "g0"), (1, "g1")]


def test_a_gateways_word_makes_it_drain(welcomed):
    welcomed.hears(jobs.Drain("g"))

    assert welcomed.core.is_ending
    assert [type(message) for message in welcomed.said()] == [jobs.Draining, jobs.Bye]


def test_after_its_goodbye_a_worker_does_nothing_more(welcomed):
    welcomed.core.drain()
    welcomed.said()

    welcomed.is_given(job(1))
    welcomed.core.tick(START + 2 * BEAT_INTERVAL_S)
    welcomed.core.drain()

    assert welcomed.core.next_batch(START + 2 * BEAT_INTERVAL_S) is None
    assert welcomed.said() == []


def test_on_its_way_out_a_worker_is_new_to_no_gateway():
    world = World(gateways=2)
    world.is_welcomed("g1", link=1)
    world.core.drain()
    world.said_to_all()

    world.core.connected(0, START + 1.0)
    world.core.connected(1, START + 1.0)
    world.core.tick(START + 1.0)

    assert [(to, type(message)) for to, message in world.said_to_all()] == [(1, jobs.Register)]


def test_a_worker_without_any_gateway_ends_without_waiting_for_one(world):
    world.core.drain()

    assert world.core.next_deadline() == math.inf


# Results that may not have arrived


def numbers(said):
    return [message.number for message in said if type(message) is jobs.Results]


def test_results_are_counted_for_each_gateway():
    world = World(gateways=2)
    for number, gateway in enumerate(("g0", "g1")):
        world.is_welcomed(gateway, link=number)
    for gateway in ("g0", "g1", "g0"):
        world.is_given(job(1), gateway=gateway)
        world.runs_a_batch()

    said = [(to, message.number) for to, message in world.said_to_all()]
    assert said == [(0, 1), (1, 1), (0, 2)]


def test_what_was_not_seen_is_sent_again_over_the_next_connection(welcomed):
    for job_id in range(3):
        welcomed.is_given(job(job_id))
        welcomed.runs_a_batch()
    first, *unseen = welcomed.said()
    assert first.number == 1

    welcomed.core.connected(0, START + 1.0)
    welcomed.core.tick(START + 1.0)
    assert [message.last for message in welcomed.said()] == [3]
    welcomed.hears(jobs.Welcome("g", jobs.PROTOCOL_VERSION, 0, seen=1, serial=LATEST))

    assert welcomed.said() == unseen


@pytest.mark.parametrize("message", [jobs.Jobs("g", [], 2), jobs.GatewayBeat("g", 2)])
def test_what_a_gateway_tells_of_is_not_sent_again(welcomed, message):
    for job_id in range(3):
        welcomed.is_given(job(job_id))
        welcomed.runs_a_batch()
    welcomed.said()
    welcomed.hears(message)

    welcomed.core.connected(0, START)
    welcomed.is_welcomed()

    assert numbers(welcomed.said()) == [3]


def test_what_goes_over_the_new_connection_is_sent_once(welcomed):
    welcomed.core.connected(0, START)
    welcomed.is_given(job(1))
    welcomed.runs_a_batch(START + ANSWER_WAIT_S)
    welcomed.said()

    welcomed.is_welcomed()

    assert welcomed.said() == []


def test_a_welcome_that_follows_mere_silence_sends_nothing_again(welcomed):
    welcomed.is_given(job(1))
    welcomed.runs_a_batch()
    welcomed.said()

    welcomed.is_welcomed()

    assert welcomed.said() == []


def test_jobs_that_follow_an_old_welcome_are_taken(world):
    world.core.tick(START)
    world.core.connected(0, START + 0.1)

    world.hears(jobs.Welcome("g", jobs.PROTOCOL_VERSION, 0, serial=1))
    world.is_given(job(1))

    assert world.core.next_batch(START + 1.0).jobs == [job(1)]


def test_the_last_words_of_a_gateway_behind_the_first_of_its_successor_are_not_believed(welcomed):
    welcomed.core.connected(0, START + 1.0)
    welcomed.core.tick(START + 1.0)
    (register,) = [said for said in welcomed.said() if isinstance(said, jobs.Register)]

    welcomed.hears(jobs.Welcome("g2", jobs.PROTOCOL_VERSION, 0, serial=register.serial))
    welcomed.hears(jobs.Welcome("dead", jobs.PROTOCOL_VERSION, 0, serial=register.serial - 1))
    welcomed.is_given(job(1), gateway="g2")

    assert welcomed.core.next_batch(START + 1.0).gateway == "g2"


def test_a_new_incarnation_gets_nothing_of_the_old_ones_and_the_count_goes_on(welcomed):
    welcomed.is_given(job(1))
    welcomed.runs_a_batch()
    welcomed.core.connected(0, START + 1.0)
    welcomed.said()

    welcomed.hears(jobs.Welcome("g2", jobs.PROTOCOL_VERSION, 0, seen=1, serial=LATEST))
    welcomed.is_given(job(1), gateway="g2")
    welcomed.runs_a_batch()

    assert numbers(welcomed.said()) == [2]


@pytest.fixture
def forgetful(welcomed):
    """A worker that has let a result go, and whose connection has come up again."""
    large = Result(1, 1, Outcome.OK, bytes(MAX_KEPT_BYTES // 2 + 1))
    for job_id in range(2):
        welcomed.is_given(job(job_id))
        batch = welcomed.core.next_batch(START)
        welcomed.core.finished(batch, [large], started_at=START, ended_at=START)
    welcomed.core.connected(0, START)
    welcomed.said()
    return welcomed


def test_results_that_were_let_go_leave_no_gap_and_are_noted(forgetful):
    forgetful.is_welcomed()
    again = forgetful.said()
    assert [(each.number, len(each.results)) for each in again] == [(1, 0), (2, 1)]
    lost = forgetful.notes[-1]
    assert (lost.note, lost.fields["messages"]) == (Note.RESULTS_LOST, 1)


def test_a_worker_that_lost_results_says_no_goodbye_as_it_has_started_what_it_did_not_answer(
    forgetful,
):
    forgetful.is_welcomed()
    forgetful.said()
    forgetful.core.drain()
    assert forgetful.said() == [jobs.Draining("w1")]


def test_what_was_lost_is_of_no_account_to_a_new_incarnation(forgetful):
    forgetful.is_welcomed()
    forgetful.is_welcomed("another")
    forgetful.said()
    forgetful.core.drain()
    assert forgetful.said() == [jobs.Draining("w1"), jobs.Bye("w1", 2)]


def test_a_goodbye_that_did_not_arrive_is_said_again_after_the_results_before_it(welcomed):
    welcomed.is_given(job(1))
    welcomed.runs_a_batch()
    welcomed.core.drain()
    welcomed.said()

    welcomed.core.connected(0, START + 1.0)
    welcomed.core.tick(START + 1.0)
    welcomed.is_welcomed()

    register, results, bye = welcomed.said()
    assert (register.last, results.number, bye.last) == (1, 1, 1)


# Worn out


@pytest.fixture
def spent():
    """A worker with two gateways that has answered as much as it may."""
    world = World(gateways=2, wear=Wear(max_jobs=1))
    world.is_welcomed("g0", link=0)
    world.is_welcomed("g1", link=1)
    world.is_given(job(1), gateway="g1")
    world.runs_a_batch()
    return world


RETIRE = jobs.Retire("w1", "answered 1 jobs")


def test_a_spent_worker_asks_its_first_gateway_once_to_let_it_go(spent):
    spent.core.tick(START + 0.25)
    spent.core.tick(START + 0.5)

    asked = [each for each in spent.said_to_all() if type(each[1]) is jobs.Retire]
    assert asked == [(0, RETIRE)]
    assert spent.notes[-1].fields == {"worker": "w1", "reason": "answered 1 jobs"}


def test_a_spent_worker_goes_on_working_until_it_may_go(spent):
    spent.core.tick(START + 0.25)
    spent.is_given(job(2), gateway="g0")

    assert spent.core.next_batch(START + 0.5) is not None
    assert not spent.core.is_ending

    spent.hears(jobs.Drain("g0"))
    assert spent.core.is_ending


def test_a_gateway_that_may_not_have_heard_it_is_asked_again(spent):
    spent.core.tick(START + 0.25)
    spent.said_to_all()

    spent.is_welcomed("g0", link=0)
    spent.core.tick(START + 0.5)

    assert spent.said_to_all() == [(0, RETIRE)]


def test_where_the_first_gateway_is_silent_the_next_one_is_asked(spent):
    spent.core.tick(START + 0.25)
    spent.said_to_all()
    now = START + FORGOTTEN_AFTER_S
    spent.hears(jobs.GatewayBeat("g1"), now)

    spent.core.tick(now)

    assert (1, RETIRE) in spent.said_to_all()


def test_a_limit_that_the_models_exceed_is_noted():
    world = World(wear=Wear(max_rss_bytes=1, first_rss_bytes=2))

    world.said()

    assert [note.note for note in world.notes] == [Note.BORN_LARGE]


def test_a_spent_worker_that_no_gateway_knows_has_nobody_to_ask():
    world = World(wear=Wear(max_rss_bytes=1))
    world.core.wear.weighs(2)

    world.core.tick(START)

    assert [type(message) for message in world.said()] == [jobs.Register]


def test_its_repr_tells_how_many_gateways_know_it():
    world = World(gateways=2)
    world.is_welcomed("g1", link=1)

    assert repr(world.core) == (
        "<WorkerCore w1 gateways=1/2 <Batcher jobs=0 lines=0> is_ending=False>"
    )


def test_it_is_ready_when_all_gateways_know_it_and_says_so_once():
    world = World(gateways=2)
    world.is_welcomed("g1", link=1)
    world.said()
    assert [note.note for note in world.notes] == [Note.READY]
    assert world.times_ready == 0
    world.is_welcomed("g0", link=0)
    world.is_welcomed("g2", link=1)
    world.said()
    assert world.times_ready == 1


def test_a_worker_with_a_full_batch_need_not_look_for_more_unless_it_ends():
    world = World(model_info(max_batch_size=2))
    world.is_welcomed()
    world.is_given(job(1))
    assert not world.core.has_full_batch
    world.is_given(job(2))
    assert world.core.has_full_batch
    world.core.drain()
    assert not world.core.has_full_batch
