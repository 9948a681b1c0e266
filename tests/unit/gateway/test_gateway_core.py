"""The whole gateway but its sockets: frames and time in, commands out."""

from __future__ import annotations

import pytest
from gateway_world import model_info, pack, result_of, unpack

from zeropool.gateway.commands import Note
from zeropool.gateway.enrolment import MAX_MODELS
from zeropool.shared import jobs
from zeropool.shared.jobs import Kind, Outcome, Result
from zeropool.shared.wire import event as wire
from zeropool.shared.wire.event_scan import MAX_CHECKED_BYTES
from zeropool.shared.wire.session import Drop

# Workers come


def test_a_worker_is_welcomed_once_it_is_connected(world):
    world.register()
    (connect,) = world.connects
    assert (connect.worker_id, connect.endpoint) == ("w1", "ipc://w1")
    assert world.told["w1"] == []
    world.connect()
    assert world.told["w1"] == [jobs.Welcome("gw1", jobs.PROTOCOL_VERSION, 3)]
    assert [log.note for log in world.notes] == [Note.WORKER_READY]


def test_a_worker_that_repeats_its_registration_is_connected_once(world):
    world.register()
    world.register()
    assert len(world.connects) == 1
    world.connect()
    world.register()
    assert len(world.connects) == 1
    assert world.told["w1"] == 2 * [jobs.Welcome("gw1", jobs.PROTOCOL_VERSION, 3)]


def test_a_worker_of_another_protocol_version_is_refused(world):
    world.register(version=3)
    assert world.connects == []
    (log,) = world.notes
    assert log.note is Note.WORKER_REFUSED
    assert log.fields["reason"] == "speaks protocol version 3, this gateway 2"


def test_a_worker_that_does_not_get_connected_is_given_up(world):
    world.register()
    for now in (1.0, 2.0, 3.0, 4.0, 5.0):
        world.advance(now)
    assert world.disconnects == []
    world.advance(6.0)
    assert world.disconnects == ["w1"]
    assert world.notes[-1].fields["error"] == "ipc://w1: no connection within 5 s"
    world.connect()
    assert world.told["w1"] == []


def test_workers_hear_a_beat_every_second(world):
    world.worker_up()
    assert world.gateway.next_deadline() == 1.0
    world.advance(1.0)
    world.advance(1.5)
    world.advance(2.0)
    assert world.told["w1"][1:] == 2 * [jobs.GatewayBeat("gw1")]


def test_a_beat_shows_that_a_worker_is_alive(world):
    world.worker_up()
    world.now = 3.0
    world.from_worker(jobs.WorkerBeat("w1"))
    assert world.gateway.fleet.get("w1").heard_at == 3.0


@pytest.mark.parametrize("frame", [b"", b"garbage", pack(["results", "w1"]), pack(["welcome"])])
def test_malformed_frames_from_workers_are_counted(world, frame):
    world.gateway.worker_message(frame, 0.0)
    assert world.gateway.dropped == {"worker_malformed": 1}


# A call


def test_a_call_is_answered_with_the_workers_own_bytes(world):
    world.worker_up()
    world.call("double_predict", 21)
    world.answer()
    assert world.reply() == ("OK", [42])


def test_a_batch_is_spread_over_the_workers_and_put_together(world):
    world.worker_up("w1", [model_info(max_batch_size=16)])
    world.worker_up("w2", [model_info(max_batch_size=16)])
    world.call("double_predict_batch", list(range(40)))
    assert (len(world.held["w1"]), len(world.held["w2"])) == (1, 1)
    for name in ("w2", "w1", "w2", "w1"):
        world.answer(name)
    assert world.reply() == ("OK", [{"predictions": [2 * n for n in range(40)], "errors": []}])


def test_a_stream_sends_what_its_caller_asks_for(world):
    world.worker_up()
    world.call("double_predict_stream", [1, 2, 3])
    assert world.held["w1"][0].kind is Kind.ITEMS
    world.answer()
    assert world.events() == [("STREAM", {"index": 0, "prediction": 2})]
    world.grant(2)
    assert len(world.events()) == 3
    assert not world.gateway.dispatcher.queues["double"].tally.outcomes
    world.grant(100)
    assert world.events()[3] == ("STREAM_DONE", None)
    assert world.gateway.dispatcher.queues["double"].tally.outcomes == {"OK": 1}


@pytest.mark.parametrize(
    ("shape", "reply"),
    [("batch", ("OK", [{"predictions": [], "errors": []}])), ("stream", ("STREAM_DONE", None))],
)
def test_no_rows_need_no_worker(world, shape, reply):
    world.worker_up()
    world.lose()
    world.call(f"double_predict_{shape}", [])
    assert world.reply() == reply


def test_arguments_that_are_no_rows_are_refused(world):
    world.worker_up()
    world.call("double_predict_batch", 5)
    assert world.error() == (
        "TypeError",
        "double_predict_batch(): 'rows' should be an array of rows",
    )


def large_batch(rows):
    """A request whose rows nobody has looked at when it is taken."""
    request = wire.encode_request(pack("1"), "double_predict_batch", [rows])
    assert len(request) > MAX_CHECKED_BYTES
    return request


@pytest.fixture
def large_world(make_world):
    limit = 1_000_000
    return make_world(max_request_bytes=limit, max_reply_bytes=limit, max_held_bytes=10 * limit)


def test_the_rows_of_a_large_batch_are_answered_in_their_order(large_world):
    world = large_world
    world.worker_up("w1", [model_info()])
    rows = list(range(1000, 41_000))
    world.from_client("c1", large_batch(rows))
    while not world.events():
        world.answer()
    assert world.reply() == ("OK", [{"predictions": [2 * n for n in rows], "errors": []}])


@pytest.mark.parametrize("end", [b"", b"\xc1"])
def test_a_large_batch_that_is_malformed_at_its_end_is_refused_when_that_is_met(large_world, end):
    world = large_world
    world.worker_up("w1", [model_info()])
    world.from_client("c1", large_batch(list(range(1000, 41_000)))[:-3] + end)
    while not world.events():
        world.answer()
    name, message = world.error()
    assert name == "TypeError"
    assert message.startswith("double_predict_batch(): malformed msgpack in or after row ")
    assert not world.gateway.dispatcher.open_calls
    assert not world.gateway.budget.call_bytes


def test_what_workers_have_of_a_large_batch_is_cancelled_as_soon_as_it_fails(large_world):
    world = large_world
    for name in ("w1", "w2"):
        world.worker_up(name, [model_info(batches=True)])
    world.gateway.dispatcher.queues["double"].observe(1000, 0.01)
    whole = large_batch(list(range(1000, 42_000)))
    at = whole.index(b"\xcd" + (1450).to_bytes(2, "big"))
    world.from_client("c1", whole[:at] + b"\xc1" + whole[at + 1 :])
    assert world.error()[0] == "TypeError"
    held = {name: [job.job_id for job in world.held[name]] for name in ("w1", "w2")}
    assert all(held.values())
    assert world.cancelled == held


def test_a_large_batch_whose_arguments_are_no_rows_is_refused_at_once(large_world):
    world = large_world
    world.worker_up()
    world.from_client("c1", large_batch(b"x" * MAX_CHECKED_BYTES))
    assert world.error() == (
        "TypeError",
        "double_predict_batch(): 'rows' should be an array of rows",
    )


def test_an_unknown_method_is_a_name_error(world):
    world.call("nope")
    assert world.error() == ("NameError", "nope")


def test_a_request_over_the_limit_is_refused(make_world):
    world = make_world(max_request_bytes=100)
    world.call("double_predict", "x" * 100)
    name, message = world.error()
    assert name == "PayloadTooLarge"
    assert message.endswith("bytes exceeds max_request_bytes 100")


def test_an_overloaded_gateway_says_when_to_come_back(world):
    world.worker_up("w1", [model_info(max_queue=1)])
    for n in "123":
        world.call("double_predict", 1, call_id=n)
    assert world.error(call_id="3") == (
        "Overloaded",
        "queue of double holds max_queue 1 calls; retry_after_s=1.00",
    )


def test_results_for_which_there_is_no_memory_end_their_calls(make_world):
    world = make_world(max_held_bytes=400_000, max_reply_bytes=50_000)
    world.worker_up("w1", [model_info(batches=True, max_batch_size=2)])
    clients = [f"c{number}" for number in range(7)]
    for client in clients:
        world.call("double_predict_batch", [1] * 10, client=client)
    peak_bytes = 0
    while held := world.held.pop("w1", None):
        body = 2 * pack(b"x" * 2200)
        results = [Result(job.job_id, job.attempt, Outcome.OK, body) for job in held]
        world.report("w1", results, held=held, busy_s=0.01)
        peak_bytes = max(peak_bytes, world.gateway.budget.held_bytes)
    assert peak_bytes <= 400_000
    answers = [world.reply(client) for client in clients]
    failed = {args[0] for name, args in answers if name == "ERR"}
    assert failed == {"Overloaded"}
    assert "OK" in {name for name, _ in answers}


def test_credit_does_not_lengthen_the_time_of_a_call(world):
    world.worker_up("w1", [model_info(timeout_s=10.0)])
    world.call("double_predict", 1)
    for now in (4.0, 8.0):
        world.now = now
        world.grant(100)
    world.advance(10.0)
    assert world.error() == ("DeadlineExceeded", "double: no result after 10.0 s")
    assert world.cancelled["w1"] == [world.held["w1"][0].job_id]


def test_a_caller_may_shorten_its_time(world):
    world.worker_up()
    world.call("double_predict", 1, timeout_s=2.0)
    world.advance(2.0)
    assert world.error()[0] == "DeadlineExceeded"


def test_a_call_without_time_is_not_started(world):
    world.worker_up()
    world.call("double_predict", 1, timeout_s=0)
    assert world.error()[0] == "DeadlineExceeded"
    assert world.held["w1"] == []


# Other clients' habits


def test_two_clients_may_use_the_same_id(world):
    world.worker_up()
    world.worker_up("w2")
    world.call("double_predict", 1, client="a")
    world.call("double_predict", 2, client="b")
    world.answer("w2")
    world.answer("w1")
    assert world.reply("a") == ("OK", [2])
    assert world.reply("b") == ("OK", [4])


def test_an_id_that_is_in_use_is_not_answered_twice(world):
    world.worker_up()
    world.call("double_predict", 1)
    world.call("double_predict", 2)
    world.answer()
    assert world.reply() == ("OK", [2])
    assert world.gateway.session.dropped == {Drop.DUPLICATE_ID: 1}


@pytest.mark.parametrize("route", [(b"c1",), (b"c1", b"hop"), (b"c1", b"hop", b"other")])
def test_the_reply_goes_back_the_way_the_request_came(world, route):
    request = wire.encode_request(pack("1"), "_zerorpc_ping", [])
    world.gateway.client_message(route, request, 0.0)
    world.run()
    assert world.received[route, "1"] == [("OK", [["pong", "zeropool"]])]


def test_a_client_that_is_gone_loses_all_its_calls_by_whatever_devices(world):
    world.worker_up("w1", [model_info(batches=False)], credit=1)
    here, there, other = (b"c1",), (b"c1", b"hop"), (b"c2", b"hop")
    for route in (here, there, other):
        request = wire.encode_request(pack("1"), "double_predict", [1])
        world.gateway.client_message(route, request, 0.0)
    world.run()
    world.gateway.client_gone(b"c1", 1.0, has_hops=True)
    world.run()
    assert list(world.gateway.session._channels) == [other]


def test_a_client_that_makes_up_hops_has_no_more_turns(world):
    world.worker_up("w1", [model_info(batches=False)], credit=1)
    for number in range(5):
        request = wire.encode_request(pack("1"), "double_predict", [number])
        world.gateway.client_message((b"flood", b"hop%d" % number), request, 0.0)
    for number in range(2):
        world.call("double_predict", 100 + number, client="polite", call_id=str(number))
    served = []
    while world.held["w1"]:
        served += [unpack(job.args)[0] for job in world.held["w1"]]
        world.answer(busy_s=0.1)
    assert served == [0, 100, 1, 101, 2, 3, 4]


def test_a_message_without_payload_is_dropped(world):
    world.gateway.client_message((b"c1",), b"", 0.0)
    assert world.gateway.session.dropped == {Drop.MALFORMED: 1}


def test_messages_over_too_many_hops_are_dropped(world):
    request = wire.encode_request(pack("1"), "_zerorpc_ping", [])
    world.gateway.client_message(tuple(9 * [b"hop"]), request, 0.0)
    world.run()
    assert world.gateway.dropped == {"route_too_long": 1}
    assert world.payloads == []


def test_a_heartbeat_is_answered(world):
    world.worker_up()
    world.call("double_predict", 1)
    world.beat()
    assert world.received[(b"c1",), "1"] == [("_zpc_hb", [0])]


def test_a_client_that_cannot_be_reached_is_not_worked_for(world):
    world.worker_up()
    world.call("double_predict", 1, call_id="1")
    world.call("double_predict", 2, call_id="2")
    world.vanish()
    assert world.cancelled["w1"] == [world.held["w1"][0].job_id]
    world.answer()
    assert world.events() == world.events(call_id="2") == []
    assert world.gateway.dispatcher.queues["double"].tally.outcomes == {"CallerLost": 2}
    assert world.held["w1"] == []


def test_a_client_that_falls_silent_is_not_worked_for(world):
    world.worker_up()
    world.lose()
    world.call("double_predict", 1)
    world.beat()
    for now in (5.0, 10.0, 15.0, 20.0, 25.0):
        world.advance(now)
    assert world.gateway.dispatcher.queues["double"].tally.outcomes == {"CallerLost": 1}
    assert world.gateway.session.open_channels == 0


def test_something_nested_deeply_is_no_name(world):
    world.worker_up()
    nested = b"\x91" * 1000 + b"\x90"
    world.from_client("c1", wire.encode_request(pack("1"), "_zerorpc_help", b"\x91" + nested))
    assert world.error()[0] in ("KeyError", "TypeError")


# Before the workers


def test_a_call_before_any_worker_waits_for_one(world):
    world.call("double_predict", 4)
    world.advance(3.0)
    assert world.events() == []
    world.register()
    assert world.held["w1"] == []
    world.connect()
    world.answer()
    assert world.reply() == ("OK", [8])


@pytest.mark.parametrize("shape", ["batch", "stream"])
def test_rows_before_any_worker_wait_for_one_too(world, shape):
    world.call(f"double_predict_{shape}", [1])
    world.worker_up()
    world.answer()
    world.grant(2)
    assert world.events()[0][0] in ("OK", "STREAM")


def test_a_call_that_no_worker_takes_is_a_name_error_after_the_grace(world):
    world.call("nope_predict", 4)
    world.worker_up()
    assert world.events() == []
    for now in range(1, 10):
        world.advance(float(now))
    assert world.gateway.next_deadline() == 10.0
    world.advance(10.0)
    assert world.error() == ("NameError", "nope_predict")


def test_a_call_after_the_grace_does_not_wait(world):
    world.advance(10.0)
    world.call("double_predict", 4)
    assert world.error() == ("NameError", "double_predict")


def test_the_question_for_models_waits_for_the_first_worker(world):
    world.call("get_models")
    assert world.events() == []
    world.worker_up()
    assert [model["qualified_name"] for model in world.reply()[1][0]] == ["double"]


def test_without_workers_there_are_no_models_after_the_grace(world):
    world.call("get_models")
    world.advance(10.0)
    assert world.reply() == ("OK", [[]])


def test_a_callers_time_runs_before_any_worker_too(world):
    world.call("double_predict", 4, timeout_s=0.5)
    assert world.gateway.next_deadline() == 0.5
    world.advance(0.5)
    assert world.error() == (
        "DeadlineExceeded",
        "double_predict: no worker brought it in time",
    )


def test_a_worker_that_comes_after_a_callers_time_is_late(world):
    world.call("double_predict", 4, timeout_s=0.5)
    world.now = 0.6
    world.worker_up()
    assert world.error()[0] == "DeadlineExceeded"


def test_waiting_for_the_first_worker_does_not_lengthen_a_callers_time(world):
    world.call("double_predict", 4, timeout_s=3.0)
    world.now = 2.0
    world.worker_up()
    (job,) = world.held["w1"]
    assert job.remaining_s == 1.0


def test_calls_before_any_worker_are_bounded(make_world):
    world = make_world(max_held_bytes=5_000)
    world.call("double_predict", "x" * 2_000)
    world.call("double_predict", "x" * 2_000, call_id="2")
    assert world.error(call_id="2")[0] == "Overloaded"


def test_a_client_that_vanishes_before_any_worker_is_forgotten(world):
    world.call("double_predict", 4)
    world.vanish()
    world.worker_up()
    assert world.held["w1"] == []
    assert "<Lobby calls=0>" in repr(world.gateway)


# Workers go


def test_what_a_lost_worker_had_moves_to_another(world):
    world.worker_up("w1")
    world.call("double_predict", 4)
    world.lose("w1")
    assert world.disconnects == ["w1"]
    (job_id,) = world.notes[-1].fields["jobs"]
    fields = {"worker": "w1", "pid": 7, "unanswered": 1, "jobs": [job_id]}
    assert world.notes[-1].fields == fields
    world.worker_up("w2")
    (job,) = world.held["w2"]
    assert (job.job_id, job.attempt) == (job_id, 2)
    world.answer("w2")
    assert world.reply() == ("OK", [8])


def test_a_model_that_kills_its_workers_leaves_the_others_their_share(world):
    models = [model_info("killer"), model_info("good")]
    world.worker_up("w0", models)
    for number in range(20):
        world.call("killer_predict", 1, client=f"k{number}")
    world.call("good_predict", 4)
    deaths = 0
    while not world.events():
        world.advance(world.now + 1.0)
        name = f"w{deaths}"
        if world.held[name][0].model == "good":
            world.answer(name)
            continue
        world.lose(name)
        deaths += 1
        world.worker_up(f"w{deaths}", models)
    # The first call's attempts.
    assert deaths == 3
    assert world.reply() == ("OK", [8])


def test_a_frozen_worker_that_answers_late_is_not_believed(world):
    world.worker_up("w1")
    world.call("double_predict", 4)
    frozen = world.held["w1"]
    world.lose("w1")
    world.report("w1", [result_of(job) for job in frozen])
    assert world.gateway.dropped == {"result_foreign": 1}
    world.worker_up("w1")
    world.report("w1", [result_of(job) for job in frozen])
    assert world.events() == []
    world.answer("w1")
    assert world.reply() == ("OK", [8])


def test_results_for_another_gateway_are_dropped(world):
    world.worker_up()
    world.call("double_predict", 4)
    (job,) = world.held["w1"]
    world.report("w1", [result_of(job)], gateway="gw0")
    assert world.events() == []
    assert world.gateway.dropped == {"result_foreign": 1}


def test_a_worker_hears_which_of_its_results_have_arrived(world):
    world.worker_up()
    world.call("double_predict", 4)
    world.answer(number=1)
    world.advance(1.0)
    world.register(last=1)
    assert world.told["w1"][1:] == [
        jobs.GatewayBeat("gw1", seen=1),
        jobs.Welcome("gw1", jobs.PROTOCOL_VERSION, 3, seen=1),
    ]


def test_every_jobs_message_tells_it_too(world):
    world.worker_up()
    world.report("w1", [], number=1)
    request = wire.encode_request(pack("1"), "double_predict", [4])
    world.gateway.client_message((b"c1",), request, 0.0)
    (tell,) = world.gateway.take_commands(0.0)
    assert jobs.decode_from_gateway(tell.frame).seen == 1


def test_results_that_come_again_are_counted_and_answer_nobody_twice(world):
    world.worker_up()
    world.call("double_predict", 4)
    (job,) = world.held["w1"]
    for _ in range(2):
        world.report("w1", [result_of(job)], number=1)
    assert world.reply() == ("OK", [8])
    assert world.gateway.dropped == {"result_repeated": 1}


def test_a_made_up_number_takes_nothing_from_the_right_results(world):
    world.worker_up()
    world.call("double_predict", 4)
    (job,) = world.held["w1"]
    world.report("w1", [], number=1)
    world.report("w1", [result_of(job)], number=1)
    assert world.reply() == ("OK", [8])


def test_a_gateway_that_gave_a_worker_up_does_not_wait_for_what_it_sent_before(world):
    world.worker_up()
    world.lose()
    world.register(last=41)
    world.connect()
    world.report("w1", [], number=42)
    world.advance(1.0)
    assert world.told["w1"][-1] == jobs.GatewayBeat("gw1", seen=42)


def test_a_goodbye_counts_once_all_results_before_it_are_here(world):
    world.worker_up()
    world.call("double_predict", 4)
    world.from_worker(jobs.Bye("w1", last=1))
    assert world.disconnects == []
    world.answer(number=1)
    world.from_worker(jobs.Bye("w1", last=1))
    assert world.disconnects == ["w1"]
    assert world.reply() == ("OK", [8])


def test_a_spent_worker_is_told_to_go_and_gets_nothing_new(world):
    world.worker_up("w1")
    world.worker_up("w2")
    world.from_worker(jobs.Retire("w1", "old"))
    world.call("double_predict", 4)
    assert world.told["w1"][-1] == jobs.Drain("gw1")
    assert world.held["w1"] == []
    assert world.notes[-1].note is Note.WORKER_RETIRING


def test_the_next_spent_worker_goes_when_the_successor_is_ready(world):
    for name in ("w1", "w2"):
        world.worker_up(name)
        world.from_worker(jobs.Retire(name, "old"))
    world.from_worker(jobs.Bye("w1"))
    assert world.told["w2"][1:] == []
    world.worker_up("w3")
    assert world.told["w2"][1:] == [jobs.Drain("gw1")]


def test_the_next_spent_worker_goes_in_time_where_no_successor_comes(world):
    for name in ("w1", "w2"):
        world.worker_up(name)
        world.from_worker(jobs.Retire(name, "old"))
    world.from_worker(jobs.Bye("w1"))
    while world.now < 30.0:
        world.advance(min(world.gateway.next_deadline(), 30.0))
    assert world.told["w2"][-1] == jobs.Drain("gw1")


def test_no_spent_worker_goes_while_the_gateway_drains(world):
    world.worker_up("w1")
    world.gateway.drain()
    world.from_worker(jobs.Retire("w1", "old"))
    assert world.told["w1"][1:] == []


def test_a_draining_worker_gets_nothing_new_and_gives_back_what_it_has(world):
    world.worker_up("w1")
    world.call("double_predict", 4)
    world.from_worker(jobs.Draining("w1"))
    world.call("double_predict", 5, call_id="2")
    assert len(world.held["w1"]) == 1
    world.give_back("w1")
    assert world.held["w1"] == []
    world.from_worker(jobs.Bye("w1"))
    world.from_worker(jobs.Bye("w1"))
    assert [log.note for log in world.notes][1:] == [Note.WORKER_DRAINING, Note.WORKER_GONE]
    world.worker_up("w2")
    world.answer("w2")
    world.answer("w2")
    assert world.reply() == ("OK", [8])
    assert world.reply(call_id="2") == ("OK", [10])


def test_a_worker_that_drains_before_it_is_connected_gets_nothing(world):
    world.register()
    world.from_worker(jobs.Draining("w1"))
    world.connect()
    world.call("double_predict", 4)
    assert world.held["w1"] == []
    assert world.disconnects == ["w1"]


def test_workers_that_were_never_there_leave_nothing_behind(world):
    world.worker_up("w1")
    world.worker_up("w2")
    for name in ("x1", "x2"):
        world.register(name, [model_info(), model_info(f"of {name}")])
        world.from_worker(jobs.Draining(name))
        world.from_worker(jobs.Bye(name))
    # Nobody waits for their successors.
    world.from_worker(jobs.Retire("w1", "old"))
    assert world.told["w1"][-1] == jobs.Drain("gw1")
    assert len(world.gateway.fleet) == 2


def test_models_that_workers_are_about_to_bring_count_as_known(world):
    for name in ("w1", "w2"):
        world.register(name, [model_info(f"{name} {number}") for number in range(MAX_MODELS - 1)])
    world.connect("w1")
    assert world.gateway.dropped == {"register_models": 1}
    world.worker_up("w3", [model_info("w1 1")])
    assert world.told["w3"]


# The end


def test_a_draining_gateway_finishes_what_it_accepted_and_takes_nothing_new(world):
    world.worker_up()
    world.call("double_predict", 4)
    world.gateway.drain()
    world.call("double_predict", 5, call_id="2")
    assert world.error(call_id="2") == (
        "Draining",
        "the service is shutting down; call again",
    )
    assert not world.gateway.is_drained
    world.answer()
    assert world.reply() == ("OK", [8])
    assert world.gateway.is_drained


def test_a_draining_gateway_waits_for_the_reader_of_a_stream(world):
    world.worker_up()
    world.call("double_predict_stream", [1, 2])
    world.answer()
    world.gateway.drain()
    assert not world.gateway.is_drained
    world.grant(100)
    assert world.gateway.is_drained
    assert world.events()[-1] == ("STREAM_DONE", None)


def test_a_draining_gateway_lets_nobody_wait_for_workers(world):
    world.call("double_predict", 4)
    world.gateway.drain()
    world.call("get_models", call_id="2")
    world.call("other_predict", call_id="3")
    assert [world.error(call_id=n)[0] for n in "123"] == 3 * ["Draining"]
    assert world.gateway.is_drained


def test_an_abandoned_call_is_answered(world):
    world.worker_up()
    world.call("double_predict", 4)
    world.gateway.drain()
    world.gateway.abandon()
    world.run()
    assert world.error()[0] == "Draining"
    assert world.gateway.is_drained


def test_nothing_follows_a_terminal_event(world):
    world.worker_up()
    world.call("double_predict", 4)
    world.answer()
    world.beat()
    world.grant(5)
    for now in (5.0, 10.0):
        world.advance(now)
    assert len(world.payloads) == 1
    assert unpack(wire.decode_event(world.payloads[0]).message_id)


def test_a_stream_whose_end_is_forgotten_as_too_many_wait_is_over(make_world):
    world = make_world(max_held_bytes=400_000)
    world.worker_up()
    for number in range(3):
        world.call("double_predict_stream", [1, 2], client="greedy", call_id=f"s{number}")
        world.grant(1, client="greedy", call_id=f"s{number}")
        world.answer()
    assert world.gateway.dispatcher.open_calls == 3
    others = [f"c{number}" for number in range(100)]
    for client in others:
        world.call("double_predict", 4, client=client)
        world.grant(-1, client=client)
        world.answer()
        assert world.gateway.session.parked_bytes <= 400_000 // 4
        world.gateway.check_invariants()
    assert world.gateway.session.dropped[Drop.UNCLAIMED] > 3
    assert world.gateway.dispatcher.open_calls == 0
    assert world.gateway.budget.call_bytes == 0
    # Nothing more happens to it.
    world.grant(10, client="greedy", call_id="s0")
    world.vanish("greedy")
    world.grant(10, client=others[-1])
    assert world.reply(others[-1]) == ("OK", [8])


def test_a_stream_that_nobody_reads_is_ended_and_its_memory_is_free(world):
    world.worker_up()
    world.call("double_predict_stream", list(range(50)))
    world.answer()
    world.advance(59.0)
    assert world.gateway.dispatcher.held_bytes > 1000
    world.advance(60.0)
    assert world.gateway.dispatcher.held_bytes == 0
    world.grant(100)
    assert len(world.events()) == 2
    message = "double: the caller read nothing for 60.0 s"
    assert world.events()[-1][1][:2] == ["DeadlineExceeded", message]
