"""A server's session against a model of it: any order of requests, grants, answers and losses.

The model knows the protocol in its own words and foretells every message; beside it, the promises
to the caller are checked on the messages themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from wire_peer import event_on, packed, request, unpacked

from zeropool.shared.wire.records import RemoteFailure
from zeropool.shared.wire.requested import Requested
from zeropool.shared.wire.session import Role, Session
from zeropool.shared.wire.signals import Granted

ROUTES = st.sampled_from([(b"A",), (b"B",), (b"A", b"hop")])
#: Equal texts of three types, so that ids meet; few, so that they come again.
IDS = st.sampled_from([b"1", "1", 1])
NAMES = st.sampled_from(["OK", "STREAM", "predict", "_zpc_new", ""])
GRANTS = st.integers(-3, 5) | st.sampled_from([100, 2**40])
JUNK = st.sampled_from([None, 7, "x", {}, [], ["x"], [None], [True], [[5]], [1.5e400]])
STEPS_S = st.sampled_from([0.0, 0.5, 3.0, 5.0, 7.5, 21.0, 90.0])
TERMINAL = {"OK", "ERR", "STREAM_DONE"}
DATA = TERMINAL | {"STREAM"}


@dataclass(eq=False)
class Call:
    """What the model knows of one channel, and what its caller has seen."""

    route: tuple[bytes, ...]
    message_id: object
    version: int
    opened_at: float
    beat_at: float
    channel: object = None
    credit: int = 1
    waiting: list[tuple[str, object]] = field(default_factory=list)
    is_ending: bool = False
    is_over: bool = False
    heard_at: float | None = None
    longest_gap_s: float = 0.0
    # On the wire:
    granted: int = 0
    data_seen: int = 0
    terminals_seen: int = 0

    @property
    def key(self):
        return (self.route, packed(self.message_id))

    def is_lost(self, now):
        if self.heard_at is None:
            return False
        return now - self.heard_at > max(20.0, 4 * self.longest_gap_s)


class ServerSession(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.session = Session(Role.SERVER)
        self.now = 0.0
        self.serial = 0
        self.calls: list[Call] = []
        self.open: dict[object, Call] = {}
        self.expected: list[tuple[object, str, object]] = []
        self.drops = 0

    # The model

    def release(self, call):
        while call.waiting and call.credit > 0 and not call.is_over:
            call.credit -= 1
            name, args = call.waiting.pop(0)
            self.expected.append((call.key, name, args))
            if name in TERMINAL:
                self.end(call)

    def end(self, call):
        call.is_over = True
        call.waiting = []
        if self.open.get(call.key) is call:
            del self.open[call.key]

    def data(self, call, name, args):
        if call.is_ending or call.is_over:
            return
        call.is_ending = name in TERMINAL
        call.waiting.append((name, args))
        self.release(call)

    def grant_to(self, call, slots):
        call.granted += slots
        call.credit += slots
        self.release(call)

    def settle(self):
        """Compare what goes out with the model, and check the promises to the callers."""
        seen = []
        for route, payload in self.session.take_outgoing():
            header, name, args = unpacked(payload)
            key = (route, packed(header["response_to"]))
            seen.append((key, name, args))
            assert header["v"] == 3
            call = next(call for call in reversed(self.calls) if call.key == key)
            assert call.terminals_seen == 0, "an event after the terminal one"
            if name in DATA:
                call.data_seen += 1
                assert call.data_seen <= 1 + call.granted, "more data than granted"
            call.terminals_seen += name in TERMINAL
        assert seen == self.expected
        self.expected = []
        assert self.session.dropped.total() == self.drops

    # What the peers do

    @rule(route=ROUTES, message_id=IDS, version=st.sampled_from([1, 2, 3]))
    def peer_requests(self, route, message_id, version):
        signal = self.session.receive(route, request(message_id, v=version), self.now)
        call = Call(route, message_id, version, self.now, self.now + 5.0)
        if call.key in self.open:
            assert signal is None
            self.drops += 1
        else:
            assert isinstance(signal, Requested)
            call.channel = signal.channel
            self.calls.append(call)
            self.open[call.key] = call
        self.settle()

    def receive(self, route, message_id, name, args):
        signal = self.session.receive(route, event_on(message_id, name, args), self.now)
        call = self.open.get((route, packed(message_id)))
        if call is None:
            assert signal is None
            self.drops += 1
        return signal, call

    @rule(route=ROUTES, message_id=IDS, slots=GRANTS)
    def peer_grants(self, route, message_id, slots):
        signal, call = self.receive(route, message_id, "_zpc_more", [slots])
        if call and slots:
            assert signal == Granted(call.channel)
            self.grant_to(call, slots)
        self.settle()

    @rule(route=ROUTES, message_id=IDS, slots=st.just(0) | GRANTS)
    def peer_beats(self, route, message_id, slots):
        signal, call = self.receive(route, message_id, "_zpc_hb", [slots])
        if call:
            since = call.opened_at if call.heard_at is None else call.heard_at
            call.longest_gap_s = max(call.longest_gap_s, self.now - since)
            call.heard_at = self.now
            self.expected.append((call.key, "_zpc_hb", [0]))
            if call.version < 3 and slots:
                assert signal == Granted(call.channel)
                self.grant_to(call, slots)
        self.settle()

    @rule(route=ROUTES, message_id=IDS, junk=JUNK)
    def peer_grants_junk(self, route, message_id, junk):
        signal, _call = self.receive(route, message_id, "_zpc_more", junk)
        assert signal is None
        self.settle()

    @rule(route=ROUTES, message_id=IDS, name=NAMES, junk=JUNK)
    def peer_sends_junk(self, route, message_id, name, junk):
        signal, call = self.receive(route, message_id, name, junk)
        assert signal is None
        self.drops += call is not None
        self.settle()

    @rule(route=ROUTES, payload=st.sampled_from([b"", b"\xc1", packed([{}, "m", []])]))
    def peer_sends_garbage(self, route, payload):
        assert self.session.receive(route, payload, self.now) is None
        self.drops += 1
        self.settle()

    @rule(route=ROUTES)
    def peer_vanishes(self, route):
        lost = self.session.route_lost(route, self.now)
        gone = [call for call in self.open.values() if call.route == route]
        assert [loss.channel for loss in lost] == [call.channel for call in gone]
        for call in gone:
            self.end(call)
        self.settle()

    # What the owner does, also with channels that are long closed

    def pick(self, data):
        return data.draw(st.sampled_from(self.calls[-6:]))

    @precondition(lambda self: self.calls)
    @rule(data=st.data(), count=st.integers(1, 4))
    def owner_sends_items(self, data, count):
        call = self.pick(data)
        for _ in range(count):
            self.serial += 1
            self.session.send_item(call.channel, packed(self.serial))
            self.data(call, "STREAM", self.serial)
        self.settle()

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def owner_ends_a_stream(self, data):
        call = self.pick(data)
        self.session.end_stream(call.channel)
        self.data(call, "STREAM_DONE", None)
        self.settle()

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def owner_answers(self, data):
        call = self.pick(data)
        self.serial += 1
        self.session.answer(call.channel, packed(self.serial))
        self.data(call, "OK", [self.serial])
        self.settle()

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def owner_fails(self, data):
        call = self.pick(data)
        self.session.fail(call.channel, RemoteFailure("E", "m", "t"))
        self.data(call, "ERR", ["E('m')"] if call.version < 2 else ["E", "m", "t"])
        self.settle()

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def owner_discards_what_waits(self, data):
        call = self.pick(data)
        self.session.discard_waiting(call.channel)
        if not call.is_ending:
            call.waiting = []
        self.settle()

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def owner_closes(self, data):
        call = self.pick(data)
        self.session.close(call.channel)
        self.end(call)
        self.settle()

    # Time

    @rule(step_s=STEPS_S)
    def time_passes(self, step_s):
        self.now += step_s
        lost = self.session.tick(self.now)
        due = [call for call in self.open.values() if call.beat_at <= self.now]
        due.sort(key=lambda call: call.beat_at)
        gone = [call for call in due if call.is_lost(self.now)]
        assert [loss.channel for loss in lost] == [call.channel for call in gone]
        for call in due:
            if call in gone:
                self.end(call)
                continue
            self.expected.append((call.key, "_zpc_hb", [0]))
            call.beat_at = self.now + 5.0
            # As the session does: its place is behind all that beat before.
            self.open[call.key] = self.open.pop(call.key)
        self.settle()

    # Promises

    @invariant()
    def the_table_holds_exactly_the_open_channels(self):
        self.session.check_invariants()
        assert self.session.open_channels == len(self.open)
        assert self.session.peers == len({call.route for call in self.open.values()})
        for call in self.calls:
            assert call.channel.is_open is not (call.is_ending or call.is_over)
            assert call.channel.backlog == len(call.waiting)

    @invariant()
    def the_next_deadline_is_the_earliest_beat(self):
        earliest = min((call.beat_at for call in self.open.values()), default=None)
        assert self.session.next_deadline() == earliest

    @invariant()
    def credit_is_never_discarded(self):
        for call in self.open.values():
            assert call.channel.credit.available == 1 + call.granted - call.data_seen

    @invariant()
    def every_caller_sees_at_most_one_terminal_event(self):
        assert all(call.terminals_seen <= 1 for call in self.calls)


TestServerSession = ServerSession.TestCase
TestServerSession.settings = settings(deadline=None, max_examples=150, stateful_step_count=40)
