"""One program, written for `zerorpc.Client`, with zerorpc's client and with ours.

Against a Zeropool and against a plain `zerorpc.Server`; both clients have to tell the same. The
program's copy for our client differs in the one line that says where `Client` comes from.
"""

import contextlib
import functools
import subprocess
import sys
from pathlib import Path

import pytest
from harness import Service, free_endpoint, model_tables
from peers import Peer

pytestmark = pytest.mark.interop

DROPIN = Path(__file__).parent / "dropin"
PROGRAM = DROPIN / "program.py"
THEIRS = "from zerorpc import Client\n"
CLIENTS = {
    "zerorpc.Client": THEIRS,
    "zeropool.client.Client": "from zeropool.client import Client\n",
}
PROGRAM_TIMEOUT_S = 60.0
#: For each client two, of which one may still be at a call that was given up.
WORKERS = 4

MODELS = model_tables(
    "fixture_models.plain.EchoModel",
    "fixture_models.slow.SleepyEchoModel",
    "fixture_models.faulty.RaisingModel",
)
FAILED = {
    "name": "PredictionFailed",
    "msg": "asked to fail",
    "last_line": "PredictionFailed: asked to fail",
}
LATE = {
    "kind": "TimeoutExpired",
    "text": "timeout after 0.4s, when calling remote method sleepy_echo_predict",
}


class PlainServer:
    """A `zerorpc.Server` in a process of its own."""

    def __init__(self):
        self.endpoint = free_endpoint()
        self._process = subprocess.Popen(
            [sys.executable, DROPIN / "server.py", self.endpoint],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid

    def ready(self):
        assert self._process.stdout.readline() == "ready\n"
        return self

    def stop(self):
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


@pytest.fixture(scope="module", params=["zerorpc.Server", "Zeropool"])
def start_server(request, tmp_path_factory):
    """Starts servers of one kind; all are stopped at the end."""
    started = []

    def start(workers=1):
        if request.param == "Zeropool":
            server = Service(tmp_path_factory.mktemp("dropin"), MODELS, workers=workers)
        else:
            server = PlainServer()
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="module")
def server(start_server):
    return start_server(WORKERS).ready()


@pytest.fixture(scope="module")
def outcomes_with(server, start_server, tmp_path_factory):
    """What the program says of all its scenarios with a client: `outcomes_with(client's name)`.

    With both they run side by side, as most of what they do is wait.
    """
    text = PROGRAM.read_text()
    assert text.count(THEIRS) == 1
    victims = [start_server() for _ in CLIENTS]
    started = {}
    with contextlib.ExitStack() as stack:
        for (name, line), victim in zip(CLIENTS.items(), victims, strict=True):
            program = tmp_path_factory.mktemp("program") / PROGRAM.name
            program.write_text(text.replace(THEIRS, line))
            victim.ready()
            started[name] = Peer(
                [sys.executable, program, server.endpoint, victim.endpoint, victim.pid]
            )
            stack.callback(started[name].end)
        yield functools.cache(lambda name: started[name].answer(PROGRAM_TIMEOUT_S))


@pytest.fixture(params=CLIENTS)
def outcomes(request, outcomes_with):
    """What the program says of all its scenarios, with one of the clients."""
    return outcomes_with(request.param)


EXPECTED = {
    "a client connects by its constructor": ("connect_by_constructor", 1),
    "a client connects later": ("connect_after_construction", 2),
    "a client may have a context of its own": ("context_of_its_own", 3),
    "clients do not disturb each other": ("several_clients", [0, 1, 2, 3, 0, 1, 2]),
    "values arrive as they went": ("values_of_all_sorts", {"same": True, "tuple": [1, [2]]}),
    "a method can be called by its name": ("by_name", [1, 2, True]),
    "a method can be kept": ("kept_method", True),
    "greenlets share a client": ("greenlets_on_one_client", True),
    "an asynchronous call has a result later": ("async_results", {"answers": True, "ready": True}),
    "or an error": ("async_result_of_an_error", FAILED),
    "asynchronous calls run beside each other": ("async_results_at_once", [0, 1, 2, 3]),
    "a stream brings all items": ("whole_stream", True),
    "a stream may be empty": ("empty_stream", []),
    "a stream is an iterator": (
        "stream_is_an_iterator",
        {"itself": True, "first": {"index": 0, "prediction": 7}, "after": "the end"},
    ),
    "a stream keeps to a small credit": ("stream_with_few_slots", 200),
    "calls go on beside a stream": ("stream_beside_calls", {"calls": True, "items": True}),
    "a stream can be left": ("stream_with_a_break", "others go on"),
    "a stream can fail": ("error_instead_of_a_stream", "TypeError"),
    "an error of the method is a RemoteError": ("error_of_the_method", FAILED),
    "so is an unknown method": (
        "unknown_method",
        {"name": "NameError", "msg": "no_such_method", "last_line": "NameError: no_such_method"},
    ),
    "and a wrong number of arguments": ("wrong_arguments", "TypeError"),
    "errors are not the end": ("goes_on_after_an_error", "fine"),
    "an argument without form is the caller's TypeError": (
        "argument_without_form",
        {"kind": "TypeError", "after": "fine"},
    ),
    "a late answer is a TimeoutExpired": ("timeout_of_the_client", {"late": LATE, "after": 2}),
    "a call has a timeout of its own": ("timeout_of_a_call", LATE),
    "an asynchronous call too": ("timeout_of_an_async_call", LATE),
    "there may be no timeout": ("no_timeout", [1, 2]),
    "where nobody listens it is a TimeoutExpired": (
        "nobody_there",
        {
            "kind": "TimeoutExpired",
            "text": "timeout after 0.4s, when calling remote method echo_predict",
        },
    ),
    "heartbeats keep a long call alive": ("heartbeats_during_a_long_computation", [1, 2]),
    "passive ones too": ("passive_heartbeats", [1, 2]),
    "a short call needs none": ("no_heartbeats", [1, 2]),
    "an idle client loses nothing": ("idle_for_longer_than_patience", [1, 2]),
    "a reader may pause": ("pause_within_a_stream", True),
    "a server that dies is a LostRemote": (
        "server_dies",
        {"caller": "LostRemote", "reader": "LostRemote"},
    ),
}


@pytest.mark.parametrize(("scenario", "expected"), EXPECTED.values(), ids=EXPECTED)
def test_the_program_works_with_either_client(outcomes, scenario, expected):
    assert outcomes[scenario] == expected


def test_every_scenario_of_the_program_is_looked_at(outcomes):
    assert set(outcomes) == {scenario for scenario, _ in EXPECTED.values()}
