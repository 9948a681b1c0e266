"""Calls whose answers are taken later, against a small server."""

import contextlib
import logging
import sys
import threading

import pytest
from small_server import HEARTBEAT_S, PATIENCE_S

from zeropool.client import Client


@pytest.fixture
def client(server):
    with Client(server.endpoint, timeout=PATIENCE_S) as connected:
        yield connected


def test_many_calls_are_in_flight_and_each_has_its_answer(client):
    pending = [client.call_async("echo", number) for number in range(200)]

    assert [one.get() for one in reversed(pending)] == list(reversed(range(200)))


@pytest.mark.parametrize("option", ["async", "async_"])
def test_both_spellings_of_zerorpc_begin_a_call(client, option):
    pending = client("echo", 5, **{option: True})

    assert pending.get() == 5
    assert pending.get(block=False) == 5
    assert pending.ready()


def test_a_call_is_sent_and_answered_while_nobody_waits(server, client):
    pending = client.call_async("echo", 5)

    assert server.asked.get(timeout=PATIENCE_S) == ("echo", [5])
    assert pending.wait(PATIENCE_S)


def test_an_answer_that_is_not_there_yet_is_not_waited_for_longer_than_told(client):
    pending = client.call_async("never")

    with pytest.raises(TimeoutError, match="no answer of never yet"):
        pending.get(timeout=0.05)
    with pytest.raises(TimeoutError):
        pending.get(block=False)
    assert not pending.ready()
    assert client.call("echo", 5) == 5


def test_a_call_for_later_has_the_clients_time(client):
    pending = client("never", timeout=0.1, async_=True)

    with pytest.raises(Exception, match=r"timeout after 0\.1s, when calling remote method never"):
        pending.get()


def test_its_error_is_raised_as_often_as_it_is_asked(client):
    pending = client.call_async("fail", "ValueError", "no root", "")

    for _ in range(2):
        with pytest.raises(Exception, match="ValueError: no root"):
            pending.get()


def test_a_stream_may_be_for_later(client):
    pending = client.call_async("count", 0, 250)

    assert list(pending.get()) == list(range(250))


def test_heartbeats_go_on_while_nobody_waits(server):
    with Client(server.endpoint, heartbeat=HEARTBEAT_S) as client:
        client.call_async("never")

        for _ in range(3):
            server.beats.get(timeout=PATIENCE_S)


# Callbacks


def test_a_callback_is_called_when_the_answer_comes_though_nobody_waits(client):
    called = threading.Event()
    answers = []

    def note(pending):
        answers.append(pending.get())
        called.set()

    client.call_async("echo", 5).add_done_callback(note)

    assert called.wait(PATIENCE_S)
    assert answers == [5]


def test_a_callback_for_an_answer_that_is_there_is_called_at_once(client):
    pending = client.call_async("echo", 5)
    pending.get()
    answers = []

    pending.add_done_callback(lambda one: answers.append(one.get()))

    assert answers == [5]


def test_a_callback_may_call_and_wait(client):
    called = threading.Event()
    answers = []

    def call_more(pending):
        answers.append(client.call("echo", pending.get() + 1))
        called.set()

    client.call_async("echo", 5).add_done_callback(call_more)

    assert called.wait(PATIENCE_S)
    assert answers == [6]


def test_a_callback_that_fails_is_logged_and_harms_nobody(client, caplog):
    logged = threading.Event()

    def note(record):
        logged.set()
        return True

    caplog.handler.addFilter(note)

    def fail(pending):
        raise ValueError("of the callback")

    with caplog.at_level(logging.ERROR, logger="zeropool.client"):
        client.call_async("echo", 5).add_done_callback(fail)
        assert logged.wait(PATIENCE_S)
        assert client.call("echo", 6) == 6

    assert "of the callback" in caplog.text


def test_a_callback_that_exits_ends_no_thread(client, caplog):
    called = threading.Event()
    with caplog.at_level(logging.CRITICAL, logger="zeropool.client"):
        client.call_async("echo", 5).add_done_callback(lambda _: sys.exit(1))
        client.call_async("echo", 6).add_done_callback(lambda _: called.set())

        assert called.wait(PATIENCE_S)


def test_a_callback_that_fails_at_once_is_logged_too(client, caplog):
    pending = client.call_async("echo", 5)
    assert pending.wait()

    with caplog.at_level(logging.ERROR, logger="zeropool.client"):
        pending.add_done_callback(lambda _: {}["of the callback"])

    assert "of the callback" in caplog.text


def test_all_callbacks_of_a_call_are_called(client):
    called = [threading.Event() for _ in range(3)]
    pending = client.call_async("echo", 5)
    for event in called:
        pending.add_done_callback(lambda _, event=event: event.set())

    assert all(event.wait(PATIENCE_S) for event in called)


# Whichever is next


def test_answers_are_taken_as_they_come(client):
    gathering = client.gather()
    slow = client.call_async("one_and_silence", gathering=gathering)
    quick = client.call_async("echo", 5, gathering=gathering)

    assert {gathering.next(), gathering.next()} == {slow, quick}
    assert len(gathering) == 0


def test_what_is_not_answered_is_still_awaited(client):
    gathering = client.gather()
    client.call_async("never", gathering=gathering)
    client.call_async("echo", 5, gathering=gathering)

    assert gathering.next().get() == 5
    with pytest.raises(TimeoutError, match="none of 1 calls"):
        gathering.next(timeout=0.05)
    assert len(gathering) == 1


def test_where_nothing_is_awaited_there_is_no_next(client):
    with pytest.raises(LookupError):
        client.gather().next()


def test_two_threads_may_wait_for_the_same_answer(client):
    gathering = client.gather()
    pending = client.call_async("one_and_silence", gathering=gathering)
    seen = []
    threads = [threading.Thread(target=lambda: seen.append(pending.wait())) for _ in range(3)]
    for thread in threads:
        thread.start()

    assert gathering.next(timeout=PATIENCE_S) is pending
    for thread in threads:
        thread.join(PATIENCE_S)
    assert seen == [True] * 3


def test_who_looks_again_and_again_leaves_nothing_behind(client):
    pending = client.call_async("never")
    with contextlib.closing(client.call_async("one_and_silence").get()) as stream:
        assert next(stream) == "one"
        leader = threading.Thread(target=lambda: list(stream))
        leader.start()
        for _ in range(30):
            assert not pending.wait(0.001)

        followers = 0
        owner = pending._call.owner
        while owner is not None:
            followers += 1
            owner = owner.other
        assert followers <= 1
    leader.join(PATIENCE_S)
    assert not leader.is_alive()
