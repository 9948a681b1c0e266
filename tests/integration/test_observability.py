"""Metrics, health and the trail of a job, of real processes."""

import http.client
import os
import re
import signal
import time

import pytest
from harness import Service, free_endpoint, model_tables, run_zeropool, wait_until
from prometheus_client import parser
from zerorpc.exceptions import RemoteError

from zeropool.cli.exits import EXIT_CONFIG
from zeropool.client import Client

#: The promise for `/readyz` after the death of the last worker.
NOTICED_WITHIN_S = 1.0
#: A worker starts, imports and loads in less.
RECOVERED_WITHIN_S = 20.0


def get(address, path):
    host, _, port = address.partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=5.0)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


class Observed(Service):
    """A service with an HTTP side."""

    def __init__(self, folder, toml="", *, workers=2, arguments=()):
        self.http = free_endpoint().removeprefix("tcp://")
        super().__init__(folder, toml, workers=workers, arguments=["--http", self.http, *arguments])

    def get(self, path):
        return get(self.http, path)

    def is_ready(self):
        return self.get("/readyz")[0] == 200

    def samples(self):
        _, text = self.get("/metrics")
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in parser.text_string_to_metric_families(text)
            for sample in family.samples
        }


@pytest.fixture
def observed(tmp_path):
    services = []

    def observed(toml="", **options):
        services.append(Observed(tmp_path, toml, **options))
        return services[-1]

    yield observed
    for service in services:
        service.stop()


def test_readiness_ends_within_a_second_of_the_last_workers_death_and_comes_back(observed):
    service = observed(model_tables("fixture_models.plain.EchoModel")).ready()
    assert service.get("/readyz") == (200, "ready\n")
    for _ in range(3):
        # Not only registered: one that dies before it is ready never was.
        wait_until(lambda: service.samples()["zeropool_workers", "ready"] == 2, "both work")
        first, second = service.worker_pids()
        os.kill(first, signal.SIGKILL)
        os.kill(second, signal.SIGKILL)
        died_at = time.monotonic()
        while service.is_ready():
            assert time.monotonic() - died_at < NOTICED_WITHIN_S
        assert service.get("/healthz") == (200, "ok\n")
        wait_until(service.is_ready, "ready again", RECOVERED_WITHIN_S)
        assert service.call("echo_predict", {"value": 1}) is not None
    wait_until(lambda: service.samples()["zeropool_workers", "ready"] == 2, "both work")
    samples = service.samples()
    assert samples["zeropool_worker_events_total", "lost"] == 6
    assert samples["zeropool_worker_events_total", "ready"] == 8


def test_metrics_tell_what_clients_saw(observed):
    tables = model_tables("fixture_models.plain.EchoModel", "fixture_models.faulty.RaisingModel")
    service = observed(tables).ready()
    with Client(service.endpoint) as client:
        for number in range(20):
            client.call("echo_predict", {"value": number})
        for _ in range(3):
            with pytest.raises(RemoteError):
                client.call("no_such_method")
        with pytest.raises(RemoteError):
            client.call("raising_predict", "fail")
    service.wait_for_output("predict failed")
    samples = service.samples()
    assert samples["zeropool_requests_total", "echo", "OK"] == 20
    assert samples["zeropool_requests_total", "raising", "PredictionFailed"] == 1
    assert samples["zeropool_queue_seconds_count", "echo"] == 20
    assert samples["zeropool_execution_seconds_count", "echo"] == 20
    assert samples["zeropool_batch_rows_sum", "echo"] == 20
    assert samples["zeropool_refused_total", "NameError"] == 3
    assert samples["zeropool_workers", "ready"] == 2
    assert samples["zeropool_open_calls",] == 0
    assert samples["zeropool_ready",] == 1


def test_a_frozen_gateway_is_not_reported_as_healthy(observed):
    service = observed(model_tables("fixture_models.plain.EchoModel")).ready()
    gateway = service.gateway_process()
    gateway.suspend()
    try:
        with pytest.raises(TimeoutError):
            service.get("/healthz")
    finally:
        gateway.resume()
    assert service.get("/healthz") == (200, "ok\n")


def test_a_job_can_be_followed_from_the_gateway_to_a_worker_and_back(observed):
    service = observed(
        model_tables("fixture_models.plain.EchoModel"), arguments=["--log-level", "DEBUG"]
    ).ready()
    service.call("echo_predict", {"value": 1})
    service.wait_for_output("result taken")
    output = service.output
    given = re.search(r"gateway: job given job=(\d+) attempt=1 model=echo worker=(\w+)", output)
    job, worker = given.groups()
    there = rf"job={job} attempt=1 model=echo worker={worker}"
    back = rf"job={job} attempt=1 outcome=OK model=echo worker={worker}"
    assert re.search(rf"worker-\d: job taken {there}", output)
    assert re.search(rf"worker-\d: result sent {back}", output)
    assert re.search(rf"gateway: result taken {back}", output)


def test_lost_work_is_named_in_the_log(observed):
    service = observed(model_tables("fixture_models.faulty.KillerModel")).ready()
    with pytest.raises(RemoteError):
        service.call("killer_predict", "die")
    service.wait_for_output("unanswered=1 jobs=", times=3)
    lost = re.findall(r"WARNING gateway: worker lost .* unanswered=1 jobs=(\d+)", service.output)
    assert len(lost) == 3
    assert len(set(lost)) == 1


def test_a_failed_prediction_has_a_line_with_its_job_and_not_its_data(observed):
    service = observed(model_tables("fixture_models.faulty.RaisingModel")).ready()
    with pytest.raises(RemoteError):
        service.call("raising_predict", "fail")
    service.wait_for_output("predict failed")
    assert re.search(
        r"WARNING worker-\d: predict failed job=\d+ attempt=1 model=raising error=PredictionFailed "
        r"raised_at=faulty.py:\d+ unsaid=0\n",
        service.output,
    )


def test_a_predict_columns_that_raises_has_a_line_though_the_rows_are_predicted(observed):
    service = observed(model_tables("fixture_models.columnar.BrokenColumnModel")).ready()
    rows = [{"x": 1.5, "n": 300}] * 1000
    predictions = service.call("broken_columns_predict_batch", rows)["predictions"]
    assert [each["y"] for each in predictions] == [3.0] * 1000
    service.wait_for_output("predict_columns failed")
    assert re.search(
        r"WARNING worker-\d: predict_columns failed job=\d+ attempt=1 model=broken_columns "
        r"error=TypeError raised_at=columnar.py:\d+ unsaid=0\n",
        service.output,
    )


def test_at_info_no_call_has_a_line(observed):
    service = observed(model_tables("fixture_models.plain.EchoModel")).ready()
    # The gateway tells of each worker too, maybe after `serve` has told that all are there.
    service.wait_for_output("gateway: worker ready", times=2)
    lines = service.output.count("\n")
    with Client(service.endpoint) as client:
        for number in range(50):
            client.call("echo_predict", {"value": number})
    service.get("/metrics")
    assert service.output.count("\n") == lines


def test_a_taken_port_ends_the_start_with_its_name(observed, tmp_path):
    service = observed(model_tables("fixture_models.plain.EchoModel")).ready()
    refused = run_zeropool(
        *("gateway", "--bind", free_endpoint(), "--workers-bind", f"ipc://{tmp_path}/other.ipc"),
        *("--http", service.http),
    )
    assert refused.returncode == EXIT_CONFIG
    assert f"http.bind = '{service.http}': cannot bind: Address already in use" in refused.stderr
