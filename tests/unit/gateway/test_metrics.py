"""When a gateway is ready for calls."""

from __future__ import annotations

from gateway_world import model_info

from zeropool.gateway.metrics import snapshot


def unready(world, least_models=1):
    return snapshot(world.gateway, connections=1, least_models=least_models).unready


def test_a_gateway_without_any_model_is_not_ready(world):
    assert unready(world) == ["workers have brought 0 of 1 models"]


def test_a_gateway_is_ready_when_every_model_has_a_ready_worker(world):
    world.worker_up()
    assert unready(world) == []


def test_a_worker_that_is_not_connected_yet_does_not_count(world):
    world.register()
    assert unready(world) == ["workers have brought 0 of 1 models"]


def test_the_death_of_the_last_worker_ends_readiness_and_the_next_one_brings_it_back(world):
    world.worker_up("w1")
    world.worker_up("w2")
    world.lose("w1")
    assert unready(world) == []
    world.lose("w2")
    assert unready(world) == ["no ready worker holds double"]
    world.worker_up("w3")
    assert unready(world) == []


def test_one_model_without_worker_is_enough(world):
    world.worker_up("w1", models=[model_info("one")])
    world.worker_up("w2", models=[model_info("two")])
    world.lose("w1")
    assert unready(world) == ["no ready worker holds one"]


def test_models_that_no_worker_has_brought_yet_are_waited_for(world):
    world.worker_up("w1", models=[model_info("one")])
    assert unready(world, least_models=2) == ["workers have brought 1 of 2 models"]


def test_a_draining_gateway_is_not_ready(world):
    world.worker_up()
    world.gateway.drain()
    assert unready(world) == ["draining"]
