"""Our clients against real gateways and workers: large batches, kills, several gateways."""

import asyncio
import itertools
import signal

import numpy as np
import pandas as pd
import psutil
import pytest
from harness import model_tables, wait_until

from zeropool.client import AsyncClient, Client, RetryPolicy
from zeropool.shared.errors import InvalidInput

NAMES = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
#: One flower of each species, in centimetres: rows 0, 50 and 100 of sklearn's `load_iris`.
FLOWERS = [[5.1, 3.5, 1.4, 0.2], [7.0, 3.2, 4.7, 1.4], [6.3, 3.3, 6.0, 2.5]]
SPECIES = [{"species": name} for name in ("setosa", "versicolor", "virginica")]
PATIENCE_S = 30.0
STEADY = model_tables("fixture_models.steady.SteadyModel")
RETRY = RetryPolicy(models={"steady"}, first_wait_s=0.05)


def frame(rows):
    return pd.DataFrame(np.tile(FLOWERS, (rows // 3 + 1, 1))[:rows], columns=NAMES)


def expected(rows):
    return list(itertools.islice(itertools.cycle(SPECIES), rows))


def steady(count):
    return [{"value": number, "pad": b""} for number in range(count)]


def steady_answers(count):
    return [{"value": 3 * number + 1} for number in range(count)]


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, PATIENCE_S))


@pytest.fixture
def client(iris_gateway):
    with Client(iris_gateway.endpoint, timeout=PATIENCE_S) as connected:
        yield connected


def test_a_large_frame_is_predicted_in_pieces(client):
    assert client.predict_batch("iris_model", frame(100_000)) == expected(100_000)


def test_so_is_an_array_by_the_other_client(iris_gateway):
    async def predict():
        async with AsyncClient(iris_gateway.endpoint) as client:
            rows = frame(60_000).to_numpy()
            return await client.predict_batch("iris_model", rows, columns=NAMES)

    assert run(predict()) == expected(60_000)


def test_a_row_with_nan_fails_alone(client):
    rows = frame(300)
    rows.loc[7, "petal_width"] = float("nan")

    found = client.predict_batch("iris_model", rows, errors="return")

    assert found[7].name == InvalidInput.wire_name
    found[7] = expected(300)[7]
    assert found == expected(300)


def test_what_the_gateway_finds_too_large_is_halved(serve):
    service = serve("[gateway]\nmax_request_bytes = 200000\n").ready()
    with Client(service.endpoint, timeout=PATIENCE_S) as client:
        # About 90 bytes a row: each piece is over the limit, by less than what ends a connection.
        found = client.predict_batch("iris_model", frame(20_000), piece_rows=5_000)

    assert found == expected(20_000)


def test_many_calls_of_both_clients_come_back_right(iris_gateway, client):
    async def predict():
        async with AsyncClient(iris_gateway.endpoint) as other:
            rows = frame(2_000)
            return [value async for value in other.predict_many("iris_model", rows, window=200)]

    assert list(client.predict_many("iris_model", frame(2_000), window=200)) == expected(2_000)
    assert run(predict()) == expected(2_000)


def test_a_worker_that_is_killed_costs_no_result(serve):
    service = serve(STEADY, workers=2).ready()
    victim = service.worker_pids()[0]
    found = []
    with Client(service.endpoint, timeout=PATIENCE_S) as client:
        for value in client.predict_many("steady", steady(600), window=50):
            found.append(value)
            if len(found) == 100:
                psutil.Process(victim).send_signal(signal.SIGKILL)

    assert found == steady_answers(600)


def test_a_gateway_that_ends_costs_no_result_where_there_is_another(serve):
    services = [serve(STEADY, workers=1).ready() for _ in range(2)]

    async def predict():
        endpoints = [service.endpoint for service in services]
        async with AsyncClient(endpoints, timeout=PATIENCE_S, retry=RETRY) as client:
            found = []
            async for value in client.predict_many("steady", steady(600), window=50):
                found.append(value)
                if len(found) == 100:
                    services[0].gateway_process().send_signal(signal.SIGKILL)
            return found

    assert run(predict()) == steady_answers(600)


def test_a_task_that_is_cancelled_gives_up_all_its_calls(serve):
    service = serve(model_tables("fixture_models.slow.SleepModel"), workers=1).ready()

    async def predict_for_ever(client):
        naps = itertools.repeat({"sleep_s": 0.05})
        async for _ in client.predict_many("sleeper", naps, timeout=0.5):
            pass

    async def cancel():
        async with AsyncClient(service.endpoint, timeout=PATIENCE_S) as client:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(predict_for_ever(client), 0.2)
            # Those that wait there had half a second.
            return await client.sleeper_predict({"sleep_s": 0.0})

    assert run(cancel()) == {"slept_s": 0.0}
    wait_until(lambda: service.call("get_status")["open_calls"] == 0, "no call is open")
