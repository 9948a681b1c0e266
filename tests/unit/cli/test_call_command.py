"""What `zeropool call`, `models` and `status` read and print."""

import io
import json
import subprocess
import sys

import pytest

from zeropool.cli import call
from zeropool.cli.call import (
    READING_ONLY,
    CallFailed,
    ask,
    print_json,
    print_models,
    print_status,
    repeating,
)


def printed(show, value):
    out = io.StringIO()
    show(value, out)
    return out.getvalue()


def test_an_answer_is_one_line_of_json():
    assert printed(print_json, {"species": "ünï", "p": [0.5, None]}) == (
        '{"species": "ünï", "p": [0.5, null]}\n'
    )


def test_bytes_appear_in_base64():
    assert json.loads(printed(print_json, {"image": b"\x00\xff"})) == {"image": "AP8="}


@pytest.mark.parametrize("value", [{b"key": 1}, {"x": {1, 2}}])
def test_an_answer_without_json_form_is_told_and_not_printed_in_part(value):
    out = io.StringIO()

    with pytest.raises(CallFailed, match="the answer has no JSON form"):
        print_json(value, out)

    assert not out.getvalue()


def test_models_are_listed_in_columns():
    models = [
        {
            "qualified_name": name,
            "major_version": 1,
            "minor_version": 2,
            "display_name": "Iris",
            "description": "Tells species apart.",
        }
        for name in ("iris", "iris_deluxe")
    ]

    assert printed(print_models, models) == (
        "iris           1.2  Iris: Tells species apart.\n"
        "iris_deluxe    1.2  Iris: Tells species apart.\n"
    )


def test_no_models_are_explained():
    assert printed(print_models, []) == "no models: no worker has registered yet\n"


STATUS = {
    "name": "zeropool",
    "version": "0.1.0",
    "state": "ready",
    "uptime_s": 12.4,
    "clients": 2,
    "open_calls": 3,
    "calls_per_s": 45.67,
    "dropped": {},
    "models": [
        {
            "qualified_name": "iris",
            "workers": 1,
            "waiting": 0,
            "row_ms": 0.01234,
            "outcomes": {"ok": 7, "error": 1},
        },
        {"qualified_name": "new", "workers": 0, "waiting": 4, "row_ms": None, "outcomes": {}},
    ],
    "workers": [
        {
            "worker": "a1",
            "state": "ready",
            "pid": 77,
            "host": "box",
            "in_flight": 2,
            "answered_rows": 8,
            "busy_s": 0.26,
        }
    ],
}


def test_a_status_has_a_line_for_the_gateway_each_model_and_each_worker():
    assert printed(print_status, STATUS).splitlines() == [
        "zeropool 0.1.0 ready for 12 s: 2 clients, 3 open calls, 45.7 calls/s",
        "  model iris: 1 worker, 0 waiting 0.0123 ms/row ok=7 error=1",
        "  model new: 0 workers, 4 waiting",
        "  worker a1: ready pid 77 on box, 2 in flight, 8 rows in 0.3 s",
    ]


def test_a_status_names_what_was_dropped():
    text = printed(print_status, STATUS | {"dropped": {"malformed": 2, "result_stale": 1}})

    assert text.splitlines()[-1] == "  dropped: malformed=2 result_stale=1"


class FakeClient:
    """A client whose answers, or error, a test has put there."""

    answer = None
    is_connected = True
    connection_failure = ""

    def __init__(self, endpoint, timeout_s, retry):
        assert (endpoint, timeout_s, retry) == ("tcp://127.0.0.1:4242", 1.0, call.READING_ONLY)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def wait_connected(self, timeout_s):
        assert timeout_s == call.CONNECT_TIMEOUT_S
        return self.is_connected

    def call(self, method, *arguments):
        assert (method, arguments) == ("method", (5,))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def client(monkeypatch):
    """The class of the client that `ask` makes."""
    monkeypatch.setattr(call, "Client", FakeClient)
    for name in ("answer", "is_connected", "connection_failure"):
        monkeypatch.setattr(FakeClient, name, getattr(FakeClient, name))
    return FakeClient


def asked():
    return list(ask("tcp://127.0.0.1:4242", "method", [5], 1.0))


def test_a_value_is_one_answer(client):
    client.answer = [1, 2]

    assert asked() == [[1, 2]]


def test_the_items_of_a_stream_come_one_by_one(client):
    client.answer = iter([1, 2])

    assert asked() == [1, 2]


def test_where_nothing_answers_the_user_is_told_what_to_start(client):
    client.is_connected = False

    with pytest.raises(
        CallFailed, match=r"nothing answers at tcp://127.0.0.1:4242.*zeropool serve"
    ):
        asked()


def test_the_user_is_told_why_nothing_answers(client):
    client.is_connected = False
    client.connection_failure = "tcp://127.0.0.1:4242: Connection refused"

    with pytest.raises(CallFailed, match=r"at tcp://127.0.0.1:4242: Connection refused; is"):
        asked()


def test_with_a_policy_a_service_that_is_not_there_yet_is_waited_for(client):
    client.is_connected = False
    client.answer = 1

    policy = repeating("get_models")
    assert list(ask("tcp://127.0.0.1:4242", "method", [5], 1.0, policy)) == [1]


def test_an_endpoint_that_is_none_is_named():
    with pytest.raises(CallFailed, match="cannot connect to 'nonsense': "):
        list(ask("nonsense", "method", [], 1.0))


@pytest.mark.parametrize(
    "error",
    [
        TypeError("no set"),
        OverflowError("too big"),
        UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
    ],
)
def test_arguments_that_cannot_travel_are_the_users_fault(client, error):
    client.answer = error

    with pytest.raises(CallFailed, match="the arguments cannot be sent: "):
        asked()


def test_a_fault_of_our_own_keeps_its_traceback(client):
    client.answer = ZeroDivisionError("ours")

    with pytest.raises(ZeroDivisionError, match="ours"):
        asked()


# In a process of its own: the errors are zerorpc's, and loading that loads gevent.
REMOTE_ERRORS = """
from zerorpc.exceptions import LostRemote, RemoteError, TimeoutExpired
from zeropool.cli.call import _describe
print(_describe(RemoteError("ValueError", "no root", "Traceback ...")))
unsent = TimeoutExpired(30.0, "calling remote method x")
print(_describe(unsent))
unsent.add_note("Connection refused")
print(_describe(unsent))
print(_describe(LostRemote("Lost remote after 15s heartbeat")))
"""


def test_what_the_server_answers_is_told_in_a_line():
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", REMOTE_ERRORS],
        capture_output=True,
        text=True,
        check=True,
    )

    assert ran.stdout.splitlines() == [
        "ValueError: no root",
        "TimeoutExpired: timeout after 30.0s, when calling remote method x",
        "TimeoutExpired: timeout after 30.0s, when calling remote method x: Connection refused",
        "LostRemote: Lost remote after 15s heartbeat",
    ]


@pytest.mark.parametrize("method", ["iris_predict", "iris_predict_batch", "iris_predict_stream"])
def test_a_prediction_is_repeated_only_where_the_user_says_so(method):
    assert not READING_ONLY.covers(method)
    assert repeating(method).covers(method)
    assert not repeating(method).covers("other_predict")


def test_what_only_reads_is_repeated_unasked():
    assert READING_ONLY.covers("get_status")
    assert repeating("get_status") == READING_ONLY
