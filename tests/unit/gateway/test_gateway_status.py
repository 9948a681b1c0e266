"""The snapshot that operators see."""

from __future__ import annotations

from zeropool.gateway.budget import CALL_BYTES


def test_the_status_counts_calls_workers_and_drops(world):
    world.worker_up()
    world.call("double_predict", 1)
    world.now = 1.0
    world.answer(busy_s=0.002)
    world.call("double_predict", 2, call_id="2")
    world.from_client("c1", b"garbage")
    world.now = 2.0
    world.call("get_status", call_id="3")
    _, (status,) = world.reply(call_id="3")
    assert status == {
        "name": "zeropool",
        "version": "1.0",
        "gateway": "gw1",
        "state": "serving",
        "uptime_s": 2.0,
        "clients": 1,
        "open_calls": 1,
        "calls_per_s": 0.3,
        "held_bytes": 2 + CALL_BYTES,
        "redispatched": 0,
        "dropped": {"malformed": 1},
        "models": [
            {
                "qualified_name": "double",
                "waiting": 0,
                "max_queue": 10_000,
                "workers": 1,
                "row_ms": 2.0,
                "outcomes": {"OK": 1},
            }
        ],
        "workers": [
            {
                "worker": "w1",
                "state": "ready",
                "pid": 7,
                "host": "host",
                "models": ["double"],
                "in_flight": 1,
                "held_rows": 1,
                "answered_rows": 1,
                "silent_s": 1.0,
                "busy_s": 0.002,
            }
        ],
    }
