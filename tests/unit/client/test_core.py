"""The client's core: which call goes where and when, with literal times and no socket."""

import itertools

import msgspec
import pytest

from zeropool.client.answered import Answered
from zeropool.client.call import Call
from zeropool.client.commands import Connect, HangUp
from zeropool.client.core import Core
from zeropool.client.link import State
from zeropool.client.outcomes import Ended, Expired, Failed, Lost
from zeropool.client.retry import RetryPolicy, Tries
from zeropool.shared.errors import Overloaded
from zeropool.shared.wire import event as wire
from zeropool.shared.wire.dialer import Dialer
from zeropool.shared.wire.kinds import Kind
from zeropool.shared.wire.records import RemoteFailure
from zeropool.shared.wire.zmtp import GREETING, frame_message

READY = b"\x04\x06\x05READY"
pack = msgspec.msgpack.encode


class Peer:
    """The far end of one link, as a server hears and answers it."""

    def __init__(self, core, link):
        self.core, self.link = core, link
        self.zmtp = Dialer(Kind.DEALER, 10_000_000)
        self.ids = itertools.count(1)

    def greet(self, now=0.0):
        """Connect and shake hands; whatever waited is on its way then."""
        self.core.connected(self.link, now)
        self.zmtp = Dialer(Kind.DEALER, 10_000_000)
        news = self.core.received(self.link, GREETING + READY, now)
        self.zmtp.receive(self.link.take_outgoing()[: len(GREETING)])
        return news

    def heard(self):
        """The events that the client has sent since."""
        return [wire.decode_event(payload) for payload in self.zmtp.receive(self.sent())]

    def sent(self):
        return self.link.take_outgoing()

    def say(self, name, args, call, now):
        event = wire.encode_reply(pack(next(self.ids)), call.channel_id, name, args)
        return self.core.received(self.link, frame_message(event), now)

    def answer(self, call, value, now):
        return self.say("OK", pack([value]), call, now)

    def fail(self, call, name, message, now):
        args = wire.encode_failure(3, RemoteFailure(name, message, ""))
        return self.say("ERR", args, call, now)

    def beat(self, call, now):
        return self.say("_zpc_hb", pack([0]), call, now)


def greeted(core, endpoint="tcp://h:1"):
    """A link of the core that is ready, and its far end."""
    peer = Peer(core, core.add(endpoint))
    core.connect(now=0.0)
    core.take_commands()
    peer.link.state = State.CONNECTING
    core.connected(peer.link, now=0.0)
    core.received(peer.link, GREETING + READY, now=0.0)
    sent = peer.link.take_outgoing()
    assert peer.zmtp.receive(sent) == []
    assert peer.zmtp.is_ready
    return peer


@pytest.fixture
def core():
    return Core(heartbeat_s=5.0)


@pytest.fixture
def peer(core):
    return greeted(core)


def call(method="echo", *args, **options):
    return Call(method, pack(list(args)), **options)


def submitted(core, made, now=0.0):
    core.submit(made, now)
    return made


# Connections


def test_nothing_is_connected_before_somebody_calls(core):
    core.add("tcp://h:1")

    assert core.take_commands() == []
    assert core.tick(now=100.0) == []


def test_the_first_call_connects_and_waits_for_the_server_to_be_ready(core):
    link = core.add("tcp://h:1")
    first = submitted(core, call(), now=1.0)
    assert core.take_commands() == [Connect(link)]
    peer = Peer(core, link)

    core.connected(link, now=1.1)
    assert peer.zmtp.receive(peer.sent()) == []
    core.received(link, GREETING + READY, now=1.2)

    (request,) = peer.heard()
    assert (request.name, request.args) == ("echo", b"\x90")
    assert first.link is link


def test_a_refused_connection_is_tried_again_with_growing_waits(core):
    link = core.add("tcp://h:1")
    submitted(core, call(deadline=60.0), now=0.0)
    tried_at = []
    now = 0.0
    while len(tried_at) < 9:
        if core.take_commands():
            tried_at.append(now)
            core.disconnected(link, now, "Connection refused")
        now = core.wake_at
        core.tick(now)

    waits = [later - sooner for sooner, later in itertools.pairwise(tried_at)]
    assert waits[0] == pytest.approx(0.02)
    assert waits == sorted(waits)
    assert waits[-1] == pytest.approx(1.0)


def test_who_connects_and_never_speaks_is_given_up(core):
    link = core.add("tcp://h:1")
    submitted(core, call(deadline=60.0), now=0.0)
    core.take_commands()
    core.connected(link, now=0.1)

    assert core.tick(now=4.9) == []
    assert core.take_commands() == []
    core.tick(now=5.0)

    assert core.take_commands() == [HangUp(link)]
    assert link.state is State.DOWN


def test_without_heartbeats_and_deadlines_too_it_is_given_up():
    core = Core(heartbeat_s=None)
    link = core.add("tcp://h:1")
    submitted(core, call(), now=0.0)
    core.take_commands()
    core.connected(link, now=0.1)

    assert core.wake_at == 5.0
    core.tick(now=5.0)

    assert core.take_commands() == [HangUp(link)]


def test_a_server_that_speaks_something_else_is_hung_up_on(core):
    link = core.add("tcp://h:1")
    submitted(core, call(), now=0.0)
    core.take_commands()
    core.connected(link, now=0.1)

    core.received(link, b"HTTP/1.1 400 Bad Request\r\n", now=0.2)

    assert core.take_commands() == [HangUp(link)]
    assert "ZMTP" in link.failure


def test_an_idle_client_does_not_reconnect_until_it_is_needed(core):
    link = core.add("tcp://h:1")
    made = submitted(core, call(), now=0.0)
    core.take_commands()
    core.give_up(made)

    core.disconnected(link, 0.1, "Connection refused")

    assert core.take_commands() == []
    submitted(core, call(), now=9.0)
    assert core.take_commands() == [Connect(link)]


# Calls


def test_an_answer_is_the_calls_outcome(core, peer):
    made = submitted(core, call("echo", 5))
    peer.heard()

    assert peer.answer(made, 5, now=1.0) == [made]

    assert made.outcome == Answered(pack([5]))
    assert core.open_calls == 0


def test_answers_find_their_calls_in_any_order(core, peer):
    calls = [submitted(core, call("echo", number)) for number in range(3)]

    for made in reversed(calls):
        assert peer.answer(made, made.args.hex(), now=1.0) == [made]

    assert [made.outcome.args for made in calls] == [pack([made.args.hex()]) for made in calls]


def test_many_calls_leave_together(core, peer):
    for number in range(3):
        submitted(core, call("echo", number))

    assert [event.args for event in peer.heard()] == [pack([0]), pack([1]), pack([2])]


def test_an_answer_to_nobody_is_dropped(core, peer):
    made = submitted(core, call())
    peer.answer(made, 1, now=1.0)

    assert peer.answer(made, 2, now=1.1) == []
    assert peer.link.dropped == 1


def test_what_is_no_event_is_dropped(core, peer):
    assert core.received(peer.link, frame_message(b"\xc1"), now=1.0) == []
    assert peer.link.dropped == 1


def test_an_error_is_the_calls_outcome(core, peer):
    made = submitted(core, call())

    assert peer.fail(made, "ValueError", "no", now=1.0) == [made]
    assert made.outcome == Failed(RemoteFailure("ValueError", "no", ""))


# Deadlines


def test_the_time_that_is_left_travels_with_the_request(core, peer):
    submitted(core, call(deadline=12.0, sends_deadline=True), now=2.0)

    assert peer.heard()[0].timeout_s == 10.0


def test_a_call_that_expires_unsent_says_why_it_was(core):
    link = core.add("tcp://h:1")
    made = submitted(core, call(deadline=2.0), now=0.0)
    core.disconnected(link, 0.0, "Connection refused")

    assert core.tick(now=2.0) == [made]
    assert made.outcome == Expired("tcp://h:1: Connection refused")


def test_a_call_expires_at_its_deadline(core, peer):
    made = submitted(core, call(deadline=2.0))
    assert core.wake_at == 2.0

    assert core.tick(now=1.9) == []
    assert core.tick(now=2.0) == [made]

    assert made.outcome == Expired()
    assert core.open_calls == 0


def test_the_earliest_of_many_deadlines_comes_first(core, peer):
    late = submitted(core, call(deadline=3.0))
    soon = submitted(core, call(deadline=1.0))

    assert core.tick(now=1.0) == [soon]
    assert core.wake_at == 3.0
    assert core.tick(now=3.0) == [late]


def test_what_expired_without_a_server_is_never_sent(core):
    link = core.add("tcp://h:1")
    submitted(core, call("late", deadline=1.0))
    submitted(core, call("alive", deadline=9.0))
    core.take_commands()
    core.tick(now=1.0)
    peer = Peer(core, link)
    core.connected(link, now=1.1)
    core.received(link, GREETING + READY, now=1.2)

    assert [event.name for event in peer.heard()] == ["alive"]


def test_an_answer_that_repeats_our_own_deadline_is_a_timeout(core, peer):
    made = submitted(core, call(deadline=2.0))

    assert peer.fail(made, "DeadlineExceeded", "no result in 2 s", now=2.0) == [made]
    assert made.outcome == Expired()


def test_a_deadline_of_the_server_is_its_own(core, peer):
    made = submitted(core, call(deadline=2.0))

    peer.fail(made, "DeadlineExceeded", "the model's", now=1.0)

    assert made.outcome == Failed(RemoteFailure("DeadlineExceeded", "the model's", ""))


# Heartbeats


def test_one_timer_beats_for_all_calls(core, peer):
    first = submitted(core, call(), now=0.0)
    second = submitted(core, call(), now=1.0)
    peer.heard()
    assert core.wake_at == 5.0

    core.tick(now=5.0)

    beats = peer.heard()
    assert [event.name for event in beats] == ["_zpc_hb", "_zpc_hb"]
    assert [event.response_to for event in beats] == [first.channel_id, second.channel_id]
    assert core.wake_at == 10.0


def test_a_call_that_has_just_begun_waits_for_the_next_beat(core, peer):
    submitted(core, call(), now=0.0)
    young = submitted(core, call(), now=4.9)
    peer.heard()

    core.tick(now=5.0)
    assert young.channel_id not in [event.response_to for event in peer.heard()]
    core.tick(now=10.0)

    assert young.channel_id in [event.response_to for event in peer.heard()]


def test_the_timer_rests_when_nothing_is_open(core, peer):
    peer.answer(submitted(core, call(), now=0.0), 1, now=0.1)
    peer.heard()

    core.tick(now=5.0)

    assert core.wake_at == float("inf")
    assert peer.sent() == b""


def test_a_server_that_never_beats_is_lost_after_three(core, peer):
    made = submitted(core, call(), now=0.0)
    for now in (5.0, 10.0):
        assert core.tick(now) == []

    assert core.tick(now=15.0) == [made]

    assert made.outcome == Lost("Lost remote after 15s heartbeat")


def test_only_its_own_beats_keep_a_call_alive(core, peer):
    kept = submitted(core, call(), now=0.0)
    missed = submitted(core, call(), now=0.0)
    for now in (5.0, 10.0):
        peer.beat(kept, now)
        core.tick(now)

    assert core.tick(now=15.0) == [missed]
    assert core.take_commands() == []


def test_a_server_that_is_silent_for_all_is_hung_up_on(core, peer):
    submitted(core, call(), now=0.0)
    for now in (5.0, 10.0, 15.0):
        core.tick(now)

    assert core.take_commands()[0] == HangUp(peer.link)


def test_without_heartbeats_nothing_is_sent_and_nothing_missed():
    core = Core(heartbeat_s=None)
    peer = greeted(core)
    submitted(core, call(), now=0.0)
    peer.heard()

    assert core.tick(now=1000.0) == []
    assert core.wake_at == float("inf")
    assert peer.heard() == []


def test_a_passive_client_beats_and_misses_after_the_first_beat_of_the_server():
    core = Core(heartbeat_s=5.0, is_passive=True)
    peer = greeted(core)
    made = submitted(core, call(), now=0.0)
    peer.heard()
    for now in (5.0, 10.0, 15.0, 20.0):
        assert core.tick(now) == []
        assert peer.heard() == []

    peer.beat(made, now=21.0)
    core.tick(now=25.0)
    assert [event.name for event in peer.heard()] == ["_zpc_hb"]
    core.tick(now=30.0)
    core.tick(now=35.0)

    assert core.tick(now=36.0) == [made]


def test_a_call_without_a_server_is_lost_as_one_with_a_silent_one(core):
    link = core.add("tcp://h:1")
    made = submitted(core, call(), now=0.0)
    core.disconnected(link, 0.0, "Connection refused")
    for now in (5.0, 10.0):
        assert core.tick(now) == []
        core.disconnected(link, now, "Connection refused")

    assert core.tick(now=15.0) == [made]
    assert made.outcome == Lost("Lost remote after 15s heartbeat: tcp://h:1: Connection refused")


# Streams


def stream(core, peer, **options):
    made = submitted(core, call("count", **options))
    peer.heard()
    return made


def test_items_come_before_the_end(core, peer):
    made = stream(core, peer)

    assert peer.say("STREAM", pack(7), made, now=1.0) == [made]
    assert made.items.popleft() == pack(7)
    core.read(made)
    assert [wire.decode_credit(event.args) for event in peer.heard()] == [100]
    peer.say("STREAM", pack(8), made, now=1.0)
    peer.say("STREAM_DONE", pack(None), made, now=1.0)

    assert list(made.items) == [pack(8)]
    assert made.outcome == Ended()


def test_what_is_not_read_is_not_asked_for(core, peer):
    made = stream(core, peer)
    peer.say("STREAM", pack(0), made, now=1.0)
    made.items.popleft()
    core.read(made)
    for number in range(100):
        peer.say("STREAM", pack(number), made, now=1.0)
    peer.heard()

    for _ in range(49):
        made.items.popleft()
        core.read(made)
    assert peer.heard() == []
    made.items.popleft()
    core.read(made)

    assert [wire.decode_credit(event.args) for event in peer.heard()] == [50]


def test_the_slots_of_a_call_bound_what_is_asked_for(core, peer):
    made = stream(core, peer, slots=3)
    peer.say("STREAM", pack(0), made, now=1.0)
    made.items.popleft()

    core.read(made)

    assert wire.decode_credit(peer.heard()[0].args) == 3


def test_a_server_that_sends_more_than_it_may_has_ended_the_stream(core, peer):
    made = stream(core, peer)
    peer.say("STREAM", pack(0), made, now=1.0)

    peer.say("STREAM", pack(1), made, now=1.0)

    assert made.outcome == Lost("the server sent more items than it was allowed to")
    assert list(made.items) == [pack(0)]


def test_only_the_first_item_has_a_deadline(core, peer):
    made = stream(core, peer, deadline=2.0)
    peer.say("STREAM", pack(0), made, now=1.9)

    assert core.tick(now=2.0) == []
    assert core.tick(now=4.9) == []


def test_a_stream_that_was_given_up_is_asked_for_nothing(core, peer):
    made = stream(core, peer)
    peer.say("STREAM", pack(0), made, now=1.0)

    core.give_up(made)
    core.tick(now=5.0)

    assert peer.sent() == b""
    assert core.open_calls == 0


# Loss


def test_what_was_sent_is_lost_with_its_connection(core, peer):
    made = submitted(core, call())
    peer.sent()

    assert core.disconnected(peer.link, 1.0, "reset") == [made]
    assert made.outcome == Lost("Lost remote: the connection broke")


def test_what_had_not_left_goes_to_the_next_server(core, peer):
    submitted(core, call("first"))
    peer.sent()
    submitted(core, call("second"))

    (lost,) = core.disconnected(peer.link, 1.0, "reset")

    assert lost.method == "first"
    peer.greet(now=1.1)
    assert peer.link.calls
    assert core.open_calls == 1


def test_a_connection_that_has_rested_is_looked_at_before_it_is_used(core, peer):
    """A request on the next connection must not be lost by the news of the last one's end."""
    peer.answer(submitted(core, call(), now=1.0), 1, now=1.0)

    assert not core.is_stale(peer.link, now=1.0005)
    assert core.is_stale(peer.link, now=1.1)


def test_whoever_submits_a_call_is_told_that_its_connection_has_rested(core, peer):
    peer.answer(submitted(core, call(), now=1.0), 1, now=1.0)
    greeted(core, "tcp://h:2")

    to_other, to_first, to_either = call(), call(), call()
    assert core.submit(to_other, now=1.0)
    assert not core.submit(to_first, now=1.0)
    assert to_other.link is not to_first.link is peer.link
    assert core.submit(to_either, now=2.0)


def test_news_of_an_earlier_connections_end_does_not_touch_what_follows_on_the_next(core, peer):
    assert core.disconnected(peer.link, 1.0, "reset") == []
    made = submitted(core, call(), now=1.1)
    assert core.take_commands() == [Connect(peer.link)]

    assert peer.greet(now=1.2) == []

    assert made.outcome is None
    assert peer.answer(made, 1, now=1.3) == [made]


def test_a_closed_client_has_lost_its_calls(core, peer):
    sent = submitted(core, call())

    assert core.close() == [sent]
    assert sent.outcome == Lost("the client was closed")
    assert core.take_commands() == [HangUp(peer.link)]


# Repetition

POLICY = RetryPolicy(models=frozenset({"m"}), first_wait_s=0.1, longest_wait_s=2.0)


def repeated(core, deadline=60.0):
    made = call("m_predict", deadline=deadline, tries=Tries(POLICY, deadline))
    return submitted(core, made, now=0.0)


def test_a_refused_call_is_sent_again_when_the_server_asked_for_it(core, peer):
    made = repeated(core)
    peer.heard()

    assert peer.fail(made, "Overloaded", "full; retry_after_s=1.00", now=1.0) == []
    assert 2.1 <= core.wake_at <= 2.2
    assert core.tick(core.wake_at) == []

    assert [event.name for event in peer.heard()] == ["m_predict"]
    assert peer.answer(made, 1, now=2.5) == [made]


def test_a_mistake_is_not_repeated(core, peer):
    made = repeated(core)

    assert peer.fail(made, "ValueError", "no", now=1.0) == [made]


def test_a_lost_call_is_repeated_with_the_next_connection(core, peer):
    made = repeated(core)
    peer.sent()

    assert core.disconnected(peer.link, 1.0, "reset") == []
    core.tick(now=1.5)
    peer.greet(now=1.6)

    assert made.link is peer.link
    assert made.outcome is None


def test_a_repeated_call_that_waits_for_a_server_is_not_missed_by_its_first_heartbeats(core, peer):
    made = repeated(core)
    peer.sent()
    peer.beat(made, now=1.0)
    core.disconnected(peer.link, 14.0, "reset")
    core.tick(now=14.5)

    # More than 15 s after the only heartbeat, less than 15 s after the repetition.
    assert core.wake_at == 19.0
    assert core.tick(now=19.0) == []
    peer.greet(now=19.1)
    assert made.link is peer.link


def test_a_call_that_waits_for_its_repetition_expires_all_the_same(core, peer):
    made = repeated(core, deadline=3.0)
    peer.fail(made, "Overloaded", "full; retry_after_s=1.00", now=1.0)
    core.disconnected(peer.link, 1.1, "reset")
    core.tick(now=2.5)

    assert core.tick(now=3.0) == [made]
    assert made.outcome == Expired("tcp://h:1: reset")


def test_a_stream_that_has_begun_is_not_repeated(core, peer):
    made = repeated(core)
    peer.say("STREAM", pack(0), made, now=1.0)
    peer.sent()

    assert core.disconnected(peer.link, 1.0, "reset") == [made]


# Several servers


@pytest.fixture
def pair(core):
    return greeted(core, "tcp://h:1"), greeted(core, "tcp://h:2")


def test_calls_are_shared_among_servers(core, pair):
    for _ in range(10):
        submitted(core, call())

    assert [len(peer.heard()) for peer in pair] == [5, 5]


def test_one_call_at_a_time_takes_turns(core, pair):
    used = []
    for _ in range(4):
        made = submitted(core, call())
        used.append(made.link.endpoint)
        pair[made.link is pair[1].link].answer(made, 1, now=1.0)

    assert sorted(used) == ["tcp://h:1"] * 2 + ["tcp://h:2"] * 2


def test_what_a_call_has_to_say_later_goes_to_its_own_server(core, pair):
    made = submitted(core, call())
    own, other = pair if made.link is pair[0].link else reversed(pair)
    own.sent()

    core.tick(now=5.0)

    assert [event.name for event in own.heard()] == ["_zpc_hb"]
    assert other.heard() == []


def test_without_one_server_the_other_has_all_calls(core, pair):
    core.disconnected(pair[0].link, 1.0, "reset")

    for _ in range(4):
        submitted(core, call(), now=1.1)

    assert len(pair[1].heard()) == 4


def test_one_call_at_a_time_goes_back_to_a_server_that_is_there_again(core):
    alive, gone = Peer(core, core.add("tcp://h:1")), Peer(core, core.add("tcp://h:2"))
    first = submitted(core, call(), now=0.0)
    core.take_commands()
    alive.greet(now=0.1)
    core.disconnected(gone.link, 0.1, "Connection refused")
    alive.answer(first, 1, now=0.2)
    core.take_commands()

    second = submitted(core, call(), now=9.0)

    assert core.take_commands() == [Connect(gone.link)]
    gone.greet(now=9.1)
    alive.answer(second, 1, now=9.2)
    assert submitted(core, call(), now=9.3).link is gone.link


def test_a_lost_call_is_repeated_with_the_other_server(core, pair):
    made = repeated(core)
    first = pair[made.link is pair[1].link]
    first.sent()

    core.disconnected(first.link, 1.0, "reset")
    core.tick(now=1.5)

    assert made.link is not first.link
    assert made.outcome is None


def test_a_server_that_is_draining_is_left_alone_for_a_while(core, pair):
    made = repeated(core)
    draining = made.link
    pair[draining is pair[1].link].fail(made, "Draining", "bye", now=1.0)

    later = [submitted(core, call(), now=1.1) for _ in range(3)]
    assert draining not in [one.link for one in later]


def test_a_server_can_be_removed(core, pair):
    made = submitted(core, call())
    gone = made.link
    pair[gone is pair[1].link].sent()

    assert core.remove(gone.endpoint, now=1.0) == [made]
    assert core.take_commands()[0] == HangUp(gone)
    assert gone not in core.servers.links


# Bounds


def test_what_waits_for_a_server_is_bounded_in_bytes():
    core = Core(max_unsent_bytes=100)
    core.add("tcp://h:1")
    submitted(core, call("echo", "x" * 90))

    with pytest.raises(Overloaded, match="1 calls and 93 bytes wait for a server"):
        core.submit(call("echo", "x" * 90), now=0.0)


def test_what_a_server_does_not_take_is_bounded_in_bytes():
    core = Core(max_unsent_bytes=100)
    greeted(core)
    submitted(core, call("echo", "x" * 200))

    with pytest.raises(Overloaded):
        core.submit(call("echo", "x" * 90), now=0.0)


def test_one_call_may_be_as_large_as_it_likes():
    core = Core(max_unsent_bytes=100)
    peer = greeted(core)

    submitted(core, call("echo", "x" * 1000))

    assert len(peer.heard()) == 1


def test_the_number_of_calls_that_wait_is_bounded(core):
    core.add("tcp://h:1")
    for _ in range(10_000):
        submitted(core, call())

    with pytest.raises(Overloaded, match="10000 calls"):
        core.submit(call(), now=0.0)


def test_a_core_tells_what_it_has(core, peer):
    submitted(core, call())

    assert repr(core) == "<Core <Servers ready=1/1> open=1>"
    assert repr(peer.link) == "<Link tcp://h:1 ready calls=1>"
