"""The page on observability names every metric, and none that does not exist."""

import re
from pathlib import Path

from prometheus_client import parser

from zeropool.gateway.core import Gateway
from zeropool.gateway.exposition import expose
from zeropool.gateway.limits import Limits
from zeropool.gateway.metrics import snapshot

PAGE = (Path(__file__).parents[2] / "docs" / "observability.md").read_text()
LIMITS = Limits(
    max_request_bytes=1,
    max_reply_bytes=1,
    max_held_bytes=1,
    max_unread_bytes=1,
    max_attempts=1,
    max_workers=1,
    startup_grace_s=1.0,
    stream_idle_s=1.0,
)
#: Endings of a histogram's series, which queries name.
SERIES = re.compile(r"_(bucket|sum|count)\b")


def exposed_names():
    gateway = Gateway("zeropool", "1.0", "gw", LIMITS, now=0.0)
    body, _ = expose(snapshot(gateway, connections=0, least_models=1), "")
    return {
        family.name + ("_total" if family.type == "counter" else "")
        for family in parser.text_string_to_metric_families(body.decode())
        if family.name.startswith("zeropool_")
    }


def test_every_metric_stands_on_the_page():
    table = PAGE.split("## Metrics")[1].split("```")[0]
    assert [name for name in exposed_names() if f"`{name}`" not in table] == []


def test_the_page_names_no_metric_that_does_not_exist():
    named = {SERIES.sub("", name) for name in re.findall(r"\bzeropool_[a-z_]+", PAGE)}
    assert named <= exposed_names()
