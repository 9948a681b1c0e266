"""What bounds a call, a caller, a model: each limit has a named error and spares the others."""

import math
import signal
import time

import psutil
import pytest
from harness import Service, model_tables, wait_until
from interop.iris_facts import BAD_ROW, REJECTED, REJECTION, SETOSA, is_a_prediction
from raw_dealer import RawDealer

from zeropool.shared.wire import event as wire

MIB = 1024 * 1024
#: Longest that a call takes here which waits for nothing.
PROMPT_S = 1.0

ECHO = model_tables("fixture_models.plain.EchoModel")


def ready_pids(service):
    workers = service.call("get_status")["workers"]
    return {worker["pid"] for worker in workers if worker["state"] == "ready"}


def resident_bytes(process: psutil.Process) -> int:
    return process.memory_info().rss


def took_s(ask, *arguments, **header) -> tuple[float, object]:
    started_at = time.monotonic()
    answer = ask(*arguments, **header)
    return time.monotonic() - started_at, answer


# Size


def test_replies_that_are_large_together_arrive_and_cost_no_worker(serve):
    service = serve(ECHO, workers=1).ready()
    before = ready_pids(service)
    rows = [bytes([number]) * MIB for number in range(24)]
    with RawDealer(service.endpoint) as dealer:
        channels = [dealer.request("echo_predict", row) for row in rows]
        answers = [dealer.receive(channel) for channel in channels]
    assert answers == [("OK", [row]) for row in rows]
    assert ready_pids(service) == before


# Time


@pytest.fixture
def impatient(serve):
    """Two workers with models that may take one second for a call, and the echo."""
    slow = model_tables(
        "fixture_models.slow.SleepModel", "fixture_models.slow.RegexModel", timeout_s=1.0
    )
    return serve(slow + ECHO, workers=2).ready()


HUNG = {
    "in a system call": ("sleeper_predict", {"sleep_s": 60}),
    "in C with the interpreter lock": ("regex_predict", "a" * 60),
}


@pytest.mark.parametrize(("method", "data"), HUNG.values(), ids=HUNG)
def test_a_hung_predict_ends_in_time_and_its_worker_is_replaced(impatient, method, data):
    before = ready_pids(impatient)
    with RawDealer(impatient.endpoint) as hung, RawDealer(impatient.endpoint) as other:
        started_at = time.monotonic()
        channel = hung.request(method, data)
        while time.monotonic() < started_at + 0.8:
            spent_s, answer = took_s(other.ask, "echo_predict", 1)
            assert answer == ("OK", [1])
            assert spent_s < PROMPT_S
        name, args = hung.receive(channel)
        assert 0.9 < time.monotonic() - started_at < 2.5
        assert (name, args[0]) == ("ERR", "DeadlineExceeded")
        assert args[2].endswith(f"DeadlineExceeded: {args[1]}")
        impatient.wait_for_output("reason=SIGALRM")
        wait_until(
            lambda: len(ready_pids(impatient)) == 2 and ready_pids(impatient) != before,
            "another worker took its place",
        )
        assert len(before & ready_pids(impatient)) == 1
        assert other.ask("echo_predict", 2) == ("OK", [2])
    # The stack of the process that had to end, down to the model's own line.
    assert "most recent call first" in impatient.output
    assert "fixture_models/slow.py" in impatient.output
    assert "in predict" in impatient.output


def test_a_callers_own_limit_shortens_the_models(serve):
    patient = serve(model_tables("fixture_models.slow.SleepModel", timeout_s=60), workers=1).ready()
    with RawDealer(patient.endpoint) as dealer:
        channel = wire.MessageIds()()
        request = wire.encode_request(channel, "sleeper_predict", [{"sleep_s": 1}], timeout_s=0.2)
        dealer.send_payload(request)
        # With the model's limit alone, it would be answered.
        name, args = dealer.receive(channel[2:])
        assert (name, args[0]) == ("ERR", "DeadlineExceeded")


def test_a_callers_own_limit_does_not_lengthen_the_models(impatient):
    with RawDealer(impatient.endpoint) as dealer:
        spent_s, (name, args) = took_s(
            dealer.ask, "sleeper_predict", {"sleep_s": 60}, timeout_s=3600
        )
    assert (name, args[0]) == ("ERR", "DeadlineExceeded")
    assert args[1].endswith("no result after 1.0 s")
    assert spent_s < 30


def test_a_call_whose_time_runs_out_in_the_queue_is_never_started(serve):
    service = serve(model_tables("fixture_models.slow.SleepModel"), workers=1).ready()
    with RawDealer(service.endpoint) as dealer:
        first = dealer.request("sleeper_predict", {"sleep_s": 1})
        second = dealer.request("sleeper_predict", {"sleep_s": 30}, timeout_s=0.3)
        assert dealer.receive(second)[1][0] == "DeadlineExceeded"
        assert dealer.receive(first) == ("OK", [{"slept_s": 1}])
        # The worker would be asleep for half a minute, had it been given the second one.
        assert dealer.ask("sleeper_predict", {"sleep_s": 0}) == ("OK", [{"slept_s": 0}])


# Size


def test_a_request_that_is_too_large_is_refused(serve):
    service = serve("gateway.max_request_bytes = 100_000\n" + ECHO, workers=1).ready()
    with RawDealer(service.endpoint) as dealer:
        assert dealer.ask("echo_predict", "x" * 90_000) == ("OK", ["x" * 90_000])
        name, args = dealer.ask("echo_predict", "x" * 110_000)
        assert (name, args[0]) == ("ERR", "PayloadTooLarge")
        assert "exceeds max_request_bytes 100000" in args[1]
        assert dealer.ask("echo_predict", 1) == ("OK", [1])


@pytest.fixture
def wide(serve):
    models = model_tables("fixture_models.plain.WideModel")
    return serve("gateway.max_reply_bytes = 100_000\n" + models, workers=1).ready()


@pytest.mark.parametrize(
    ("method", "argument"), [("wide_predict", 110_000), ("wide_predict_batch", [60_000, 60_000])]
)
def test_a_reply_that_is_too_large_is_refused(wide, method, argument):
    with RawDealer(wide.endpoint) as dealer:
        assert dealer.ask("wide_predict", 90_000) == ("OK", ["x" * 90_000])
        name, args = dealer.ask(method, argument)
        assert (name, args[0]) == ("ERR", "PayloadTooLarge")
        assert "max_reply_bytes 100000" in args[1]
        assert dealer.ask("wide_predict", 3) == ("OK", ["xxx"])


def test_an_item_of_a_stream_that_is_too_large_is_that_rows_error(wide):
    with RawDealer(wide.endpoint) as dealer:
        stream = dealer.request("wide_predict_stream", [3, 110_000, 4])
        dealer.grant(stream, 10)
        events = dealer.receive_to_the_end(stream)
    assert events.pop() == ("STREAM_DONE", None)
    items = sorted((item for _, item in events), key=lambda item: item["index"])
    assert items[1]["error"]["name"] == "PayloadTooLarge"
    assert [items[0]["prediction"], items[2]["prediction"]] == ["xxx", "xxxx"]


# Room


def test_a_full_queue_refuses_at_once_and_says_when_to_come_back(serve):
    service = serve(model_tables("fixture_models.slow.SleepModel", max_queue=2), workers=1).ready()
    with RawDealer(service.endpoint) as dealer:
        assert dealer.ask("sleeper_predict", {"sleep_s": 0.2})[0] == "OK"
        calls = [dealer.request("sleeper_predict", {"sleep_s": 0.5}) for _ in range(6)]
        started_at = time.monotonic()
        answers = {channel: dealer.receive(channel) for channel in reversed(calls)}
        refused = [args for name, args in answers.values() if name == "ERR"]
        assert [name for name, _ in answers.values()].count("OK") == len(calls) - len(refused)
        assert {args[0] for args in refused} == {"Overloaded"}
        assert 3 <= len(refused) <= 4
        for args in refused:
            assert "max_queue 2" in args[1]
            after_s = float(args[1].rpartition("retry_after_s=")[2])
            assert 0 < after_s < 5
        assert time.monotonic() - started_at < 5


def test_a_stream_that_is_not_read_costs_neither_memory_nor_others(serve):
    wide = model_tables("fixture_models.plain.WideModel")
    service = serve(wide + ECHO, workers=2).ready()
    gateway = service.gateway_process()
    rows, row_bytes = 4000, 20_000
    with RawDealer(service.endpoint) as reader, RawDealer(service.endpoint) as other:
        assert other.ask("echo_predict", 1) == ("OK", [1])
        before = resident_bytes(gateway)
        stream = reader.request("wide_predict_stream", [row_bytes] * rows)
        first = reader.receive(stream)
        for number in range(500):
            # Who says nothing for 20 s is lost, and so much it may take on a busy machine.
            reader.respond(stream, "_zpc_hb", None)
            spent_s, answer = took_s(other.ask, "echo_predict", number)
            assert answer == ("OK", [number])
            assert spent_s < PROMPT_S
        # All items together are 76 MiB.
        assert resident_bytes(gateway) - before < 30 * MIB
        reader.grant(stream, rows + 1)
        items = [first, *reader.receive_to_the_end(stream)]
    assert items.pop() == ("STREAM_DONE", None)
    assert sorted(item["index"] for _, item in items) == list(range(rows))
    assert {len(item["prediction"]) for _, item in items} == {row_bytes}


def test_a_stream_that_is_left_alone_is_ended(serve):
    service = serve("gateway.stream_idle_s = 0.5\n" + ECHO, workers=1).ready()
    with RawDealer(service.endpoint) as dealer:
        stream = dealer.request("echo_predict_stream", list(range(1000)))
        assert dealer.receive(stream)[0] == "STREAM"
        wait_until(
            lambda: service.call("get_status")["models"][0]["outcomes"].get("DeadlineExceeded"),
            "the stream is over",
        )
        dealer.grant(stream, 10)
        name, args = dealer.receive(stream)
        assert (name, args[0]) == ("ERR", "DeadlineExceeded")
        assert "the caller read nothing" in args[1]


@pytest.fixture
def thrifty(serve):
    """Keeps at most 4 MiB of replies that a client does not read."""
    wide = model_tables("fixture_models.plain.WideModel")
    return serve(f"gateway.max_unread_bytes = {4 * MIB}\n" + wide + ECHO, workers=2).ready()


def test_a_client_that_reads_no_replies_is_cut_off(thrifty):
    cut_off_a_greedy_client(thrifty, reply_bytes=20_000, calls=4_000)


def test_large_replies_that_are_not_read_do_not_fill_the_memory(thrifty):
    gateway = thrifty.gateway_process()
    before = resident_bytes(gateway)
    cut_off_a_greedy_client(thrifty, reply_bytes=200_000, calls=2_000)
    # All replies together are 381 MiB.
    assert resident_bytes(gateway) - before < 64 * MIB


def cut_off_a_greedy_client(service, *, reply_bytes, calls):
    """Have a client read none of its replies until the gateway gives it up; others go on."""
    with (
        RawDealer(service.endpoint, receive_high_water=1) as greedy,
        RawDealer(service.endpoint) as other,
    ):
        for _ in range(calls):
            greedy.request("wide_predict", reply_bytes)

        def is_cut_off() -> bool:
            spent_s, answer = took_s(other.ask, "echo_predict", 1)
            assert answer == ("OK", [1])
            assert spent_s < PROMPT_S
            return "client does not read its replies" in service.output

        wait_until(is_cut_off, "the client that does not read is cut off", 40)
        wait_until(lambda: service.call("get_status")["open_calls"] == 0, "its calls are forgotten")


# Bad rows, strange outputs, models that fail


def test_one_bad_row_does_not_spoil_a_batch(iris_gateway):
    rows = [SETOSA, BAD_ROW, SETOSA]
    with RawDealer(iris_gateway.endpoint) as dealer:
        name, (answer,) = dealer.ask("iris_model_predict_batch", rows)
    assert name == "OK"
    assert [prediction is None for prediction in answer["predictions"]] == [False, True, False]
    assert is_a_prediction(answer["predictions"][2])
    assert answer["errors"] == [{"index": 1, "name": REJECTED, "message": REJECTION}]


def test_one_bad_row_does_not_spoil_a_stream(iris_gateway):
    with RawDealer(iris_gateway.endpoint) as dealer:
        stream = dealer.request("iris_model_predict_stream", [SETOSA, BAD_ROW, SETOSA])
        dealer.grant(stream, 100)
        *events, last = dealer.receive_to_the_end(stream)
    assert last == ("STREAM_DONE", None)
    items = sorted((item for _, item in events), key=lambda item: item["index"])
    assert [item["index"] for item in items] == [0, 1, 2]
    assert items[1]["error"] == {"name": REJECTED, "message": REJECTION}
    assert is_a_prediction(items[0]["prediction"])


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    models = model_tables(
        "fixture_models.faulty.StrangeModel",
        "fixture_models.faulty.RaisingModel",
        "fixture_models.batching.BatchModel",
    )
    service = Service(tmp_path_factory.mktemp("faulty"), models, workers=2)
    try:
        yield service.ready()
    finally:
        service.stop()


STRANGE = ["set", "int_keys", "huge_int", "astronomic_int", "object", "cycle", "deep", "surrogate"]


@pytest.mark.parametrize("kind", STRANGE)
def test_an_output_that_no_client_can_decode_is_a_type_error(faulty, kind):
    with RawDealer(faulty.endpoint) as dealer:
        name, args = dealer.ask("strange_predict", kind)
        assert (name, args[0]) == ("ERR", "TypeError")
        assert args[1].startswith("can not serialize")
        name, (answer,) = dealer.ask("strange_predict_batch", ["plain", kind])
        assert (name, answer["predictions"]) == ("OK", ["plain", None])
        assert [(error["index"], error["name"]) for error in answer["errors"]] == [(1, "TypeError")]


def test_outputs_that_are_only_unusual_arrive(faulty):
    with RawDealer(faulty.endpoint) as dealer:
        assert math.isnan(dealer.ask("strange_predict", "nan")[1][0])
        assert dealer.ask("strange_predict", "big") == ("OK", ["x" * 2_000_000])
        assert dealer.ask("strange_predict", None) == ("OK", [None])
        assert dealer.ask("strange_predict", "bytes") == ("OK", [b"\x00\xff"])
        assert dealer.ask("strange_predict", "infinite") == ("OK", [-math.inf])
        numbers = {"scalar": 0.5, "count": 2**40, "truth": True, "array": [0, 1, 2]}
        assert dealer.ask("strange_predict", "numpy") == ("OK", [numbers])


def test_an_enormous_output_is_refused_and_its_worker_goes_on(faulty):
    before = ready_pids(faulty)
    with RawDealer(faulty.endpoint) as dealer:
        name, args = dealer.ask("strange_predict", "enormous")
        assert (name, args[0]) == ("ERR", "PayloadTooLarge")
        assert dealer.ask("strange_predict", "plain") == ("OK", ["plain"])
    assert ready_pids(faulty) == before


def test_data_of_too_many_maps_is_refused_before_it_takes_up_memory(faulty):
    before = ready_pids(faulty)
    memory = {pid: resident_bytes(psutil.Process(pid)) for pid in before}
    with RawDealer(faulty.endpoint) as dealer:
        name, args = dealer.ask("strange_predict", [{}] * 4_000_000)
    assert (name, args[0]) == ("ERR", "MLModelSchemaValidationException")
    assert "more than 250000 maps and arrays" in args[1]
    assert ready_pids(faulty) == before
    grown = max(resident_bytes(psutil.Process(pid)) - memory[pid] for pid in before)
    assert grown < 100 * MIB


FAILURES = {
    "fail": ("PredictionFailed", "asked to fail"),
    "chain": ("PredictionFailed", "no weights"),
    "exit": ("ModelFailed", ""),
    "recursion": ("RecursionError", ""),
    "memory": ("MemoryError", "no room"),
    "unprintable": ("Unprintable", ""),
}


@pytest.mark.parametrize(("data", "expected"), FAILURES.items(), ids=FAILURES)
def test_an_exception_of_the_model_has_its_own_name_and_ends_no_worker(faulty, data, expected):
    before = ready_pids(faulty)
    with RawDealer(faulty.endpoint) as dealer:
        name, args = dealer.ask("raising_predict", data)
    assert (name, args[0]) == ("ERR", expected[0])
    assert expected[1] in args[1]
    assert args[2].rstrip().endswith(f"{args[0]}: {args[1]}")
    assert ready_pids(faulty) == before


def test_an_interrupt_of_the_model_ends_its_worker_and_is_not_repeated_for_ever(faulty):
    with RawDealer(faulty.endpoint) as dealer:
        name, args = dealer.ask("raising_predict", "interrupt")
        assert (name, args[0]) == ("ERR", "WorkerLost")
        assert args[1].startswith("3 workers died")
        wait_until(lambda: len(ready_pids(faulty)) == 2, "the pool is whole again")


def test_batches_form_under_load(faulty):
    calls = 2000
    with RawDealer(faulty.endpoint) as dealer:
        assert dealer.ask("batch_size_predict", 4) == ("OK", [{"root": 2.0, "batch_size": 1}])
        channels = [dealer.request("batch_size_predict", number) for number in range(calls)]
        answers = [dealer.receive(channel) for channel in channels]
    assert {name for name, _ in answers} == {"OK"}
    assert [args[0]["root"] for _, args in answers] == [number**0.5 for number in range(calls)]
    sizes = [args[0]["batch_size"] for _, args in answers]
    assert max(sizes) <= 64
    assert sum(size > 4 for size in sizes) > calls / 2, sorted(sizes)


def test_calls_of_a_slow_model_that_batches_share_its_batches(serve):
    models = model_tables("fixture_models.batching.SlowBatchModel")
    service = serve(models, workers=1).ready()
    with RawDealer(service.endpoint) as dealer:
        for number in range(3):  # so that it is known as slow
            assert dealer.ask("slow_batch_predict", number)[0] == "OK"
        channels = [dealer.request("slow_batch_predict", number) for number in range(100)]
        answers = [dealer.receive(channel)[1][0] for channel in channels]
    assert [answer["row"] for answer in answers] == list(range(100))
    # One by one they would take 5 s; the first ones go before the others are there.
    assert max(answer["batch_size"] for answer in answers) >= 32


def test_a_row_that_fails_in_a_batch_of_strangers_fails_alone(faulty):
    numbers = [-1 if number % 50 == 7 else number for number in range(500)]
    with RawDealer(faulty.endpoint) as dealer:
        channels = [dealer.request("batch_size_predict", number) for number in numbers]
        answers = [dealer.receive(channel) for channel in channels]
    assert [name for name, _ in answers] == ["ERR" if number < 0 else "OK" for number in numbers]
    assert {args[0] for name, args in answers if name == "ERR"} == {"ValueError"}


# Rows that kill


@pytest.fixture
def deadly(serve):
    models = model_tables(
        "fixture_models.faulty.KillerModel",
        "fixture_models.faulty.FragileKillerModel",
        "fixture_models.plain.EchoModel",
    )
    return serve(models, workers=2).ready()


def test_a_row_that_kills_ends_with_worker_lost_and_the_pool_recovers(deadly):
    before = ready_pids(deadly)
    with RawDealer(deadly.endpoint) as dealer:
        name, args = dealer.ask("killer_predict", "die")
        assert (name, args[0]) == ("ERR", "WorkerLost")
        assert args[1].startswith("3 workers died")
        wait_until(
            lambda: len(ready_pids(deadly)) == 2 and not before & ready_pids(deadly),
            "the pool is whole again",
        )
        assert dealer.ask("echo_predict", 1) == ("OK", [1])
        assert dealer.ask("killer_predict", "live") == ("OK", ["live"])
    assert deadly.output.count("died child=worker-") == 3


def test_a_call_that_must_not_be_repeated_is_not(deadly):
    with RawDealer(deadly.endpoint) as dealer:
        name, args = dealer.ask("fragile_killer_predict", "die")
    assert (name, args[0]) == ("ERR", "WorkerLost")
    assert "is not retried" in args[1]
    wait_until(lambda: len(ready_pids(deadly)) == 2, "the pool is whole again")
    assert deadly.output.count("died child=worker-") == 1


def test_calls_beside_a_row_that_kills_are_answered(deadly):
    with RawDealer(deadly.endpoint) as dealer:
        # The pace is known, so that several calls go to a worker at once.
        for number in range(20):
            assert dealer.ask("killer_predict", number) == ("OK", [number])
        before = [dealer.request("killer_predict", number) for number in range(20)]
        poison = dealer.request("killer_predict", "die")
        after = [dealer.request("killer_predict", number) for number in range(20)]
        assert dealer.receive(poison)[1][0] == "WorkerLost"
        answers = [dealer.receive(channel) for channel in [*before, *after]]
    assert answers == [("OK", [number]) for number in range(20)] * 2


def test_a_worker_that_is_killed_costs_a_batch_nothing(deadly):
    rows = list(range(20_000))
    with RawDealer(deadly.endpoint) as dealer:
        channel = dealer.request("echo_predict_batch", rows)
        psutil.Process(min(ready_pids(deadly))).send_signal(signal.SIGKILL)
        name, (answer,) = dealer.receive(channel)
    assert name == "OK"
    assert answer == {"predictions": rows, "errors": []}


# Peers of older versions


@pytest.mark.parametrize("version", [1, None])
def test_a_peer_of_version_1_gets_errors_in_its_form(iris_gateway, version):
    with RawDealer(iris_gateway.endpoint) as dealer:
        assert dealer.ask("no_such_method", v=version) == ("ERR", ["NameError('no_such_method')"])
        name, args = dealer.ask("iris_model_predict", BAD_ROW, v=version)
        assert (name, len(args)) == ("ERR", 1)
        assert args[0].startswith(f"{REJECTED}(")
        assert is_a_prediction(dealer.ask("iris_model_predict", SETOSA, v=version)[1][0])


def test_a_peer_of_version_2_gets_detailed_errors_and_grants_with_heartbeats(iris_gateway):
    with RawDealer(iris_gateway.endpoint) as dealer:
        name, args = dealer.ask("no_such_method", v=2)
        assert (name, args[:2], len(args)) == ("ERR", ["NameError", "no_such_method"], 3)
        stream = dealer.request("iris_model_predict_stream", [SETOSA] * 50, v=2)
        first = dealer.receive(stream)
        dealer.respond(stream, "_zpc_hb", [10])
        ten = [dealer.receive(stream) for _ in range(10)]
        dealer.respond(stream, "_zpc_hb", [100])
        items = [first, *ten, *dealer.receive_to_the_end(stream)]
    assert items.pop() == ("STREAM_DONE", None)
    assert sorted(item["index"] for _, item in items) == list(range(50))
