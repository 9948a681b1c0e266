"""`zeropool bench` as its user meets it, against a real Zeropool and real servers of others."""

import contextlib
import csv
import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgpack
import psutil
import pytest
import zmq
from harness import Command, Service, free_endpoint, model_tables, run_zeropool, wait_until
from interop.iris_facts import BAD_ROW, REJECTED, REJECTION, SETOSA, VIRGINICA
from peers import NODE_RIG, PYTHON_SCRIPTS, require_node

EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
ROW = json.dumps(SETOSA)
#: Windows so short that figures mean nothing; what is tested is everything else.
QUICK = ("--warm-up", "0.05", "--window", "0.1", "--max-windows", "3")
#: A server that is asked by a bare dealer so often is up in far less.
START_TIMEOUT_S = 20.0
#: CPU time that a server spends on nobody but the load.
BUSY_S = 0.3

Bench = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def bench(iris_gateway: Service) -> Bench:
    """Runs `zeropool bench --connect ENDPOINT …` against the iris model."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return run_zeropool("bench", "--connect", iris_gateway.endpoint, *QUICK, *arguments)

    return run


@pytest.fixture
def endless(stopped_at_the_end) -> Callable[..., Command]:
    """Starts a load that never becomes stable, and waits until it is there."""

    def start(endpoint: str, *arguments: str) -> Command:
        load = Command(
            [
                *("bench", "--connect", endpoint, *arguments),
                *("--window", "0.1", "--max-windows", "1000", "--stability", "0.0001"),
            ]
        )
        stopped_at_the_end(load)
        load.wait_for_output("calls/s")
        return load

    return start


class Foreign:
    """A server that we did not write, in a process of its own."""

    def __init__(self, *command: object) -> None:
        self.endpoint = free_endpoint()
        self.process = subprocess.Popen(
            [*map(str, command[:2]), self.endpoint, *map(str, command[2:])]
        )

    def bench(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run_zeropool("bench", "--connect", self.endpoint, *QUICK, *arguments, timeout_s=60)

    def started(self) -> "Foreign":
        def answers() -> bool:
            return run_zeropool("call", "--connect", self.endpoint, "echo", "1").returncode == 0

        wait_until(answers, "the server answers", START_TIMEOUT_S)
        return self

    def wait_until_busy(self) -> None:
        """Wait until it has worked for somebody."""
        times = psutil.Process(self.process.pid).cpu_times
        begun_s = times().user
        wait_until(lambda: times().user > begun_s + BUSY_S, "the server works")

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


def python_server(heartbeat_s: float) -> Iterator[Foreign]:
    server = Foreign(sys.executable, PYTHON_SCRIPTS / "server.py", heartbeat_s)
    try:
        yield server.started()
    finally:
        server.end()


@pytest.fixture(scope="module")
def zerorpc_server() -> Iterator[Foreign]:
    """One with the default heartbeat."""
    yield from python_server(5.0)


@pytest.fixture
def impatient_server() -> Iterator[Foreign]:
    """One that gives up callers that are silent for half a second."""
    yield from python_server(0.25)


@pytest.fixture(scope="module")
def node_server() -> Iterator[Foreign]:
    require_node()
    server = Foreign("node", NODE_RIG / "server.js")
    try:
        yield server.started()
    finally:
        server.end()


def rows(done: subprocess.CompletedProcess[str]) -> list[list[str]]:
    """The cells of the table's rows, without marks."""
    assert done.returncode == 0, done.stderr
    lines = [line.replace("~", " ").split() for line in done.stdout.splitlines()]
    return [cells for cells in lines if len(cells) == 9 and cells[0][0].isdigit()]


# What it measures


def test_a_sweep_has_a_row_for_each_concurrency(bench):
    done = bench("iris_model_predict", ROW, "--concurrency", "1:16:4x", "--expect", answer_of())

    assert done.stderr == ""
    assert done.stdout.startswith("iris_model_predict at tcp://127.0.0.1:")
    assert [row[0] for row in rows(done)] == ["1", "4", "16"]
    assert all(float(row[1].replace(",", "")) > 0 and row[7] == "0" for row in rows(done))


def answer_of() -> str:
    return json.dumps({"species": "setosa"})


def test_a_rate_is_kept(bench, tmp_path):
    bench("iris_model_predict", ROW, "--rate", "200", "--json", str(tmp_path / "found.json"))

    found = json.loads((tmp_path / "found.json").read_text())
    assert found["target"]["mode"] == "rate"
    assert found["target"]["arrivals"] == "poisson"
    [point] = found["points"]
    assert point["load"] == 200
    # Of some 60 to 300 independent arrivals, three standard deviations and then some.
    assert point["answers_per_s"] == pytest.approx(200, rel=0.5)


def test_all_figures_are_written_for_programs(bench, tmp_path):
    files = [str(tmp_path / f"found.{kind}") for kind in ("json", "csv", "svg")]
    done = bench(
        *("iris_model_predict", ROW, "--concurrency", "1,8"),
        *("--json", files[0], "--csv", files[1], "--plot", files[2]),
    )

    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads((tmp_path / "found.json").read_text())
    for point in found["points"]:
        latency = point["latency_ms"]
        assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["p999"]
        assert latency["p999"] <= latency["max"]
        assert point["answers"] == sum(window["answers"] for window in point["windows"][-3:])
        assert 0 < point["generator_share"] < 1.5
    lines = list(csv.DictReader((tmp_path / "found.csv").read_text().splitlines()))
    assert [line["concurrency"] for line in lines] == ["1", "8"]
    assert [int(line["answers"]) for line in lines] == [p["answers"] for p in found["points"]]
    assert (tmp_path / "found.svg").read_text().startswith("<?xml")


def test_a_picture_may_be_a_png(bench, tmp_path):
    picture = tmp_path / "found.png"

    assert bench("iris_model_predict", ROW, "--plot", str(picture)).returncode == 0

    assert picture.read_bytes().startswith(b"\x89PNG")


def test_arguments_come_from_a_file_line_by_line(bench, tmp_path):
    lines = tmp_path / "rows.jsonl"
    lines.write_text(f"{ROW}\n{json.dumps(VIRGINICA)}\n")

    done = bench("iris_model_predict", "--input", str(lines), "--expect", answer_of())

    # Each second answer is another species.
    [row] = [line.split() for line in done.stdout.splitlines() if "WrongAnswer" not in line][2:3]
    assert int(row[-2].replace(",", "")) > 0
    assert (
        "WrongAnswer: expected {'species': 'setosa'}, got {'species': 'virginica'}" in done.stdout
    )


def test_each_connection_is_a_client(iris_gateway, endless):
    load = endless(
        *(iris_gateway.endpoint, "iris_model_predict", ROW),
        *("--connections", "40", "--concurrency", "80"),
    )

    wait_until(lambda: iris_gateway.call("get_status")["clients"] >= 40, "40 clients are there")
    load.send(signal.SIGINT)

    assert load.wait() == EXIT_INTERRUPTED


def test_refused_calls_are_counted_by_name(serve):
    service = serve(
        model_tables("fixture_models.slow.SleepModel") + "[gateway]\nmax_queue = 1\n", workers=1
    ).ready()
    done = run_zeropool(
        *("bench", "--connect", service.endpoint, "sleeper_predict", '{"sleep_s": 0.05}'),
        *("--concurrency", "8", *QUICK),
    )

    [row] = rows(done)
    assert int(row[7].replace(",", "")) > 0
    assert " Overloaded" in done.stdout
    assert "retry_after_s" in done.stdout


# Servers of others


def test_a_zerorpc_server_is_measured(zerorpc_server):
    done = zerorpc_server.bench("echo", '{"a": [1.5, null]}', "--expect", '{"a": [1.5, null]}')

    assert rows(done)[0][7] == "0"


def test_a_stream_of_a_zerorpc_server_is_read_to_its_end(zerorpc_server):
    done = zerorpc_server.bench("count", "250", "--expect", json.dumps(list(range(250))))

    assert rows(done)[0][7] == "0"


def test_many_connections_to_a_zerorpc_server_do_not_mix(zerorpc_server, tmp_path):
    done = zerorpc_server.bench("echo", "7", "--connections", "20", "--concurrency", "60")

    assert rows(done)[0][0] == "60"


def test_a_node_server_is_measured(node_server):
    value = '{"b": [1.5, null], "a": "é"}'

    assert rows(node_server.bench("echo", value, "--expect", value))[0][7] == "0"
    assert rows(node_server.bench("count", "5", "--expect", "[0, 1, 2, 3, 4]"))[0][7] == "0"


def test_a_long_call_is_kept_alive(impatient_server):
    done = impatient_server.bench(
        "sleep", "1.5", "--heartbeat", "0.25", "--window", "0.5", "--max-windows", "1"
    )

    assert rows(done)[0][7] == "0"


def test_a_server_that_gives_a_silent_caller_up_is_lost(impatient_server):
    # Its heartbeats would come too late, as those of any client with another interval.
    done = impatient_server.bench("sleep", "1.5", "--heartbeat", "1", "--timeout", "20")

    assert (done.returncode, done.stdout) == (EXIT_ERROR, "")
    assert done.stderr == "LostRemote: no heartbeat in 3 s\n"


def test_a_server_that_computes_and_cannot_beat_is_lost(impatient_server):
    done = impatient_server.bench("burn", "1.5", "--heartbeat", "0.25")

    assert (done.returncode, done.stderr) == (EXIT_ERROR, "LostRemote: no heartbeat in 0.75 s\n")


# Servers that misbehave


class Impostor(threading.Thread):
    """A bound ROUTER that answers each request as a test wants: with any frames, or none."""

    def __init__(self, answer: Callable[[int, dict[str, Any]], list[list[bytes]]]) -> None:
        super().__init__(daemon=True)
        self.endpoint = free_endpoint()
        self._answer = answer
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.linger = 0
        self._socket.bind(self.endpoint)
        self._ended = threading.Event()

    def run(self) -> None:
        number = 0
        while not self._ended.is_set():
            if not self._socket.poll(20):
                continue
            peer, _, request = self._socket.recv_multipart()
            for frames in self._answer(number, msgpack.unpackb(request)[0]):
                self._socket.send_multipart([peer, *frames])
            number += 1

    def bench(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        self.start()
        return run_zeropool("bench", "--connect", self.endpoint, "m", *QUICK, *arguments)

    def end(self) -> None:
        self._ended.set()
        self.join()
        self._socket.close()
        self._context.term()


@pytest.fixture
def impostor() -> Iterator[Callable[..., Impostor]]:
    with contextlib.ExitStack() as stack:

        def make(answer: Callable[[int, dict[str, Any]], list[list[bytes]]]) -> Impostor:
            server = Impostor(answer)
            stack.callback(server.end)
            return server

        yield make


def right(header: dict[str, Any]) -> list[bytes]:
    reply = {"message_id": b"x" * 16, "v": 3, "response_to": header["message_id"]}
    return [b"", msgpack.packb([reply, "OK", ["fine"]])]


#: What may stand before a right answer without spoiling it.
NOISE = [
    [b""],
    [],
    [b"", b""],
    [b"", b"\xc1 no msgpack"],
    [b"no delimiter"],
    [b"", b"", b"", b"many frames"],
    [b"", msgpack.packb([{"message_id": b"y", "v": 3, "response_to": b"z" * 32}, "OK", [1]])],
    [b"", msgpack.packb([{"message_id": b"y", "v": 3}, "_zpc_hb", [0]])],
]


@pytest.mark.parametrize("noise", NOISE, ids=range(len(NOISE)))
def test_what_a_server_sends_beside_its_answers_does_no_harm(impostor, noise):
    server = impostor(lambda _number, header: [noise, right(header)])

    done = server.bench("--concurrency", "4", "--timeout", "5", "--expect", '"fine"')

    assert rows(done)[0][7] == "0"


def test_answers_that_come_twice_count_once(impostor, tmp_path):
    server = impostor(lambda _number, header: [right(header), right(header)])
    found = tmp_path / "found.json"

    done = server.bench("--rate", "100", "--json", str(found))

    assert done.returncode == 0
    [point] = json.loads(found.read_text())["points"]
    assert point["answers_per_s"] < 200


STALL_S = 0.6


@pytest.mark.parametrize(
    ("load", "is_seen"), [(("--rate", "200", "--arrivals", "steady"), True), ((), False)]
)
def test_a_stall_counts_for_all_calls_that_were_due_in_it(impostor, tmp_path, load, is_seen):
    def answer(number: int, header: dict[str, Any]) -> list[list[bytes]]:
        if number == 100:
            time.sleep(STALL_S)
        return [right(header)]

    server = impostor(answer)
    found = tmp_path / "found.json"

    server.bench(*load, "--window", "2", "--max-windows", "1", "--json", str(found))

    # A quarter of the calls of a rate; of those that wait for each other, only one.
    [point] = json.loads(found.read_text())["points"]
    assert (point["latency_ms"]["p90"] > 100) is is_seen
    assert point["latency_ms"]["max"] > STALL_S * 1000 * 0.9


def test_a_call_that_is_never_answered_is_told_also_where_its_time_is_longer_than_the_load(
    impostor,
):
    server = impostor(lambda number, header: [] if number == 20 else [right(header)])

    done = server.bench("--concurrency", "4", "--timeout", "3")

    assert rows(done)[0][7] == "1"
    assert "concurrency 4: 1 TimeoutExpired\n" in done.stdout


def test_a_server_that_stops_to_answer_fills_no_memory(impostor):
    server = impostor(lambda number, header: [right(header)] if number == 0 else [])

    done = server.bench("--rate", "1000000", "--timeout", "1.5")

    assert done.returncode == EXIT_ERROR
    assert "no call was answered at rate 1,000,000 in" in done.stderr


# What can go wrong


def test_a_server_that_is_not_there_is_told_with_the_reason_and_what_to_start():
    endpoint = free_endpoint()

    done = run_zeropool("bench", "--connect", endpoint, "echo")

    assert (done.returncode, done.stdout) == (EXIT_ERROR, "")
    assert done.stderr == (
        f"nothing answers at {endpoint}: Connection refused; is the gateway running? "
        "Start one with: zeropool serve\n"
    )


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("no_such_method",), "NameError: no_such_method\n"),
        (("iris_model_predict", json.dumps(BAD_ROW)), f"{REJECTED}: {REJECTION}\n"),
        (
            ("iris_model_predict", ROW, "--expect", '{"species": "rose"}'),
            "WrongAnswer: expected {'species': 'rose'}, got {'species': 'setosa'}\n",
        ),
    ],
)
def test_a_first_call_that_fails_is_the_last(bench, arguments, complaint):
    done = bench(*arguments)

    assert (done.returncode, done.stdout, done.stderr) == (EXIT_ERROR, "", complaint)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("m", "{x"), "argument 1 is not JSON: '{x'"),
        (("m", "--expect", "x"), "--expect is not JSON: 'x'"),
        (("m", "--input", "nowhere.jsonl"), "nowhere.jsonl: No such file or directory"),
        (("m", "1", "--input", "rows.jsonl"), "not from both"),
        (("m", "--plot", "picture.pdf"), "expected a name that ends with .svg or .png"),
        (("m", "--json", "nowhere/found.json"), "nowhere: no such folder"),
        (("m", "--concurrency", "8:1"), "8:1: 1 is less than 8"),
        (("m", "--rate", "fast"), "fast: expected N, START:END"),
        (("m", "--rate", "5", "--concurrency", "5"), "not allowed with argument"),
        (("m", "--connections", "0"), "0: expected an integer from 1 to 10000"),
    ],
)
def test_what_cannot_be_done_is_told_before_anything_is_sent(tmp_path, arguments, complaint):
    done = run_zeropool("bench", "--connect", free_endpoint(), *arguments, cwd=tmp_path)

    assert (done.returncode, done.stdout) == (EXIT_USAGE, "")
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_that_dies_ends_the_run_with_what_was_measured(tmp_path, endless):
    found = tmp_path / "found.json"
    server = Foreign(sys.executable, PYTHON_SCRIPTS / "server.py", 5.0)
    try:
        server.started()
        load = endless(
            *(server.endpoint, "echo", "1", "--warm-up", "0.01", "--json", str(found)),
            *("--concurrency", "2,4"),
        )
        server.wait_until_busy()
    finally:
        server.end()

    assert load.wait() == EXIT_ERROR
    assert f"{server.endpoint} ended the connection at concurrency 2\n" in load.output
    assert "\n          2 -" in load.output
    assert "Traceback" not in load.output
    [point] = json.loads(found.read_text())["points"]
    assert point["verdict"] == "cut"
    assert point["answers"] > 0


def test_a_server_that_freezes_ends_the_run_when_nothing_is_answered(endless):
    server = Foreign(sys.executable, PYTHON_SCRIPTS / "server.py", 5.0)
    try:
        server.started()
        load = endless(
            *(server.endpoint, "echo", "1", "--timeout", "0.5", "--concurrency", "2,4,8")
        )
        server.wait_until_busy()
        server.process.send_signal(signal.SIGSTOP)

        assert load.wait() == EXIT_ERROR
    finally:
        server.end()
    # At the load that came to it, or at the next.
    assert re.search(r"\nno call was answered at concurrency (2|4) in ", load.output)
    assert re.search(r"\nconcurrency (2|4): (2|4) TimeoutExpired\n", load.output)
    assert "concurrency 8" not in load.output


def test_ctrl_c_prints_what_was_measured_so_far(iris_gateway, endless):
    def answered() -> int:
        return sum(w["answered_rows"] for w in iris_gateway.call("get_status")["workers"])

    before = answered()
    load = endless(iris_gateway.endpoint, "iris_model_predict", ROW, "--warm-up", "0.01")
    wait_until(lambda: answered() > before + 1000, "a thousand calls are answered")
    load.send(signal.SIGINT)

    assert load.wait() == EXIT_INTERRUPTED
    assert "Traceback" not in load.output
    assert "\n- cut short" in load.output


def test_ctrl_c_ends_a_run_that_waits_for_a_slow_answer(serve, stopped_at_the_end):
    service = serve(model_tables("fixture_models.slow.SleepModel"), workers=1).ready()
    load = stopped_at_the_end(
        Command(["bench", "--connect", service.endpoint, "sleeper_predict", '{"sleep_s": 3}'])
    )
    wait_until(
        lambda: service.call("get_status")["workers"][0]["in_flight"] == 1, "the worker computes"
    )
    load.send(signal.SIGINT)

    assert load.wait(2.0) == EXIT_INTERRUPTED
    assert load.output == "interrupted before anything was measured\n"
