"""The asyncio client against a small server: real sockets, on asyncio's loop and on uvloop's."""

import asyncio
import contextlib
import copy
import functools
import gc
import inspect
import itertools
import socket
import time
import weakref
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import uvloop
from small_server import HEARTBEAT_S, PATIENCE_S, Server

from zeropool.client import AsyncClient, RetryPolicy
from zeropool.client.core import FRESH_S
from zeropool.shared.errors import ClientClosed

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
LOST = r"\ALost remote after 0\.6s heartbeat\Z"


def asynchronous(test):
    """Runs a test on each kind of loop; nothing may be left on it."""

    def run(*, new_loop, **fixtures):
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(asyncio.wait_for(test(**fixtures), PATIENCE_S))

    functools.update_wrapper(run, test)
    own = inspect.signature(test)
    loop = inspect.Parameter("new_loop", inspect.Parameter.KEYWORD_ONLY)
    run.__signature__ = own.replace(parameters=[*own.parameters.values(), loop])
    return pytest.mark.parametrize("new_loop", LOOPS.values(), ids=LOOPS)(run)


@pytest.fixture
def second():
    served = Server()
    served.thread.start()
    yield served
    served.stop()


@pytest.fixture(scope="module")
def errors():
    """zerorpc's own classes; loading them takes a second."""
    from zerorpc import exceptions  # noqa: PLC0415 - loads gevent

    return exceptions


def connected(server, **options):
    return AsyncClient(server.endpoint, **{"timeout": PATIENCE_S} | options)


async def eventually(is_true):
    while not is_true():  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0.001)


# Calls


@asynchronous
async def test_a_call_returns_what_the_server_answers(server):
    async with connected(server) as client:
        assert await client.echo(5) == 5
        assert await client("echo", {"x": [1.5, None, b"\0"]}) == {"x": [1.5, None, b"\0"]}
        assert await client.call("echo", "text") == "text"
        assert await client.nothing() is None


@asynchronous
async def test_many_tasks_share_a_client_and_leave_nothing_behind(server):
    async with connected(server) as client:

        async def ask(first):
            return [await client.echo(first + number) for number in range(20)]

        answers = await asyncio.gather(*[ask(100 * task) for task in range(20)])

        assert answers == [[100 * task + number for number in range(20)] for task in range(20)]
        assert repr(client) == f"<AsyncClient {server.endpoint} open=0>"


@asynchronous
async def test_what_is_large_arrives_whole(server):
    large = b"\x01" * 20_000_000
    async with connected(server) as client:
        answers = await asyncio.gather(client.echo(large), client.echo(5), client.echo(large))

        assert answers == [large, 5, large]


@asynchronous
async def test_what_numpy_and_pandas_hold_can_be_an_argument(server):
    async with connected(server) as client:
        row = next(pd.DataFrame({"a": [1], "b": ["x"]}).iterrows())[1]

        assert await client.echo(np.float32(0.5)) == 0.5
        assert await client.echo(row) == {"a": 1, "b": "x"}
        assert await client.echo(np.arange(3)) == [0, 1, 2]


@asynchronous
async def test_an_argument_that_cannot_travel_is_an_error_at_once(server):
    async with connected(server) as client:
        for value, error in [(object(), TypeError), (2**64, OverflowError)]:
            with pytest.raises(error):
                await client.echo(value)

        assert server.asked.empty()


@asynchronous
async def test_the_server_may_listen_on_a_socket_in_the_file_system(tmp_path):
    server = Server(f"ipc://{tmp_path}/socket")
    server.thread.start()
    async with connected(server) as client:
        assert await client.echo(5) == 5
    server.stop()


@pytest.mark.parametrize(
    "endpoint", ["127.0.0.1:4242", "tcp://*:4242", "tcp://host:0", "inproc://x"]
)
def test_what_is_no_endpoint_is_refused_at_once(endpoint):
    with pytest.raises(Exception, match="expected"):
        AsyncClient(endpoint)


# Options and attributes


@asynchronous
async def test_without_a_server_the_client_tells_why():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"tcp://127.0.0.1:{unused.getsockname()[1]}"
        async with AsyncClient(endpoint) as client:
            assert client.connection_failure == ""
            assert not await client.wait_connected(0.2)
            assert client.connection_failure.startswith(f"{endpoint}: ")


@pytest.mark.parametrize("kind", [int, Fraction, np.int64, np.float32, np.float64])
@asynchronous
async def test_times_and_slots_may_be_numbers_of_any_kind(server, kind):
    options = {"timeout": kind(5), "heartbeat": kind(1), "passive_heartbeat": np.bool_(0)}
    async with connected(server, **options) as client:
        assert await client.wait_connected(kind(5))
        assert await client.echo(5) == 5
        assert await client("echo", 6, timeout=kind(3)) == 6
        assert [n async for n in await client("count", 0, 30, slots=kind(10))] == list(range(30))
        predictions = client.predict_many("double", [{"x": 1}], window=kind(2), timeout=kind(4))
        assert [value async for value in predictions] == [2]
        assert await client.predict_batch("double", [{"x": 1}], timeout=kind(4)) == [2]

    for timeout in (5, 3, 5, 4, 4):
        assert timeout - 1 < server.limits.get(timeout=PATIENCE_S) <= timeout


@asynchronous
async def test_an_option_that_is_no_number_is_an_error_and_no_call(server):
    async with connected(server) as client:
        for options in [{"timeout": "5"}, {"slots": "5"}, {"slots": None}]:
            with pytest.raises(TypeError, match="expected a number"):
                await client("echo", 5, **options)

        assert repr(client).endswith("open=0>")
    with pytest.raises(TypeError, match="expected a number"):
        connected(server, heartbeat="5")


def test_a_method_of_a_copied_client_is_the_copys():
    client = AsyncClient("tcp://127.0.0.1:1")
    assert client.echo.func is client
    copied = copy.copy(client)

    assert copied.echo.func is copied
    assert client.echo.func is client


def test_asking_for_a_method_leaves_nothing_behind():
    client = AsyncClient("tcp://127.0.0.1:1")
    names = set(vars(client))
    assert hasattr(client, "echo")
    assert set(vars(client)) == names

    gone = weakref.ref(client)
    gc.disable()
    try:
        del client
        assert gone() is None
    finally:
        gc.enable()


# Errors


@asynchronous
async def test_an_error_of_the_server_is_zerorpcs_remote_error(server, errors):
    async with connected(server) as client:
        with pytest.raises(errors.RemoteError) as caught:
            await client.fail("ValueError", "no root", "Traceback\nValueError: no root")

    assert (caught.value.name, caught.value.msg) == ("ValueError", "no root")
    assert str(caught.value) == "Traceback\nValueError: no root"


@asynchronous
async def test_a_late_answer_is_a_timeout_in_zerorpcs_words(server, errors):
    async with connected(server, timeout=0.1) as client:
        with pytest.raises(errors.TimeoutExpired) as caught:
            await client.never()
        with pytest.raises(errors.TimeoutExpired, match=r"timeout after 0.05s"):
            await client("never", timeout=0.05)

        assert await client("echo", 5, timeout=None) == 5

    assert str(caught.value) == "timeout after 0.1s, when calling remote method never"


@asynchronous
async def test_the_time_that_a_call_has_travels_with_it(server):
    async with connected(server) as client:
        await client.echo(5)
        await client("echo", 6, timeout=None)

    assert PATIENCE_S - 1 < server.limits.get(timeout=PATIENCE_S) <= PATIENCE_S
    assert server.limits.get(timeout=PATIENCE_S) is None


@asynchronous
async def test_where_nobody_listens_a_call_has_its_time(errors):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        endpoint = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    async with AsyncClient(endpoint, timeout=0.1) as client:
        with pytest.raises(errors.TimeoutExpired):
            await client.echo(5)
        assert not await client.wait_connected(0.05)


@asynchronous
async def test_a_server_that_comes_later_is_found():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        endpoint = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    async with AsyncClient(endpoint, timeout=PATIENCE_S) as client:
        early = asyncio.ensure_future(client.echo(5))
        waiting = asyncio.ensure_future(client.wait_connected(PATIENCE_S))
        await asyncio.sleep(0.05)
        server = Server(endpoint)
        server.thread.start()
        try:
            assert await early == 5
            assert await waiting
            assert await client.wait_connected(0.0)
        finally:
            server.stop()


@asynchronous
async def test_a_server_that_falls_silent_is_lost(server, errors):
    server.is_mute.set()
    async with connected(server, heartbeat=HEARTBEAT_S) as client:
        with pytest.raises(errors.LostRemote, match=LOST):
            await client.echo(5)

        server.is_mute.clear()
        assert await client.echo(6) == 6


@asynchronous
async def test_heartbeats_keep_a_long_call_alive(server, errors):
    async with connected(server, heartbeat=HEARTBEAT_S, timeout=5 * HEARTBEAT_S) as client:
        with pytest.raises(errors.TimeoutExpired):
            await client.never()

    assert server.beats.qsize() >= 3


@asynchronous
async def test_a_busy_loop_does_not_take_its_server_for_silent(server):
    # Long: the server has to answer within it, also on a busy machine.
    heartbeat_s = 3 * HEARTBEAT_S
    async with connected(server, heartbeat=heartbeat_s) as client:
        assert await client.echo(4) == 4
        call = asyncio.ensure_future(client.echo(5))
        await asyncio.sleep(0)
        # A task computes for longer than the patience with a silent server.
        time.sleep(4 * heartbeat_s)  # noqa: ASYNC251

        assert await call == 5


@asynchronous
async def test_what_was_sent_is_lost_with_the_connection(server, errors):
    async with connected(server) as client:
        call = asyncio.ensure_future(client.never())
        await eventually(lambda: not server.asked.empty())
        server.stop()

        with pytest.raises(errors.LostRemote, match="connection"):
            await call


@asynchronous
async def test_a_connection_that_broke_at_rest_costs_no_call(server):
    async with connected(server) as client:
        assert await client.echo(5) == 5
        endpoint = server.endpoint
        server.stop()
        # Nothing runs on the loop between the server's end and the next call; but the connection
        # has rested for long enough to be looked at.
        time.sleep(10 * FRESH_S)  # noqa: ASYNC251
        successor = Server(endpoint)
        successor.thread.start()
        try:
            assert await client.echo(6) == 6
        finally:
            successor.stop()


# Cancelling and closing


@asynchronous
async def test_a_task_that_is_cancelled_gives_its_call_up(server):
    async with connected(server) as client:
        call = asyncio.ensure_future(client.never())
        await eventually(lambda: not server.asked.empty())
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

        assert repr(client).endswith("open=0>")
        assert await client.echo(5) == 5


@asynchronous
async def test_a_time_limit_of_asyncio_is_one_too(server):
    async with connected(server) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.never()

        assert repr(client).endswith("open=0>")


@asynchronous
async def test_what_nobody_awaits_any_more_is_not_sent(second):
    endpoint = second.endpoint
    second.stop()
    async with AsyncClient(endpoint, timeout=PATIENCE_S) as client:
        given_up = asyncio.ensure_future(client.echo("given up"))
        await asyncio.sleep(0.05)
        given_up.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await given_up
        server = Server(endpoint)
        server.thread.start()
        try:
            assert await client.echo("wanted") == "wanted"
        finally:
            server.stop()

    assert [server.asked.get()[1] for _ in range(server.asked.qsize())] == [["wanted"]]


@asynchronous
async def test_closing_ends_what_is_open(server, errors):
    client = connected(server)
    call = asyncio.ensure_future(client.never())
    stream = await client.one_and_silence()
    await anext(stream)
    await client.close()
    await client.close()

    with pytest.raises(errors.LostRemote, match="the client was closed"):
        await call
    with pytest.raises(errors.LostRemote, match="the client was closed"):
        await anext(stream)
    with pytest.raises(ClientClosed, match="the client is closed"):
        await client.echo(5)


@asynchronous
async def test_what_was_just_sent_leaves_before_the_client_closes(server):
    client = connected(server)
    await client.wait_connected(PATIENCE_S)
    calls = [asyncio.ensure_future(client.echo(b"x" * 200_000)) for _ in range(5)]
    await asyncio.sleep(0)
    await client.close()
    await asyncio.gather(*calls, return_exceptions=True)

    for _ in calls:
        assert server.asked.get(timeout=PATIENCE_S)[0] == "echo"


def test_a_client_is_for_one_loop(server):
    client = connected(server)
    with asyncio.Runner() as first, asyncio.Runner() as other:
        assert first.run(client.echo(5)) == 5
        with pytest.raises(RuntimeError, match="event loop"):
            other.run(client.echo(6))
        first.run(client.close())


# Streams


@asynchronous
async def test_a_stream_brings_all_items_in_order(server):
    async with connected(server) as client:
        items = [item async for item in await client.count(7, 500)]

        assert items == list(range(7, 507))
        assert repr(client).endswith("open=0>")


@asynchronous
async def test_a_stream_may_be_empty(server):
    async with connected(server) as client:
        stream = await client.count(0, 0)

        assert [item async for item in stream] == []
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


@asynchronous
async def test_credit_is_granted_only_to_a_reader(server):
    async with connected(server) as client:
        stream = await client("count", 0, 100, slots=10)
        await client.echo(5)
        assert server.credit.empty()

        await anext(stream)
        await client.echo(6)
        assert server.credit.get(timeout=PATIENCE_S) == 10
        assert [item async for item in stream] == list(range(1, 100))


@asynchronous
async def test_an_error_ends_a_stream_after_its_items(server, errors):
    async with connected(server) as client:
        stream = await client.count_and_fail(5)
        items = [await anext(stream) for _ in range(5)]
        with pytest.raises(errors.RemoteError, match="no more"):
            await anext(stream)

        assert items == list(range(5))


@asynchronous
async def test_a_reader_may_take_its_time_and_its_server_hears_it_beat(server):
    async with connected(server, heartbeat=HEARTBEAT_S) as client:
        stream = await client("count", 0, 300)
        first = [await anext(stream) for _ in range(3)]
        await asyncio.sleep(4 * HEARTBEAT_S)

        assert server.beats.qsize() >= 3
        assert first + [item async for item in stream] == list(range(300))


@asynchronous
async def test_waiting_for_an_item_can_be_given_up_and_begun_again(server):
    async with connected(server) as client:
        stream = await client.one_and_silence()
        assert await anext(stream) == "one"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await anext(stream)

        reading = asyncio.ensure_future(anext(stream))
        await client.go_on("two")
        assert await reading == "two"


@asynchronous
async def test_a_stream_that_is_closed_is_given_up(server):
    async with connected(server) as client:
        stream = await client.count(0, 500)
        await anext(stream)
        await stream.aclose()

        assert repr(client).endswith("open=0>")
        assert [item async for item in stream] == []


@asynchronous
async def test_so_is_one_that_nobody_has_any_more(server):
    async with connected(server) as client:
        stream = await client.count(0, 500)
        await anext(stream)
        del stream
        gc.collect()

        await eventually(lambda: repr(client).endswith("open=0>"))
        assert await client.echo(5) == 5


# Repetition and several servers

POLICY = RetryPolicy(models={"safe"}, first_wait_s=0.01)
REFUSALS = [("Overloaded", "full; retry_after_s=0.01"), ("Draining", "bye"), ("WorkerLost", "x")]


@asynchronous
async def test_what_is_safe_to_repeat_is_repeated_until_it_succeeds(server):
    server.failures.extend(REFUSALS)
    async with connected(server, retry=POLICY) as client:
        assert await client.safe_predict() == "well"

    assert server.asked.qsize() == len(REFUSALS) + 1


@asynchronous
async def test_nothing_else_is(server, errors):
    server.failures.append(("Draining", "bye"))
    async with connected(server, retry=POLICY) as client:
        with pytest.raises(errors.RemoteError, match="Draining"):
            await client.unsafe_predict()


@asynchronous
async def test_calls_go_on_with_the_server_that_is_left(server, second, errors):
    endpoints = [server.endpoint, second.endpoint]
    async with AsyncClient(endpoints, timeout=PATIENCE_S, retry=POLICY) as client:
        await asyncio.gather(*[client.safe_predict() for _ in range(50)])
        await eventually(lambda: server.asked.qsize() + second.asked.qsize() == 50)
        server.stop()

        assert await asyncio.gather(*[client.safe_predict() for _ in range(50)]) == ["well"] * 50


@asynchronous
async def test_a_server_that_is_disconnected_is_asked_no_more(server, second, errors):
    async with AsyncClient([server.endpoint, second.endpoint], timeout=PATIENCE_S) as client:
        await client.wait_connected(PATIENCE_S)
        client.disconnect(server.endpoint)

        assert [await client.echo(number) for number in range(20)] == list(range(20))

    assert second.asked.qsize() == 20


# Many calls


@asynchronous
async def test_predictions_of_many_rows_come_in_their_order(server):
    async with connected(server) as client:
        rows = ({"x": number} for number in range(100))

        found = [value async for value in client.predict_many("double", rows, window=7)]

        assert found == [2 * number for number in range(100)]
        assert server.most_open <= 7


@asynchronous
async def test_or_as_they_come(server):
    async with connected(server) as client:
        frame = pd.DataFrame({"x": range(100)})

        found = {
            number: value async for number, value in client.predict_as_completed("double", frame)
        }

        assert found == {number: 2 * number for number in range(100)}


@asynchronous
async def test_rows_without_end_are_read_as_far_as_they_are_wanted(server):
    async with connected(server) as client:
        taken = []
        rows = (taken.append(number) or {"x": number} for number in itertools.count())
        predictions = client.predict_many("double", rows, window=5)
        found = [await anext(predictions) for _ in range(20)]
        await predictions.aclose()

        assert found == [2 * number for number in range(20)]
        assert len(taken) <= 30
        assert repr(client).endswith("open=0>")


@asynchronous
async def test_whoever_leaves_the_loop_gives_up_what_is_in_flight(server):
    async with connected(server) as client:
        async for _ in client.predict_many("double", ({"x": n} for n in itertools.count())):
            break

        await eventually(lambda: repr(client).endswith("open=0>"))
        assert await client.echo(5) == 5


@asynchronous
async def test_rows_may_come_from_an_asynchronous_iterable(server):
    ended = []

    async def rows():
        try:
            for number in itertools.count():
                await asyncio.sleep(0.001 * (number % 3 == 0))
                yield {"x": number}
        finally:
            ended.append("rows")

    async with connected(server) as client:
        predictions = client.predict_many("double", rows(), window=5)
        found = [await anext(predictions) for _ in range(100)]
        await predictions.aclose()

        assert found == [2 * number for number in range(100)]
        assert ended == ["rows"]
        assert repr(client).endswith("open=0>")


@asynchronous
async def test_results_do_not_wait_for_the_next_row(server):
    more = asyncio.Event()

    async def rows():
        yield {"x": 1}
        await more.wait()
        yield {"x": 2}

    async with connected(server) as client:
        pairs = client.predict_as_completed("double", rows())
        assert await anext(pairs) == (0, 2)
        more.set()

        assert [pair async for pair in pairs] == [(1, 4)]


@asynchronous
async def test_what_the_rows_wait_for_may_be_cancelled(server):
    async def rows():
        yield {"x": 1}
        cancelled = asyncio.ensure_future(asyncio.Event().wait())
        cancelled.cancel()
        await cancelled

    async with connected(server) as client:
        with pytest.raises(asyncio.CancelledError):
            [value async for value in client.predict_many("double", rows(), window=1)]


@asynchronous
async def test_who_stops_may_be_cancelled_while_the_rows_clean_up(server):
    may_end = asyncio.Event()
    cleans = asyncio.Event()

    async def rows():
        yield {"x": 0}
        try:
            await asyncio.Event().wait()
        finally:
            cleans.set()
            await may_end.wait()

    async with connected(server) as client:
        predictions = client.predict_many("double", rows())
        assert await anext(predictions) == 0
        stopping = asyncio.ensure_future(predictions.aclose())
        await cleans.wait()
        stopping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopping
        may_end.set()


@asynchronous
async def test_who_reads_a_stream_is_told_that_it_is_closed(server):
    async with connected(server) as client:
        stream = await client.one_and_silence()
        assert await anext(stream) == "one"
        reading = asyncio.ensure_future(anext(stream, "nothing"))
        await client.echo(5)

        await stream.aclose()

        assert await reading == "nothing"


@asynchronous
async def test_what_goes_wrong_with_the_rows_is_raised(server):
    async def rows():
        yield {"x": 1}
        raise OSError("no more rows")

    async with connected(server) as client:
        with pytest.raises(OSError, match="no more rows"):
            [value async for value in client.predict_many("double", rows(), window=1)]


@asynchronous
async def test_a_failure_ends_it_or_is_a_result(server, errors):
    rows = [{"x": 1}, {"y": 2}, {"x": 3}]
    async with connected(server) as client:
        with pytest.raises(errors.RemoteError, match="KeyError"):
            [value async for value in client.predict_many("double", rows)]
        assert repr(client).endswith("open=0>")

        predictions = client.predict_many("double", rows, errors="return")
        first, second, third = [value async for value in predictions]

    assert (first, third) == (2, 6)
    assert isinstance(second, errors.RemoteError)


@asynchronous
async def test_a_model_that_answers_with_a_stream_is_an_error(server):
    async with connected(server) as client:
        with pytest.raises(Exception, match="one_and_silence_predict"):
            [value async for value in client.predict_many("one_and_silence", [{}])]

        assert repr(client).endswith("open=0>")


@asynchronous
async def test_a_batch_is_cut_and_put_together(server):
    async with connected(server) as client:
        array = np.arange(1000.0).reshape(500, 2)

        found = await client.predict_batch("double", array, columns=["x", "y"], piece_rows=60)

        assert found == [2 * row for row in array[:, 0].tolist()]
        assert server.asked.qsize() == 9


@asynchronous
async def test_rows_of_a_batch_fail_alone(server, errors):
    rows = [{"x": 1}, {"y": 2}, {"x": 3}]
    async with connected(server) as client:
        first, second, third = await client.predict_batch("double", rows, errors="return")
        assert (first, third) == (2, 6)
        assert str(second) == "row 1: KeyError: 'x'"

        with pytest.raises(errors.RemoteError, match="row 1: KeyError"):
            await client.predict_batch("double", rows)
