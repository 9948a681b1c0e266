"""Points as a run would have measured them."""

from point import Point
from tally import Tally


def made_point(server: str, in_flight: int, round_number: int, **values: float) -> Point:
    """A point of one second; `calls_per_s`, `p50_ms`, `cpu_us` and `unanswered` may be said."""
    answers = int(values.get("calls_per_s", 100))
    return Point(
        server=server,
        in_flight=in_flight,
        round=round_number,
        tally=Tally(
            in_flight=in_flight,
            seconds=1.0,
            answers=answers,
            errors={},
            unanswered=int(values.get("unanswered", 0)),
            p50_ms=values.get("p50_ms", 1.0),
            p99_ms=2.0,
            max_ms=3.0,
            cpu_s=0.1,
            python_cpu_s=0.1,
        ),
        cpu_s={"server": values.get("cpu_us", 10.0) * answers / 1e6},
    )
