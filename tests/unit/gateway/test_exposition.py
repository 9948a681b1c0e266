"""What a scrape says: read back with the parser of prometheus-client."""

from __future__ import annotations

import pytest
from gateway_world import model_info
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics_parser

from zeropool.gateway.exposition import expose
from zeropool.gateway.metrics import snapshot

OPENMETRICS = "application/openmetrics-text"


def scraped(world, least_models=1):
    body, _ = expose(snapshot(world.gateway, connections=1, least_models=least_models), "")
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in parser.text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def test_calls_are_counted_by_model_and_outcome(world):
    world.worker_up()
    world.call("double_predict", 1)
    world.call("double_predict", "x", call_id="2")
    while world.held["w1"]:
        world.answer(busy_s=0.001)
    samples = scraped(world)
    assert samples["zeropool_requests_total", ("double", "OK")] == 1
    assert samples["zeropool_requests_total", ("double", "InvalidInput")] == 1


def test_histograms_have_cumulative_buckets_a_count_and_a_sum(world):
    world.worker_up()
    world.call("double_predict", 1)
    world.now = 0.25
    world.answer(busy_s=0.2)
    samples = scraped(world)
    assert samples["zeropool_execution_seconds_bucket", ("0.1", "double")] == 0
    assert samples["zeropool_execution_seconds_bucket", ("0.25", "double")] == 1
    assert samples["zeropool_execution_seconds_bucket", ("+Inf", "double")] == 1
    assert samples["zeropool_execution_seconds_count", ("double",)] == 1
    assert samples["zeropool_execution_seconds_sum", ("double",)] == 0.25
    assert samples["zeropool_batch_seconds_sum", ("double",)] == 0.2
    assert samples["zeropool_batch_rows_sum", ("double",)] == 1
    assert samples["zeropool_queue_seconds_sum", ("double",)] == 0


def test_workers_are_counted_by_state_and_by_what_happened_to_them(world):
    world.worker_up("w1")
    world.worker_up("w2")
    world.register("w3")
    world.lose("w2")
    samples = scraped(world)
    assert samples["zeropool_workers", ("ready",)] == 1
    assert samples["zeropool_workers", ("connecting",)] == 1
    assert samples["zeropool_workers", ("draining",)] == 0
    assert samples["zeropool_worker_events_total", ("ready",)] == 2
    assert samples["zeropool_worker_events_total", ("lost",)] == 1
    assert samples["zeropool_model_workers", ("double",)] == 1


def test_what_waits_and_what_is_held_are_gauges(world):
    world.worker_up()
    world.call("double_predict", 1)
    world.call("double_predict", 2, call_id="2")
    samples = scraped(world)
    assert samples["zeropool_open_calls", ()] == 2
    assert samples["zeropool_in_flight_tasks", ()] == 1
    assert samples["zeropool_queue_calls", ("double",)] == 1
    assert samples["zeropool_queue_limit_calls", ("double",)] == 10_000
    assert samples["zeropool_held_bytes", ()] > 0
    assert samples["zeropool_clients", ()] == 1


def test_what_is_dropped_and_refused_is_counted_by_reason(world):
    world.worker_up()
    world.from_client("c1", b"garbage")
    world.call("no_such_method")
    samples = scraped(world)
    assert samples["zeropool_dropped_total", ("malformed",)] == 1
    assert samples["zeropool_refused_total", ("NameError",)] == 1


def test_what_is_shed_is_counted_by_model_and_reason(world):
    world.worker_up(models=[model_info(max_queue=1)])
    for number in range(4):
        world.call("double_predict", 1, call_id=f"{number}")
    samples = scraped(world)
    assert samples["zeropool_shed_total", ("double", "queue")] == 2
    assert samples["zeropool_requests_total", ("double", "Overloaded")] == 2


def test_a_gateway_tells_what_runs(world):
    samples = scraped(world)
    assert samples["zeropool_build_info", ("zeropool", "1.0")] == 1
    assert samples["process_open_fds", ()] > 0


@pytest.mark.parametrize("name", ['quo"te', "new\nline", "back\\slash", "ünïcode"])
def test_no_name_of_a_model_breaks_the_form(world, name):
    world.worker_up(models=[model_info(name)])
    assert scraped(world)["zeropool_model_workers", (name,)] == 1


def test_openmetrics_is_given_to_who_asks_for_it(world):
    world.worker_up()
    world.call("double_predict", 1)
    world.answer()
    body, content_type = expose(snapshot(world.gateway, connections=1, least_models=1), OPENMETRICS)
    assert content_type.startswith("application/openmetrics-text")
    families = list(openmetrics_parser.text_string_to_metric_families(body.decode()))
    assert "zeropool_requests" in {family.name for family in families}


@pytest.mark.parametrize(
    "accept",
    ["*/*", "text/plain;version=1.x", "text/plain;version=1.0.0", "\xe9", ",;=", "a" * 8000],
)
def test_whatever_somebody_accepts_there_is_text(world, accept):
    body, content_type = expose(snapshot(world.gateway, connections=1, least_models=1), accept)
    assert content_type.startswith("text/plain")
    assert list(parser.text_string_to_metric_families(body.decode()))


def test_an_odd_version_of_openmetrics_gets_the_one_there_is(world):
    accept = f"{OPENMETRICS};version=new"
    _, content_type = expose(snapshot(world.gateway, connections=1, least_models=1), accept)
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")


def test_every_metric_has_a_help_text(world):
    body, _ = expose(snapshot(world.gateway, connections=1, least_models=1), "")
    families = parser.text_string_to_metric_families(body.decode())
    assert [family.name for family in families if not family.documentation] == []
