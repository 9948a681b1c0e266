"""The first measurement: iris predictions a second, Zeropool beside a `zerorpc.Server`.

Every round starts each server anew, then drives one after the other with the same load generator,
so that ratios between them survive a machine that others use too.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from pathlib import Path

import msgspec
import usage
from machine import this_machine
from point import Point, measure
from report import Report, markdown, summarise
from servers import Baseline, Running, Server, ServerError, Zeropool

#: One call at a time shows the latency, 64 the throughput of a busy service, 256 its queueing.
IN_FLIGHT = (1, 64, 256)
#: The first one is what the others are compared with.
SERVERS: tuple[Server, ...] = (Baseline(), Zeropool(workers=1), Zeropool(workers=2))

DEFAULT_SECONDS = 3.0
DEFAULT_ROUNDS = 5
DEFAULT_OUTPUT = Path(__file__).resolve().parent / "results" / "first.json"

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130


class Measurement:
    """All rounds: what was measured so far."""

    def __init__(self, seconds: float) -> None:
        self.points: list[Point] = []
        self.peak_rss_mib: dict[str, dict[str, float]] = {}
        self._seconds = seconds

    def __repr__(self) -> str:
        return f"<Measurement points={len(self.points)}>"

    def run_round(self, number: int) -> None:
        """Start each server once, and measure all of them at each number of calls in flight.

        Those that are not being measured idle meanwhile.

        Raises:
            ServerError: one of them did not start.
        """
        with contextlib.ExitStack() as all_stops:
            stops = {server: all_stops.enter_context(contextlib.ExitStack()) for server in SERVERS}
            running = {server: stops[server].enter_context(server.running()) for server in SERVERS}
            for in_flight in IN_FLIGHT:
                for server in SERVERS:
                    point = self._measure(server, running[server], in_flight, number)
                    if not point.is_clean:
                        # It is not trusted with the next point.
                        stops[server].close()
                        running[server] = stops[server].enter_context(server.running())
            for server in SERVERS:
                self._keep_peaks(server.name, usage.peak_rss_mib(running[server].roles))

    def _measure(self, server: Server, running: Running, in_flight: int, number: int) -> Point:
        point = measure(
            running,
            server=server.name,
            in_flight=in_flight,
            seconds=self._seconds,
            round_number=number,
        )
        self.points.append(point)
        _tell(point)
        return point

    def _keep_peaks(self, server: str, peaks_mib: dict[str, float]) -> None:
        kept = self.peak_rss_mib.setdefault(server, {})
        for role, peak_mib in peaks_mib.items():
            kept[role] = max(kept.get(role, 0.0), peak_mib)


def _tell(point: Point) -> None:
    outcome = f"{point.calls_per_s:9,.0f} calls/s" if point.is_clean else f"FAILED {point.failure}"
    sys.stderr.write(
        f"round {point.round}  {point.server:19}  {point.in_flight:3} in flight  {outcome}\n"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0],
        epilog="example: python benchmarks/first.py --seconds 2 --rounds 3 --output first.json",
    )
    parser.add_argument(
        "--seconds", type=float, default=DEFAULT_SECONDS, help="for each point (%(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=DEFAULT_ROUNDS, help="(%(default)s)")
    parser.add_argument(
        "--output", type=Path, default=DEFAULT_OUTPUT, help="JSON file (results/first.json)"
    )
    return parser.parse_args()


def main() -> int:
    """Measure, print the table, write the file; 1 if any point failed."""
    options = _options()
    # So that the children are stopped as on Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    measurement = Measurement(options.seconds)
    try:
        for number in range(1, options.rounds + 1):
            measurement.run_round(number)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; nothing is written\n")
        return EXIT_INTERRUPTED
    except ServerError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_FAILED
    report = Report(
        machine=this_machine(),
        seconds=options.seconds,
        rounds=options.rounds,
        lines=summarise(measurement.points),
        peak_rss_mib=measurement.peak_rss_mib,
        points=measurement.points,
    )
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    print(markdown(report))
    return EXIT_FAILED if any(line.failures for line in report.lines) else 0


if __name__ == "__main__":
    sys.exit(main())
