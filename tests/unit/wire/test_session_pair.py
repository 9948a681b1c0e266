"""Both ends joined, in virtual time: nothing is lost, and nothing echoes for ever."""

from __future__ import annotations

from collections import Counter, deque

import pytest
from wire_peer import packed, unpacked

from zeropool.shared.wire.event import MessageIds
from zeropool.shared.wire.records import RemoteFailure
from zeropool.shared.wire.requested import Requested
from zeropool.shared.wire.session import Role, Session
from zeropool.shared.wire.signals import Answered, Ended, Failed, Item, Lost

CLIENT, SERVER = (b"client",), (b"server",)
#: Far more than any exchange below needs in one instant.
ENDLESS = 10_000


class SessionPair:
    """A client's and a server's session with a wire between them that takes no time."""

    def __init__(self) -> None:
        self.client = Session(Role.CLIENT, MessageIds(start=0))
        self.server = Session(Role.SERVER, MessageIds(start=2**40))
        self.now = 0.0
        self.at_client = deque()
        self.at_server = deque()
        self.messages = Counter()

    def settle(self):
        """Carry messages until both ends are silent."""
        carried = -1
        while carried != self.messages.total():
            carried = self.messages.total()
            assert carried < ENDLESS, "the two ends do not stop"
            self._carry(self.client, self.server, CLIENT, self.at_server, "client")
            self._carry(self.server, self.client, SERVER, self.at_client, "server")

    def _carry(self, sender, receiver, route, signals, end):
        for _route, payload in sender.take_outgoing():
            self.messages[end, unpacked(payload)[1]] += 1
            signal = receiver.receive(route, payload, self.now)
            if signal is not None:
                signals.append(signal)

    def advance(self, until):
        """Let time pass; each end is woken at its own deadlines."""
        while True:
            deadlines = [self.client.next_deadline(), self.server.next_deadline(), until]
            self.now = min(deadline for deadline in deadlines if deadline is not None)
            self.at_client.extend(self.client.tick(self.now))
            self.at_server.extend(self.server.tick(self.now))
            self.settle()
            if self.now == until:
                return

    def call(self, name="predict"):
        """Make a call; return both ends' channels."""
        channel = self.client.call(SERVER, name, packed([]), self.now)
        self.settle()
        requested = self.at_server.popleft()
        assert isinstance(requested, Requested)
        return channel, requested.channel


@pytest.fixture
def pair():
    pair = SessionPair()
    yield pair
    assert pair.client.take_outgoing() == pair.server.take_outgoing() == []
    assert pair.client.dropped.total() == pair.server.dropped.total() == 0


def test_a_call_is_answered_by_two_messages(pair):
    ours, theirs = pair.call()
    pair.server.answer(theirs, packed(7))
    pair.settle()
    assert list(pair.at_client) == [Answered(ours, packed([7]))]
    assert pair.messages == {("client", "predict"): 1, ("server", "OK"): 1}
    assert pair.client.open_channels == pair.server.open_channels == 0


def test_a_call_fails_with_the_errors_three_texts(pair):
    ours, theirs = pair.call()
    failure = RemoteFailure("ValueError", "no", "Traceback")
    pair.server.fail(theirs, failure)
    pair.settle()
    assert list(pair.at_client) == [Failed(ours, failure)]


def test_many_calls_at_once_get_their_own_answers(pair):
    calls = [pair.call() for _ in range(50)]
    for number, (_ours, theirs) in reversed(list(enumerate(calls))):
        pair.server.answer(theirs, packed(number))
    pair.settle()
    answers = {id(signal.channel): unpacked(signal.args) for signal in pair.at_client}
    assert [answers[id(ours)] for ours, _theirs in calls] == [[number] for number in range(50)]


class Reader:
    """A consumer that reads one item at a time and asks for more each time."""

    def __init__(self, pair, channel):
        self.pair = pair
        self.channel = channel
        self.items = []
        self.end = None
        self.unread = deque()
        self.most_unread = 0

    def read(self):
        """Read the next item, if one is there."""
        while self.pair.at_client:
            signal = self.pair.at_client.popleft()
            assert signal.channel is self.channel
            self.unread.append(signal)
        self.most_unread = max(self.most_unread, len(self.unread))
        if self.unread and self.end is None:
            signal = self.unread.popleft()
            if isinstance(signal, Item):
                self.items.append(unpacked(signal.value))
            else:
                self.end = signal
        self.pair.client.read(self.channel, len(self.unread))
        self.pair.settle()


def test_a_slow_reader_gets_1000_items_and_never_has_more_than_100_waiting(pair):
    ours, theirs = pair.call()
    for number in range(1000):
        pair.server.send_item(theirs, packed(number))
    pair.server.end_stream(theirs)
    reader = Reader(pair, ours)
    for step in range(1, 1100):
        pair.advance(until=step / 16)
        reader.read()
    assert reader.items == list(range(1000))
    assert reader.end == Ended(ours)
    assert reader.most_unread <= 100
    assert pair.messages["server", "STREAM"] == 1000
    assert pair.messages["server", "STREAM_DONE"] == 1
    assert pair.messages["client", "_zpc_more"] == 19  # 1 + 100 + 18 * 50 events
    assert pair.client.open_channels == pair.server.open_channels == 0


def test_a_slow_server_feeds_a_reader_that_waits(pair):
    ours, theirs = pair.call()
    reader = Reader(pair, ours)
    for number in range(300):
        pair.advance(until=(number + 1) / 4)
        pair.server.send_item(theirs, packed(number))
        pair.settle()
        reader.read()
    pair.server.end_stream(theirs)
    pair.settle()
    reader.read()
    assert (reader.items, reader.end) == (list(range(300)), Ended(ours))


def test_an_error_midway_comes_after_the_items_before_it(pair):
    ours, theirs = pair.call()
    for number in range(150):
        pair.server.send_item(theirs, packed(number))
    pair.server.fail(theirs, RemoteFailure("WorkerLost", "gone", "WorkerLost: gone"))
    pair.server.send_item(theirs, packed("too late"))
    reader = Reader(pair, ours)
    for _ in range(200):
        reader.read()
    assert reader.items == list(range(150))
    assert reader.end == Failed(ours, RemoteFailure("WorkerLost", "gone", "WorkerLost: gone"))


def test_an_abandoned_stream_stops_at_its_credit_and_the_server_notices(pair):
    ours, theirs = pair.call()
    for number in range(1000):
        pair.server.send_item(theirs, packed(number))
    pair.advance(until=6.0)
    pair.client.close(ours)
    pair.advance(until=60.0)
    assert pair.messages["server", "STREAM"] == 1
    assert [signal for signal in pair.at_server if isinstance(signal, Lost)] == [Lost(theirs, 25.0)]
    assert pair.server.open_channels == 0
    # What the server said to the closed call until then.
    pair.client.dropped.clear()


def test_heartbeats_of_a_call_of_60_seconds_keep_it_alive_without_an_echo(pair):
    ours, theirs = pair.call()
    pair.advance(until=60.0)
    assert (list(pair.at_client), list(pair.at_server)) == ([], [])
    # One each 5 seconds from either end, and one answer to each of the client's.
    assert pair.messages["client", "_zpc_hb"] == 12
    assert pair.messages["server", "_zpc_hb"] == 24
    pair.server.answer(theirs, packed(7))
    pair.settle()
    assert list(pair.at_client) == [Answered(ours, packed([7]))]
    pair.advance(until=120.0)
    assert pair.messages.total() == 1 + 12 + 24 + 1


def test_a_server_that_stops_is_lost_by_every_call(pair):
    calls = [pair.call()[0] for _ in range(3)]
    pair.advance(until=5.0)
    pair.server.route_lost(CLIENT, pair.now)
    pair.advance(until=60.0)
    assert list(pair.at_client) == [Lost(channel, 15.0) for channel in calls]
    # What the calls said until then.
    pair.server.dropped.clear()
