"""Which calls are repeated, and when."""

from fractions import Fraction

import numpy as np
import pytest

from zeropool.client.retry import RetryPolicy, Tries, policy_or_none
from zeropool.shared.wire.records import RemoteFailure

POLICY = RetryPolicy(models=frozenset({"iris"}), first_wait_s=0.1, longest_wait_s=2.0)


def failure(name, message=""):
    return RemoteFailure(name, message, "")


@pytest.mark.parametrize(
    "method",
    [
        *("get_models", "get_model_metadata", "get_status", "_zerorpc_inspect", "_zerorpc_ping"),
        *("iris_predict", "iris_predict_batch", "iris_predict_stream"),
    ],
)
def test_what_only_reads_and_what_was_named_is_safe_to_repeat(method):
    assert POLICY.covers(method)


@pytest.mark.parametrize(
    "method",
    ["other_predict", "iris_predict_predict", "iris", "_predict", "pay", "get_status_predict", ""],
)
def test_nothing_else_is(method):
    assert not POLICY.covers(method)


def test_a_name_is_no_set_of_names():
    with pytest.raises(TypeError, match=r"\Amodels='iris': expected a set of names\Z"):
        RetryPolicy("iris")


def test_what_is_no_policy_is_refused_before_any_call():
    assert policy_or_none(POLICY) is POLICY
    assert policy_or_none(None) is None
    with pytest.raises(TypeError, match=r"\Aretry={'iris'}: expected a RetryPolicy\Z"):
        policy_or_none({"iris"})


def test_by_default_no_prediction_is():
    assert not RetryPolicy().covers("iris_predict")


@pytest.mark.parametrize("name", ["Draining", "Overloaded", "WorkerLost"])
def test_errors_that_say_not_now_are_repeated_soon(name):
    again_at = Tries(POLICY).after_failure(failure(name), now=100.0)

    assert 100.1 <= again_at <= 100.2


def test_a_loss_is_repeated_soon():
    assert 100.1 <= Tries(POLICY).after_loss(now=100.0) <= 100.2


@pytest.mark.parametrize(
    "name", ["ValueError", "DeadlineExceeded", "PayloadTooLarge", "NameError", "ModelFailed"]
)
def test_other_errors_are_the_last_word(name):
    assert Tries(POLICY).after_failure(failure(name), now=100.0) is None


def test_an_overloaded_server_is_given_the_time_that_it_asks_for():
    full = failure("Overloaded", "10000 calls wait for iris; retry_after_s=7.25")

    again_at = Tries(POLICY).after_failure(full, now=100.0)

    assert 107.35 <= again_at <= 107.45


@pytest.mark.parametrize("asked", ["-1", "inf", "nan", "x", "9" * 400, "1 please"])
def test_nobody_can_ask_for_nonsense(asked):
    odd = failure("Overloaded", f"full; retry_after_s={asked}")

    assert Tries(POLICY).after_failure(odd, now=100.0) <= 100.2


def test_the_waits_grow_up_to_a_limit():
    tries = Tries(POLICY)

    waits = [tries.after_loss(now=0.0) for _ in range(10)]

    assert waits[4] > 4 * waits[0]
    assert max(waits) <= 2.0


@pytest.mark.parametrize("kind", [int, Fraction, np.int64, np.float32])
def test_the_waits_may_be_numbers_of_any_kind(kind):
    again_at = Tries(RetryPolicy(first_wait_s=kind(1), longest_wait_s=kind(2))).after_loss(100.0)

    assert isinstance(again_at, float)
    assert 101.0 <= again_at <= 102.0


def test_what_kills_workers_is_repeated_once():
    tries = Tries(POLICY)
    assert tries.after_failure(failure("WorkerLost"), now=0.0) is not None

    assert tries.after_failure(failure("WorkerLost"), now=1.0) is None


def test_nothing_is_repeated_after_the_deadline():
    tries = Tries(POLICY, deadline=100.15)

    assert tries.after_loss(now=100.15) is None
    assert tries.after_failure(failure("Draining"), now=100.14) is None
    assert tries.after_failure(failure("Overloaded", "retry_after_s=9"), now=95.0) is None


def test_before_the_deadline_it_is():
    assert Tries(POLICY, deadline=100.21).after_loss(now=100.0) is not None
