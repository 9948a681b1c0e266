"""The client's end of a socket: calls, streams with credit, heartbeats without echo."""

from __future__ import annotations

import pytest
from wire_peer import beat, event_on, names, packed, request, told, unpacked

from zeropool.shared.wire.records import RemoteFailure
from zeropool.shared.wire.session import Drop, Role, Session
from zeropool.shared.wire.signals import Answered, Ended, Failed, Granted, Item, Lost

SERVER = (b"",)


@pytest.fixture
def session():
    session = Session(Role.CLIENT)
    yield session
    assert session.take_outgoing() == []


def called(session, now=0.0, **options):
    """Make a call; return the channel and the id that the server sees."""
    channel = session.call(SERVER, "predict", packed([1]), now, **options)
    [(_route, payload)] = session.take_outgoing()
    return channel, unpacked(payload)[0]["message_id"]


def test_a_call_sends_a_request(session):
    channel = session.call(SERVER, "predict", packed([{"a": 1.5}]), now=0.0)
    [(route, payload)] = session.take_outgoing()
    header, name, args = unpacked(payload)
    assert (route, name, args) == (SERVER, "predict", [{"a": 1.5}])
    assert (sorted(header), header["v"]) == (["message_id", "v"], 3)
    assert type(header["message_id"]) is bytes
    assert (session.open_channels, channel.is_open) == (1, True)


def test_a_call_can_carry_its_timeout(session):
    session.call(SERVER, "predict", packed([]), now=0.0, timeout_s=2.5)
    [(_route, payload)] = session.take_outgoing()
    assert unpacked(payload)[0]["timeout_s"] == 2.5


def test_a_call_that_cannot_be_encoded_leaves_no_channel(session):
    with pytest.raises(UnicodeEncodeError):
        session.call(SERVER, "\ud800", packed([]), now=0.0)
    assert session.open_channels == 0


def test_a_call_is_answered(session):
    channel, call_id = called(session)
    signal = session.receive(SERVER, event_on(call_id, "OK", [7]), now=1.0)
    assert signal == Answered(channel, packed([7]))
    assert (session.open_channels, channel.is_open) == (0, False)


def test_a_call_fails(session):
    channel, call_id = called(session)
    answer = event_on(call_id, "ERR", ["ValueError", "no", "Traceback"])
    failure = RemoteFailure("ValueError", "no", "Traceback")
    assert session.receive(SERVER, answer, now=1.0) == Failed(channel, failure)
    assert session.open_channels == 0


def test_answers_find_their_calls_in_any_order(session):
    first, first_id = called(session)
    second, second_id = called(session)
    assert first_id != second_id
    assert session.receive(SERVER, event_on(second_id, "OK", [2]), now=1.0).channel is second
    assert session.receive(SERVER, event_on(first_id, "OK", [1]), now=1.0).channel is first


def test_a_stream_delivers_items_and_ends(session):
    channel, call_id = called(session)
    assert session.receive(SERVER, event_on(call_id, "STREAM", {"i": 0}), now=1.0) == Item(
        channel, packed({"i": 0})
    )
    assert channel.is_stream
    assert session.receive(SERVER, event_on(call_id, "STREAM_DONE", None), now=1.0) == Ended(
        channel
    )
    assert session.open_channels == 0


def test_an_empty_stream_only_ends(session):
    channel, call_id = called(session)
    assert session.receive(SERVER, event_on(call_id, "STREAM_DONE", []), now=1.0) == Ended(channel)


def test_a_stream_fails_midway(session):
    channel, call_id = called(session)
    session.receive(SERVER, event_on(call_id, "STREAM", 1), now=1.0)
    failed = session.receive(SERVER, event_on(call_id, "ERR", ["E", "m", "t"]), now=1.0)
    assert failed == Failed(channel, RemoteFailure("E", "m", "t"))
    assert session.open_channels == 0


def test_late_and_duplicate_answers_are_dropped(session):
    _channel, call_id = called(session)
    session.receive(SERVER, event_on(call_id, "OK", [7]), now=1.0)
    assert session.receive(SERVER, event_on(call_id, "OK", [7]), now=1.0) is None
    assert session.dropped == {Drop.UNKNOWN_CHANNEL: 1}


def test_a_call_that_was_given_up_gets_nothing_more(session):
    channel, call_id = called(session)
    session.close(channel)
    session.close(channel)
    assert session.receive(SERVER, event_on(call_id, "OK", [7]), now=1.0) is None
    session.read(channel, unread=0)
    session.tick(60.0)
    assert session.take_outgoing() == []


@pytest.mark.parametrize("name", ["junk", "", "_zpc_new", "predict"])
def test_junk_on_an_open_call_is_dropped(session, name):
    _channel, call_id = called(session)
    assert session.receive(SERVER, event_on(call_id, name, [1]), now=1.0) is None
    assert session.dropped == {Drop.UNEXPECTED: 1}
    assert session.open_channels == 1


def test_a_request_to_a_client_is_dropped(session):
    assert session.receive(SERVER, request(b"id"), now=0.0) is None
    assert session.dropped == {Drop.UNEXPECTED: 1}
    assert session.open_channels == 0


# Credit


def test_nothing_is_granted_before_the_consumer_reads(session):
    _channel, call_id = called(session)
    session.receive(SERVER, event_on(call_id, "STREAM", 1), now=1.0)
    assert session.take_outgoing() == []


def test_reading_grants_100_slots_and_then_refills_them(session):
    channel, call_id = called(session)
    session.receive(SERVER, event_on(call_id, "STREAM", 0), now=1.0)
    session.read(channel, unread=0)
    assert told(session.take_outgoing()) == [("_zpc_more", [100])]
    for item in range(49):
        session.receive(SERVER, event_on(call_id, "STREAM", item), now=1.0)
        session.read(channel, unread=0)
    assert session.take_outgoing() == []
    session.receive(SERVER, event_on(call_id, "STREAM", 50), now=1.0)
    session.read(channel, unread=0)
    assert told(session.take_outgoing()) == [("_zpc_more", [50])]


def test_a_grant_goes_to_the_channel_it_is_for(session):
    channel, call_id = called(session)
    session.receive(SERVER, event_on(call_id, "STREAM", 0), now=1.0)
    session.read(channel, unread=0)
    [(route, payload)] = session.take_outgoing()
    assert (route, unpacked(payload)[0]["response_to"]) == (SERVER, call_id)


def test_a_servers_grant_is_accepted(session):
    channel, call_id = called(session)
    assert session.receive(SERVER, event_on(call_id, "_zpc_more", [5]), now=1.0) == Granted(channel)
    assert channel.credit.available == 5  # the request itself took the first


@pytest.mark.parametrize("batch", [1, 3, 50, 100])
def test_any_number_of_items_arrives_with_never_more_than_100_outstanding(session, batch):
    channel, call_id = called(session)
    credit, unread, received = 1, 0, 0
    for _step in range(5000):
        if received == 1000 and not unread:
            break
        while credit and received < 1000:
            assert session.receive(SERVER, event_on(call_id, "STREAM", received), now=1.0)
            credit, unread, received = credit - 1, unread + 1, received + 1
        for _read in range(min(batch, unread)):
            unread -= 1
            session.read(channel, unread)
        credit += sum(args[0] for _name, args in told(session.take_outgoing()))
        assert credit + unread <= 100
    assert (received, unread) == (1000, 0)


# Heartbeats


def test_a_client_beats_every_5_seconds_and_does_not_echo(session):
    _channel, call_id = called(session)
    for now in (5.0, 10.0, 15.0):
        assert session.next_deadline() == now
        assert session.receive(SERVER, beat(call_id), now) is None
        assert session.take_outgoing() == []
        assert session.tick(now) == []
        assert names(session.take_outgoing()) == ["_zpc_hb"]


def test_a_server_that_never_beats_is_lost_after_3_intervals(session):
    channel, _call_id = called(session)
    assert [session.tick(5.0), session.tick(10.0)] == [[], []]
    assert session.tick(15.0) == [Lost(channel, 15.0)]
    assert names(session.take_outgoing()) == ["_zpc_hb", "_zpc_hb"]
    assert (session.open_channels, session.next_deadline()) == (0, None)


def test_a_server_that_falls_silent_is_lost_3_intervals_after_its_last_beat(session):
    channel, call_id = called(session)
    session.receive(SERVER, beat(call_id), now=5.0)
    assert [session.tick(now) for now in (5.0, 10.0, 15.0)] == [[], [], []]
    assert session.tick(20.0) == [Lost(channel, 15.0)]
    session.take_outgoing()


def test_the_interval_of_a_client_can_be_chosen():
    session = Session(Role.CLIENT, beat_interval_s=0.5)
    channel, _call_id = called(session)
    assert [session.tick(0.5), session.tick(1.0)] == [[], []]
    assert session.tick(1.5) == [Lost(channel, 1.5)]


def test_only_heartbeats_count_as_life(session):
    channel, call_id = called(session)
    for now in (1.0, 6.0, 11.0):
        session.receive(SERVER, event_on(call_id, "STREAM", 1), now)
    session.tick(5.0)
    session.tick(10.0)
    assert session.tick(15.0) == [Lost(channel, 15.0)]
    session.take_outgoing()
