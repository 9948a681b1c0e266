"""Iris predictions a second, and what each costs: Zeropool and its peers, side by side in one run.

Every round starts each server anew, then drives one after the other with the load generator of its
protocol, so that ratios between them survive a machine that others use too.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import usage
from chart import draw
from claims import CLAIMS, judge
from machine import this_machine
from page import with_part
from point import Point, measure
from servers import SERVERS, Running, Server, ServerError
from summary import Report, markdown, summarise

#: One call at a time shows the latency, 64 the throughput of a busy service, 256 its queueing.
IN_FLIGHT = (1, 64, 256)

#: Cores that other processes may keep busy during a point; beyond, it compares with no other point.
MOST_OTHER_CORES = 0.25
#: How often a point is measured at most, in the hope of a quieter machine.
TRIES = 3

DEFAULT_SECONDS = 2.0
DEFAULT_ROUNDS = 3
#: The part of the page that a run writes.
PAGE_PART = "peers"

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130


class Comparison:
    """All rounds: what was measured so far, and who could not be."""

    def __init__(self, servers: Sequence[Server], seconds: float) -> None:
        self.points: list[Point] = []
        self.peak_rss_mib: dict[str, dict[str, float]] = {}
        #: Why a server is left out, by its key.
        self.not_run: dict[str, str] = {}
        self._servers = servers
        self._seconds = seconds

    def __repr__(self) -> str:
        return f"<Comparison points={len(self.points)} not_run={len(self.not_run)}>"

    def take_over(self, earlier: Report) -> None:
        """Begin with what an earlier run measured."""
        self.points.extend(earlier.points)
        for key, peaks_mib in earlier.peak_rss_mib.items():
            self._keep_peaks(key, peaks_mib)

    def run_round(self, number: int) -> None:
        """Start each server once, and measure all of them at each number of calls in flight.

        Those that are not being measured idle meanwhile. Who stands first in one round does not in
        the next.
        """
        first = (number - 1) % len(self._servers)
        order = [*self._servers[first:], *self._servers[:first]]
        with contextlib.ExitStack() as all_stops:
            stops = {server: all_stops.enter_context(contextlib.ExitStack()) for server in order}
            running: dict[Server, Running] = {}
            for in_flight in IN_FLIGHT:
                for server in order:
                    if server not in running and not self._start(server, running, stops[server]):
                        continue
                    point = self._measure(server, running[server], in_flight, number)
                    self._keep_peaks(server.key, usage.peak_rss_mib(running[server].roles))
                    if not point.is_clean or not server.is_quiet_when_idle:
                        # One that failed is not trusted with the next point.
                        stops[server].close()
                        del running[server]

    def _start(
        self, server: Server, running: dict[Server, Running], stops: contextlib.ExitStack
    ) -> bool:
        if server.key in self.not_run:
            return False
        try:
            running[server] = stops.enter_context(server.running())
        except ServerError as error:
            sys.stderr.write(f"{error}\n")
            self.not_run[server.key] = str(error).splitlines()[-1]
        return server in running

    def _measure(self, server: Server, running: Running, in_flight: int, number: int) -> Point:
        tries: list[Point] = []
        while not tries or (len(tries) < TRIES and tries[-1].is_disturbed(MOST_OTHER_CORES)):
            tries.append(
                measure(
                    running,
                    server=server,
                    in_flight=in_flight,
                    seconds=self._seconds,
                    round_number=number,
                )
            )
        # A failure is the last, and stays one.
        point = tries[-1] if not tries[-1].is_clean else min(tries, key=_other_cores)
        self.points.append(point)
        _tell(server, point)
        return point

    def _keep_peaks(self, key: str, peaks_mib: dict[str, float]) -> None:
        kept = self.peak_rss_mib.setdefault(key, {})
        for role, peak_mib in peaks_mib.items():
            kept[role] = max(kept.get(role, 0.0), peak_mib)


def _other_cores(point: Point) -> float:
    return point.other_cores


def _tell(server: Server, point: Point) -> None:
    outcome = (
        f"{point.calls_per_s:9,.0f} calls/s  p50 {point.tally.p50_ms:7.2f} ms  "
        f"CPU {point.cpu_us(''):6.1f} µs/call"
        if point.is_clean
        else f"FAILED {point.failure}"
    )
    sys.stderr.write(
        f"round {point.round}  {server.name:30}  {point.in_flight:3} in flight  {outcome}\n"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0],
        epilog="example: python benchmarks/compare.py --only mosec --only zeropool-2 --rounds 1",
    )
    parser.add_argument(
        "--seconds", type=float, default=DEFAULT_SECONDS, help="for each point (%(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=DEFAULT_ROUNDS, help="(%(default)s)")
    parser.add_argument(
        "--only",
        action="append",
        choices=[server.key for server in SERVERS],
        help="measure this server; may be given several times (all)",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="write all points as JSON")
    parser.add_argument(
        "--add", action="store_true", help="add rounds to those that the output has, if any"
    )
    parser.add_argument("--page", type=Path, metavar="FILE", help="put the tables into this page")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="draw an SVG")
    return parser.parse_args()


def _run(options: argparse.Namespace) -> Report:
    servers = [server for server in SERVERS if not options.only or server.key in options.only]
    comparison = Comparison(servers, options.seconds)
    earlier_rounds, earlier_s = 0, 0.0
    if options.add and options.output and options.output.exists():
        earlier = msgspec.json.decode(options.output.read_bytes(), type=Report)
        comparison.take_over(earlier)
        earlier_rounds, earlier_s = earlier.rounds, earlier.duration_s
    began_at = time.monotonic()
    rounds = earlier_rounds + options.rounds
    for number in range(earlier_rounds + 1, rounds + 1):
        comparison.run_round(number)
    keys = [server.key for server in servers]
    return Report(
        machine=this_machine(),
        seconds=options.seconds,
        rounds=rounds,
        duration_s=earlier_s + time.monotonic() - began_at,
        servers={server.key: server.name for server in servers},
        not_run=comparison.not_run,
        verdicts=[
            judge(claim, comparison.points)
            for claim in CLAIMS
            if {claim.of, claim.against} <= set(keys)
        ],
        lines=summarise(comparison.points, keys),
        peak_rss_mib={
            key: comparison.peak_rss_mib[key] for key in keys if key in comparison.peak_rss_mib
        },
        points=comparison.points,
    )


def _write(report: Report, options: argparse.Namespace) -> bool:
    """Write what was asked for; tell whether all of it could be."""
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        text = msgspec.json.format(msgspec.json.encode(report), indent=1)
        options.output.write_bytes(text + b"\n")
    if options.page:
        page = options.page.read_text()
        options.page.write_text(with_part(page, PAGE_PART, markdown(report)))
    try:
        if options.chart:
            draw(report, options.chart)
    except ImportError as error:
        # Of what draws: as with a peer, the rest does not depend on it.
        sys.stderr.write(f"no chart: {error}\n")
        return False
    return True


def main() -> int:
    """Measure, print the tables, write what was asked for; 1 if anything is missing or failed."""
    options = _options()
    # So that the children are stopped as on Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        report = _run(options)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; nothing is written\n")
        return EXIT_INTERRUPTED
    # Before what can fail for want of a folder.
    print(markdown(report))
    return 0 if _write(report, options) and report.is_complete else EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main())
