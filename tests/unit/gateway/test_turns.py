"""Models that share workers take turns by the time that they had."""

from __future__ import annotations

from gateway_world import channel, model_info, unary

from zeropool.gateway.queue import CallQueue
from zeropool.gateway.turns import Turns


def queue_of(name, waiting=1, used_s=0.0):
    queue = CallQueue(model_info(name))
    for number in range(waiting):
        queue.append(unary(channel(str(number))))
    queue.used_s = used_s
    return queue


def test_only_queues_with_calls_have_a_turn():
    idle, busy = queue_of("a", waiting=0), queue_of("b")
    assert Turns().waiting([idle, busy]) == [busy]


def test_the_model_that_had_the_least_time_is_first():
    first, second = queue_of("a", used_s=2.0), queue_of("b", used_s=1.0)
    assert Turns().waiting([first, second]) == [second, first]


def test_a_newcomer_begins_where_the_others_are():
    turns = Turns()
    old = queue_of("a", used_s=100.0)
    turns.waiting([old])
    new = queue_of("b")
    assert turns.waiting([old, new]) == [old, new]
    assert new.used_s == 100.0
    assert repr(turns) == "<Turns at_s=100.000>"
