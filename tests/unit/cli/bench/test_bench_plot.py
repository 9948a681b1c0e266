"""That a picture is drawn of whatever a run found, and says what it shows."""

import pytest
from bench_points import BY_RATE, NONE, TARGET, point

from zeropool.cli.bench.plot import draw
from zeropool.cli.bench.trial import Phase

FINDINGS = {
    "a sweep": (TARGET, [point(load=load) for load in (1, 8, 64)]),
    "one load": (TARGET, [point()]),
    "rates": (BY_RATE, [point(load=100.0), point(load=150.5)]),
    "errors": (TARGET, [point(load=1, errors={"Overloaded": 5}), point(load=2)]),
    "no answers": (TARGET, [point(answers=0, answers_per_s=0.0, latency_ms=NONE)]),
    "not stable": (TARGET, [point(load=1, verdict=Phase.UNSTABLE), point(load=2)]),
}


@pytest.mark.parametrize(("target", "points"), FINDINGS.values(), ids=FINDINGS)
@pytest.mark.parametrize(("ending", "head"), [("svg", b"<?xml"), ("png", b"\x89PNG")])
def test_a_picture_is_drawn_of_any_findings(tmp_path, target, points, ending, head):
    picture = tmp_path / f"found.{ending}"

    draw(target, points, str(picture))

    assert picture.read_bytes().startswith(head)


def test_a_picture_that_has_no_place_is_told(tmp_path):
    with pytest.raises(FileNotFoundError):
        draw(TARGET, [point()], str(tmp_path / "nowhere" / "found.svg"))
