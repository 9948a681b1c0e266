"""What each client may hold, and that the sums fit."""

from __future__ import annotations

import pytest

from zeropool.gateway.budget import Budget

A = b"a"
B = b"b"


@pytest.fixture
def budget():
    budget = Budget(1000)
    yield budget
    budget.check_invariants()


def test_a_first_call_may_have_all_that_is_free(budget):
    assert budget.refusal(A, 1000) == ""
    assert budget.refusal(A, 1001) == "calls hold 0 of max_held_bytes 1000"


def test_a_client_that_holds_as_much_as_is_free_has_to_wait(budget):
    budget.take(A, 400)
    assert budget.refusal(A, 200) == ""
    message = "this client's calls hold 400 bytes, as much as is free of max_held_bytes 1000"
    assert budget.refusal(A, 201) == message


def test_beside_a_client_that_takes_all_it_can_another_finds_room(budget):
    while not budget.refusal(A, 10):
        budget.take(A, 10)
    assert budget.held_bytes == 500
    while not budget.refusal(B, 10):
        budget.take(B, 10)
    assert budget.held_bytes == 750


def test_while_little_is_held_nobody_is_refused(budget):
    budget.take(A, 300)
    assert budget.is_easy(200)
    assert not budget.is_easy(201)
    assert budget.refusal(A, 200) == budget.refusal(B, 200) == ""


def test_replies_that_wait_leave_less_for_calls(budget):
    budget.reply_bytes = 700
    assert budget.refusal(A, 301) == "calls hold 700 of max_held_bytes 1000"
    assert repr(budget) == "<Budget held=700 of=1000 clients=0>"


def test_who_holds_nothing_is_forgotten(budget):
    account = budget.take(A, 10)
    budget.change(account, 5)
    assert repr(account) == "<Account held=15>"
    budget.change(account, -15)
    assert budget.held_bytes == 0
    assert not budget._accounts


def test_the_invariants_notice_bytes_that_do_not_add_up(budget):
    budget.call_bytes = 1
    with pytest.raises(RuntimeError, match="do not add up"):
        budget.check_invariants()
    budget.call_bytes = 0
    budget.reply_bytes = -1
    with pytest.raises(RuntimeError, match="negative bytes"):
        budget.check_invariants()
    budget.reply_bytes = 0
