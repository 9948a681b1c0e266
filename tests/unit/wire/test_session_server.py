"""The server's end of a socket: channels, heartbeats, credit, and what is dropped."""

from __future__ import annotations

import pytest
from wire_peer import beat, event_on, more, names, packed, request, told, unpacked

from zeropool.shared.wire.channel import State
from zeropool.shared.wire.event import encode_failure, encode_reply
from zeropool.shared.wire.records import NIL, RemoteFailure
from zeropool.shared.wire.requested import Requested
from zeropool.shared.wire.session import Drop, Role, Session
from zeropool.shared.wire.signals import Granted, Lost

PEER = (b"peer",)
OTHER = (b"other",)
FAILURE = RemoteFailure("ValueError", "no", "Traceback …\nValueError: no\n")


@pytest.fixture
def session():
    session = Session(Role.SERVER)
    yield session
    assert session.take_outgoing() == []
    session.check_invariants()


def opened(session, message_id=b"id", route=PEER, now=0.0, **header):
    signal = session.receive(route, request(message_id, **header), now)
    assert isinstance(signal, Requested)
    return signal.channel


def grant(session, slots, message_id=b"id"):
    session.receive(PEER, more(message_id, slots), now=0.0)


# Requests


def test_a_request_opens_a_channel(session):
    signal = session.receive(PEER, request(b"id", "predict", [1]), now=0.0)
    assert isinstance(signal, Requested)
    assert (signal.event.name, signal.event.args) == ("predict", packed([1]))
    assert (signal.channel.route, signal.channel.version) == (PEER, 3)
    assert (session.open_channels, session.peers) == (1, 1)


def test_an_answer_goes_to_the_caller_and_closes_the_channel(session):
    channel = opened(session)
    session.answer(channel, packed({"species": "setosa"}))
    [(route, payload)] = session.take_outgoing()
    header, name, args = unpacked(payload)
    assert (route, name, args) == (PEER, "OK", [{"species": "setosa"}])
    assert (header["v"], header["response_to"]) == (3, b"id")
    assert header["message_id"] not in (b"", b"id")
    assert (session.open_channels, session.peers) == (0, 0)


def test_every_event_has_an_id_of_its_own(session):
    channel = opened(session)
    grant(session, 10)
    for value in (b"\x01", b"\x02", b"\x03"):
        session.send_item(channel, value)
    session.end_stream(channel)
    ids = {unpacked(payload)[0]["message_id"] for _route, payload in session.take_outgoing()}
    assert len(ids) == 4


def test_the_same_id_again_while_its_channel_is_open_is_dropped_and_counted(session):
    channel = opened(session)
    assert session.receive(PEER, request(b"id"), now=1.0) is None
    assert session.dropped == {Drop.DUPLICATE_ID: 1}
    session.answer(channel, NIL)
    assert names(session.take_outgoing()) == ["OK"]


def test_the_same_id_again_after_its_channel_was_closed_opens_another(session):
    session.answer(opened(session), NIL)
    session.answer(opened(session), NIL)
    assert names(session.take_outgoing()) == ["OK", "OK"]


def test_a_late_word_on_a_closed_channel_spares_the_next_one_with_its_id(session):
    first = opened(session)
    session.answer(first, NIL)
    second = opened(session)
    session.answer(first, NIL)
    session.send_item(first, NIL)
    session.fail(first, FAILURE)
    session.close(first)
    assert session.open_channels == 1
    session.answer(second, packed("second"))
    assert told(session.take_outgoing()) == [("OK", [None]), ("OK", ["second"])]


def test_equal_ids_of_two_peers_are_two_channels(session):
    ours, theirs = opened(session), opened(session, route=OTHER)
    session.answer(theirs, packed("theirs"))
    session.answer(ours, packed("ours"))
    outgoing = session.take_outgoing()
    assert [route for route, _payload in outgoing] == [OTHER, PEER]
    assert told(outgoing) == [("OK", ["theirs"]), ("OK", ["ours"])]


def test_equal_ids_as_bin_text_and_number_are_three_channels(session):
    channels = [opened(session, message_id) for message_id in (b"1", "1", 1)]
    for channel in channels:
        session.answer(channel, NIL)
    answered = [unpacked(payload)[0]["response_to"] for _, payload in session.take_outgoing()]
    assert answered == [b"1", "1", 1]


def test_an_old_raw16_id_goes_back_as_raw16(session):
    message_id = b"\xda\x00\x20" + b"a" * 32
    signal = session.receive(PEER, b"\x93\x81\xaamessage_id" + message_id + b"\xa1m\x90", now=0.0)
    session.answer(signal.channel, NIL)
    [(_route, payload)] = session.take_outgoing()
    assert b"\xabresponse_to" + message_id in payload


# What is dropped


@pytest.mark.parametrize("name", ["_zpc_hb", "_zpc_more", "_zpc_new"])
def test_a_control_event_that_belongs_to_no_channel_is_dropped(session, name):
    assert session.receive(PEER, request(b"id", name, [0]), now=0.0) is None
    assert session.dropped == {Drop.UNEXPECTED: 1}
    assert session.open_channels == 0


@pytest.mark.parametrize("name", ["OK", "ERR", "STREAM", "predict", "_zpc_new", ""])
def test_junk_on_an_open_channel_is_dropped(session, name):
    channel = opened(session)
    assert session.receive(PEER, event_on(b"id", name, [1]), now=0.0) is None
    assert session.dropped == {Drop.UNEXPECTED: 1}
    session.answer(channel, NIL)
    assert names(session.take_outgoing()) == ["OK"]


def test_equal_ids_by_another_way_are_other_channels(session):
    for route in ((b"A",), (b"A", b"hop")):
        for message_id in (b"1", "1", 1):
            assert session.receive(route, request(message_id), now=0.0) is not None
    assert (session.open_channels, session.peers) == (6, 2)


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda session, _: session._channels.clear(), "0 channels have names"),
        (lambda session, _: session._channels.update({(b"x",): {}}), "has no channel"),
        (lambda _, channel: setattr(channel, "route", (b"x",)), "is called"),
        (lambda _, channel: channel.close(), "is closed"),
        (lambda _, channel: setattr(channel, "parked_bytes", 7), "7 bytes are parked"),
    ],
)
def test_the_invariants_notice_what_does_not_fit_together(harm, told):
    session = Session(Role.SERVER)
    channel = session.receive(PEER, request(b"id"), now=0.0).channel
    session.check_invariants()
    harm(session, channel)
    with pytest.raises(RuntimeError, match=told):
        session.check_invariants()


@pytest.mark.parametrize("name", ["_zpc_hb", "_zpc_more", "STREAM", "junk"])
def test_events_on_unknown_channels_are_dropped(session, name):
    assert session.receive(PEER, event_on(b"unknown", name, [1]), now=0.0) is None
    assert session.dropped == {Drop.UNKNOWN_CHANNEL: 1}


def test_malformed_payloads_are_dropped_and_counted(session):
    for payload in (b"", b"\xc1", b"junk", packed([{}, "m", []])):
        assert session.receive(PEER, payload, now=0.0) is None
    assert session.dropped == {Drop.MALFORMED: 4}


# Heartbeats


def test_every_heartbeat_on_an_open_channel_is_answered_once(session):
    opened(session)
    for now in (1.0, 2.0, 3.0):
        assert session.receive(PEER, beat(b"id"), now) is None
        assert told(session.take_outgoing()) == [("_zpc_hb", [0])]


def test_a_heartbeat_is_answered_while_the_terminal_event_waits(session):
    channel = opened(session)
    session.send_item(channel, b"\x01")
    session.end_stream(channel)
    session.receive(PEER, beat(b"id"), now=1.0)
    assert names(session.take_outgoing()) == ["STREAM", "_zpc_hb"]


def test_heartbeats_on_unknown_and_closed_channels_are_not_answered(session):
    session.receive(PEER, beat(b"unknown"), now=1.0)
    session.answer(opened(session), NIL)
    session.take_outgoing()
    session.receive(PEER, beat(b"id"), now=2.0)
    assert session.take_outgoing() == []
    assert session.dropped == {Drop.UNKNOWN_CHANNEL: 2}


def test_anothers_heartbeat_with_our_id_is_not_answered(session):
    opened(session)
    session.receive(OTHER, beat(b"id"), now=1.0)
    session.receive(PEER, beat("id"), now=1.0)
    assert session.take_outgoing() == []


def test_own_heartbeats_go_out_every_5_seconds(session):
    opened(session, now=1.0)
    sent = {}
    for now in (1.0, 5.9, 6.0, 6.0, 10.9, 11.0, 16.0):
        assert session.tick(now) == []
        sent.setdefault(now, []).extend(names(session.take_outgoing()))
    assert [now for now, beats in sent.items() if beats == ["_zpc_hb"]] == [6.0, 11.0, 16.0]
    assert session.next_deadline() == 21.0


def test_a_late_tick_sends_one_heartbeat_not_all_that_were_missed(session):
    opened(session)
    session.tick(60.0)
    assert names(session.take_outgoing()) == ["_zpc_hb"]
    assert session.next_deadline() == 65.0


def test_the_next_deadline_is_the_earliest_beat(session):
    assert session.next_deadline() is None
    first = opened(session, b"1", now=0.0)
    opened(session, b"2", now=2.0)
    assert session.next_deadline() == 5.0
    session.tick(5.0)
    assert session.next_deadline() == 7.0
    session.tick(7.0)
    assert session.next_deadline() == 10.0
    session.close(first)
    assert session.next_deadline() == 12.0
    assert names(session.take_outgoing()) == ["_zpc_hb", "_zpc_hb"]


# Loss


def test_a_caller_that_never_sent_a_heartbeat_is_never_lost(session):
    channel = opened(session)
    lost = [loss for step in range(1, 1000) for loss in session.tick(step * 5.0)]
    session.take_outgoing()
    assert lost == []
    session.answer(channel, NIL)
    assert names(session.take_outgoing()) == ["OK"]


@pytest.mark.parametrize(("interval_s", "lost_after_s"), [(0.5, 20.0), (5.0, 20.0), (30.0, 120.0)])
def test_a_caller_that_stops_its_heartbeats_is_lost(session, interval_s, lost_after_s):
    channel = opened(session)
    for now in (interval_s, 2 * interval_s):
        session.receive(PEER, beat(b"id"), now)
    last = 2 * interval_s
    assert session.tick(last + lost_after_s) == []
    assert session.tick(last + lost_after_s + 5.0) == [Lost(channel, lost_after_s + 5.0)]
    session.take_outgoing()
    assert (session.open_channels, session.next_deadline()) == (0, None)


def test_nothing_is_sent_to_a_caller_that_is_lost(session):
    channel = opened(session)
    session.receive(PEER, beat(b"id"), now=1.0)
    session.take_outgoing()
    [lost] = session.tick(30.0)
    session.answer(lost.channel, NIL)
    session.tick(60.0)
    assert lost.channel is channel
    assert session.take_outgoing() == []


def test_a_lost_route_closes_its_channels_in_their_order_and_no_others(session):
    ours = [opened(session, number) for number in range(1, 20)]
    theirs = opened(session, 1, route=OTHER)
    assert session.route_lost(PEER, now=3.0) == [Lost(channel, 3.0) for channel in ours]
    assert (session.open_channels, session.peers) == (1, 1)
    for channel in [*ours, theirs]:
        session.answer(channel, NIL)
    assert [route for route, _payload in session.take_outgoing()] == [OTHER]
    assert session.route_lost(PEER, now=4.0) == []


# Credit


def test_items_without_credit_wait_for_the_grant(session):
    channel = opened(session)
    for value in range(4):
        session.send_item(channel, packed(value))
    session.end_stream(channel)
    assert told(session.take_outgoing()) == [("STREAM", 0)]
    assert session.receive(PEER, more(b"id", 2), now=1.0) == Granted(channel)
    assert told(session.take_outgoing()) == [("STREAM", 1), ("STREAM", 2)]
    session.receive(PEER, more(b"id", 100), now=2.0)
    assert told(session.take_outgoing()) == [("STREAM", 3), ("STREAM_DONE", None)]
    assert session.open_channels == 0


def test_an_error_midway_waits_for_credit_and_is_the_last_event(session):
    channel = opened(session)
    session.send_item(channel, b"\x01")
    session.send_item(channel, b"\x02")
    session.fail(channel, FAILURE)
    session.send_item(channel, b"\x03")
    session.end_stream(channel)
    grant(session, 100)
    session.receive(PEER, beat(b"id"), now=1.0)
    session.tick(60.0)
    assert names(session.take_outgoing()) == ["STREAM", "STREAM", "ERR"]


@pytest.mark.parametrize("junk", [None, 5, "text", {}, [], ["x"], [None], [True], [[5]]])
def test_a_grant_that_says_nothing_changes_nothing(session, junk):
    channel = opened(session)
    session.send_item(channel, b"\x01")
    session.send_item(channel, b"\x02")
    assert session.receive(PEER, event_on(b"id", "_zpc_more", junk), now=0.0) is None
    assert names(session.take_outgoing()) == ["STREAM"]
    assert channel.backlog == 1


def test_nodes_burst_of_fifty_grants_adds_up_to_1275(session):
    channel = opened(session)
    for slots in range(1, 51):
        grant(session, slots)
    assert channel.credit.available == 1 + 1275


@pytest.mark.parametrize("version", [1, 2])
def test_an_old_peers_heartbeat_grants_credit_and_is_answered_without_any(session, version):
    channel = opened(session, v=version)
    for value in range(3):
        session.send_item(channel, packed(value))
    session.take_outgoing()
    signal = session.receive(PEER, beat(b"id", 1, v=version), now=1.0)
    assert signal == Granted(channel)
    assert told(session.take_outgoing()) == [("_zpc_hb", [0]), ("STREAM", 1)]
    assert session.receive(PEER, beat(b"id", 0, v=version), now=2.0) is None
    assert told(session.take_outgoing()) == [("_zpc_hb", [0])]


def test_a_version_3_peers_heartbeat_grants_nothing(session):
    channel = opened(session)
    session.send_item(channel, b"\x01")
    session.send_item(channel, b"\x02")
    assert session.receive(PEER, beat(b"id", 100), now=1.0) is None
    assert names(session.take_outgoing()) == ["STREAM", "_zpc_hb"]


def test_an_old_peer_may_grant_by_more_as_well(session):
    channel = opened(session, v=2)
    session.send_item(channel, b"\x01")
    session.send_item(channel, b"\x02")
    grant(session, 1)
    assert names(session.take_outgoing()) == ["STREAM", "STREAM"]


def test_items_that_wait_can_be_discarded_and_their_credit_serves_the_end(session):
    channel = opened(session)
    for value in range(4):
        session.send_item(channel, packed(value))
    session.discard_waiting(channel)
    session.fail(channel, FAILURE)
    grant(session, 1)
    assert names(session.take_outgoing()) == ["STREAM", "ERR"]


def test_a_terminal_event_that_waits_is_not_discarded(session):
    channel = opened(session)
    session.send_item(channel, b"\x01")
    session.end_stream(channel)
    session.discard_waiting(channel)
    grant(session, 1)
    assert names(session.take_outgoing()) == ["STREAM", "STREAM_DONE"]


# Errors


@pytest.mark.parametrize(
    ("version", "args"),
    [
        (1, ["ValueError('no')"]),
        (2, ["ValueError", "no", "Traceback …\nValueError: no\n"]),
        (3, ["ValueError", "no", "Traceback …\nValueError: no\n"]),
    ],
)
def test_an_error_has_the_form_of_the_callers_version(session, version, args):
    session.fail(opened(session, v=version), FAILURE)
    assert told(session.take_outgoing()) == [("ERR", args)]


def test_a_reply_that_a_worker_encoded_ends_the_channel(session):
    channel = opened(session)
    payload = encode_reply(b"\x07", channel.channel_id, "ERR", encode_failure(3, FAILURE))
    session.finish(channel, payload)
    assert session.take_outgoing() == [(PEER, payload)]
    assert session.open_channels == 0


def test_its_repr_counts(session):
    opened(session)
    session.receive(PEER, b"junk", now=0.0)
    session.tick(5.0)
    assert repr(session) == "<Session server channels=1 peers=1 outgoing=1 dropped=1>"
    session.take_outgoing()


# Replies that wait for credit


def parked(session, route, channel_id):
    """A channel whose reply of 1,000 bytes waits."""
    channel = opened(session, channel_id, route=route)
    session.receive(route, more(channel_id, -1), now=0.0)
    session.answer(channel, packed("x" * 1000))
    return channel


def test_a_reply_without_credit_is_counted_until_its_peer_grants_some(session):
    channel = opened(session)
    grant(session, -1)
    session.answer(channel, packed("x" * 1000))
    assert session.parked_bytes > 1000
    session.fail(channel, FAILURE)
    parked_bytes = session.parked_bytes
    grant(session, 1)
    assert names(session.take_outgoing()) == ["OK"]
    assert (parked_bytes > 2000, session.parked_bytes) == (True, 0)


def test_a_peer_that_grants_no_credit_loses_what_is_too_much():
    session = Session(Role.SERVER, max_parked_bytes=5000)
    for number in range(4):
        channel = opened(session, b"id%d" % number)
        grant(session, -1, b"id%d" % number)
        session.answer(channel, packed("x" * 1000))
    assert (session.open_channels, session.dropped[Drop.UNCLAIMED]) == (2, 2)
    assert 2 * 1000 < session.parked_bytes <= 5000
    assert len(session.route_lost(PEER, 1.0)) == 2
    assert repr(session._parked) == "<Parked clients=0 bytes=0>"


def test_what_all_peers_leave_together_is_bounded_too():
    session = Session(Role.SERVER, max_parked_bytes_in_all=5000)
    for number in range(4):
        route = (b"peer%d" % number,)
        channel = opened(session, route=route)
        session.receive(route, more(b"id", -1), now=0.0)
        session.answer(channel, packed("x" * 1000))
    assert (session.open_channels, session.dropped[Drop.UNCLAIMED]) == (2, 2)
    assert session.parked_bytes <= 5000


def test_in_all_whoever_leaves_the_most_loses_them():
    session = Session(Role.SERVER, max_parked_bytes_in_all=7000)
    greedy = [parked(session, PEER, b"id%d" % number) for number in range(3)]
    modest = parked(session, OTHER, b"id")
    assert session.dropped[Drop.UNCLAIMED] == 3
    states = [channel.state for channel in (*greedy, modest)]
    assert states == [State.CLOSED, State.CLOSED, State.CLOSED, State.FINISHING]
    session.check_invariants()


def test_a_peer_that_makes_up_hops_may_leave_no_more():
    session = Session(Role.SERVER, max_parked_bytes=3000)
    for hop in (b"1", b"2"):
        route = (*PEER, hop)
        channel = opened(session, route=route)
        session.receive(route, more(b"id", -1), now=0.0)
        session.answer(channel, packed("x" * 1000))
    assert (session.open_channels, session.dropped[Drop.UNCLAIMED]) == (1, 1)


def test_what_one_peer_leaves_costs_another_nothing():
    session = Session(Role.SERVER, max_parked_bytes=3000)
    for route in (PEER, OTHER):
        channel = opened(session, route=route)
        session.receive(route, more(b"id", -1), now=0.0)
        session.answer(channel, packed("x" * 1000))
    assert (session.open_channels, session.dropped[Drop.UNCLAIMED]) == (2, 0)
