"""The page for people: what it shows, and that nobody's name becomes markup."""

from __future__ import annotations

from gateway_world import model_info

from zeropool.gateway.metrics import snapshot
from zeropool.gateway.page import MAX_WORKERS, page


def text(world):
    return page(snapshot(world.gateway, connections=1, least_models=1)).decode()


def test_a_gateway_without_workers_says_why_it_is_not_ready(world):
    assert "not ready: workers have brought 0 of 1 models" in text(world)


def test_models_and_workers_have_a_row_each(world):
    world.worker_up()
    world.call("double_predict", 1)
    world.answer(busy_s=0.002)
    shown = text(world)
    assert '<p class="good">ready</p>' in shown
    assert "<td>double</td><td>1</td><td>0 of 10000</td><td>2.0</td><td>1</td><td>0</td>" in shown
    assert "<td>w1</td><td>ready</td><td>7</td><td>host</td>" in shown


def test_names_of_models_and_exceptions_are_text(world):
    world.worker_up(models=[model_info("<script>alert(1)</script>")])
    world.gateway.dispatcher.queues["<script>alert(1)</script>"].tally.ended("<b>Bold</b>")
    assert "<script>" not in text(world)
    assert "<b>" not in text(world)
    assert "&lt;script&gt;" in text(world)


def test_very_many_workers_are_counted_instead_of_listed(make_world):
    world = make_world(max_workers=2 * MAX_WORKERS)
    for number in range(MAX_WORKERS + 3):
        world.worker_up(f"w{number}")
    assert "and 3 more" in text(world)
