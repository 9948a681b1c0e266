"""Many calls and batches by the blocking client, against a small server on real sockets."""

import itertools
import os
import threading
import time

import numpy as np
import pandas as pd
import pytest
from small_server import HEARTBEAT_S, PATIENCE_S

from zeropool.client import Client, RetryPolicy

POLICY = RetryPolicy(models={"safe"}, first_wait_s=0.01)


@pytest.fixture
def client(server):
    with Client(server.endpoint, timeout=PATIENCE_S, retry=POLICY) as connected:
        yield connected


@pytest.fixture(scope="module")
def errors():
    """zerorpc's own classes; loading them takes a second."""
    from zerorpc import exceptions  # noqa: PLC0415 - loads gevent

    return exceptions


def rows(count):
    return [{"x": number} for number in range(count)]


def endless():
    return ({"x": number} for number in itertools.count())


def open_calls(client):
    # What was dropped while the lock was taken is forgotten with the next occasion.
    client._crew.attend()
    return client._crew.core.open_calls


def test_predictions_of_many_rows_come_in_their_order(client, server):
    found = list(client.predict_many("double", iter(rows(300)), window=7))

    assert found == [2 * number for number in range(300)]
    assert server.most_open <= 7
    assert open_calls(client) == 0


def test_or_as_they_come(client):
    found = dict(client.predict_as_completed("double", pd.DataFrame({"x": range(100)})))

    assert found == {number: 2 * number for number in range(100)}


def test_rows_without_end_are_read_as_far_as_they_are_wanted(client):
    taken = []
    watched = (taken.append(row) or row for row in endless())

    predictions = client.predict_many("double", watched, window=5)
    found = list(itertools.islice(predictions, 20))
    predictions.close()

    assert found == [2 * number for number in range(20)]
    assert len(taken) <= 30
    assert open_calls(client) == 0


def test_whoever_leaves_the_loop_gives_up_what_is_in_flight(client):
    for _ in client.predict_many("double", endless()):
        break

    assert open_calls(client) == 0
    assert client.echo(5) == 5


def test_no_rows_are_no_predictions(client):
    assert list(client.predict_many("double", [])) == []
    assert client.predict_batch("double", []) == []


def test_a_failure_ends_it_or_is_a_result(client, errors):
    three = [{"x": 1}, {"y": 2}, {"x": 3}]

    with pytest.raises(errors.RemoteError, match="KeyError"):
        list(client.predict_many("double", three))
    first, second, third = client.predict_many("double", three, errors="return")

    assert (first, third) == (2, 6)
    assert isinstance(second, errors.RemoteError)
    assert open_calls(client) == 0


def test_what_is_safe_to_repeat_is_repeated(client, server):
    server.failures.extend([("Draining", "bye"), ("Overloaded", "full; retry_after_s=0.01")])

    assert list(client.predict_many("safe", [0, 1, 2])) == ["well"] * 3
    assert server.asked.qsize() == 5


def test_each_call_has_its_own_time(client, errors):
    found = list(client.predict_many("never", [1, 2, 3], timeout=0.1, errors="return"))

    assert [type(failure) for failure in found] == [errors.TimeoutExpired] * 3
    assert str(found[0]) == "timeout after 0.1s, when calling remote method never_predict"


def test_progress_is_told(client):
    told = []

    list(client.predict_many("double", rows(10), progress=told.append))

    assert (told[-1].done, told[-1].failed, told[-1].total) == (10, 0, 10)


def test_a_reader_may_take_its_time_and_its_calls_live_on(server):
    with Client(server.endpoint, timeout=PATIENCE_S, heartbeat=HEARTBEAT_S) as client:
        results = client.predict_as_completed("slow_or_not", [0.0, 6 * HEARTBEAT_S], window=2)
        assert next(results) == (0, 0.0)
        time.sleep(4 * HEARTBEAT_S)

        assert next(results) == (1, 6 * HEARTBEAT_S)
        assert server.beats.qsize() >= 3


def test_threads_share_a_client(client):
    found = {}

    def work(name):
        found[name] = list(client.predict_many("double", rows(200), window=16))

    threads = [threading.Thread(target=work, args=(name,)) for name in range(6)]
    for thread in threads:
        thread.start()
    singles = [client.echo(number) for number in range(100)]
    for thread in threads:
        thread.join(PATIENCE_S)

    assert singles == list(range(100))
    assert found == {name: [2 * number for number in range(200)] for name in range(6)}


def test_a_server_that_dies_fails_what_it_had(server, errors):
    with Client(server.endpoint, timeout=PATIENCE_S) as client:
        results = client.predict_many("never", endless(), window=3, errors="return")
        stopper = threading.Thread(target=server.stop_after, args=("never_predict",))
        stopper.start()
        first = next(results)
        stopper.join(PATIENCE_S)
        results.close()

        assert isinstance(first, errors.LostRemote)


def test_a_forked_child_cannot_go_on_with_its_parents_calls(client):
    results = client.predict_many("double", endless(), window=2)
    assert next(results) == 0
    child = os.fork()
    if child == 0:
        try:
            list(itertools.islice(results, 5))
        except Exception as error:  # noqa: BLE001 - only its name can leave the child
            os._exit(0 if "another process" in str(error) else 1)
        os._exit(2)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert list(itertools.islice(results, 3)) == [2, 4, 6]


def test_a_batch_is_cut_and_put_together(client, server):
    array = np.arange(1000.0).reshape(500, 2)

    found = client.predict_batch("double", array, columns=["x", "y"], piece_rows=60)

    assert found == [2 * row for row in array[:, 0].tolist()]
    assert server.asked.qsize() == 9


def test_rows_of_a_batch_fail_alone(client, errors):
    three = [{"x": 1}, {"y": 2}, {"x": 3}]

    first, second, third = client.predict_batch("double", three, errors="return")
    assert (first, third) == (2, 6)
    assert str(second) == "row 1: KeyError: 'x'"

    with pytest.raises(errors.RemoteError, match="row 1: KeyError"):
        client.predict_batch("double", three)


def test_what_numpy_and_pandas_hold_can_be_an_argument(client):
    row = next(pd.DataFrame({"a": [1], "b": ["x"]}).iterrows())[1]

    assert client.echo(np.float32(0.5)) == 0.5
    assert client.echo(row) == {"a": 1, "b": "x"}


@pytest.mark.parametrize(
    ("options", "error"), [({"window": 0}, ValueError), ({"windows": 1}, TypeError)]
)
def test_nonsense_is_refused_before_anything_is_called(client, server, options, error):
    with pytest.raises(error, match="window"):
        client.predict_many("double", rows(1), **options)

    assert server.asked.empty()
