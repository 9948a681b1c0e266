"""Workers that have answered enough are replaced one by one, under load, and no call notices."""

import pytest
from harness import model_tables, wait_until
from supervisor_rig import steady_load

MODEL = model_tables("fixture_models.slow.SleepyEchoModel", max_batch_size=4)
LEAK = model_tables("fixture_models.slow.LeakyEchoModel", max_batch_size=4)
LIMITS = {
    "requests": f"worker.max_requests = 40\n{MODEL}",
    # Without its leak, a worker takes up some 50 MiB.
    "memory": f"worker.max_rss_mb = 150\n{LEAK}",
}
WORKERS = 3


def ready_pids(service) -> set[int]:
    status = service.call("get_status")
    return {worker["pid"] for worker in status["workers"] if worker["state"] == "ready"}


@pytest.mark.parametrize("limit", LIMITS)
def test_all_workers_are_replaced_under_load_and_no_call_fails(serve, limit):
    service = serve(LIMITS[limit], workers=WORKERS).ready()
    first = ready_pids(service)
    seen: list[int] = []

    def all_were_replaced() -> bool:
        now = ready_pids(service)
        seen.append(len(now))
        return not now & first

    with steady_load(service.endpoint) as load:
        wait_until(all_were_replaced, "other processes", timeout_s=60.0)
    assert load["failures"] == []
    assert min(seen) >= WORKERS - 1
    service.wait_for_output("recycled", times=WORKERS)
    assert " died" not in service.output
    assert service.call("get_status")["redispatched"] == 0


def test_a_limit_of_memory_that_the_models_exceed_is_ignored_with_a_warning(serve):
    service = serve(f"worker.max_rss_mb = 1\n{MODEL}", workers=1).ready()
    service.wait_for_output("max_rss_mb is less than the models need")


def test_the_only_worker_is_replaced_and_calls_wait_for_its_successor(serve):
    service = serve(f"worker.max_requests = 40\n{MODEL}", workers=1).ready()
    with steady_load(service.endpoint) as load:
        service.wait_for_output("recycled", times=2)
    assert load["failures"] == []
