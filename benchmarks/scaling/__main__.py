"""How Zeropool scales: workers, clients, gateways, payloads, rows; about three minutes for all.

    python benchmarks/scaling [PART …] [--output FILE] [--page FILE]

Prints a table for each and what must hold; the exit code is 1 where something does not. Load and
pool share the machine's cores; nothing else should run meanwhile. Linux only.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent))

import large_batch  # noqa: E402 - found by the path above, as are all that these import
import many_clients  # noqa: E402
import payloads  # noqa: E402
import sleeping  # noqa: E402
from figures import Report, markdown  # noqa: E402
from machine import this_machine  # noqa: E402
from page import with_part  # noqa: E402
from pool import PoolError  # noqa: E402

#: Where the tables stand in the page.
PAGE_PART = "scaling"
DEFAULT_OUTPUT = HERE.parent / "results" / "scaling.json"
EXIT_FAILED = 1
EXIT_INTERRUPTED = 130


def _workers(report: Report) -> None:
    bare_s = sleeping.bare_call_s()
    report.bare_call_ms = bare_s * 1000
    for count in sleeping.COUNTS:
        report.workers.append(sleeping.measure(count, bare_s))
        _tell(f"{count} workers: {report.workers[-1].calls_per_s:,.0f} calls/s")


def _clients(report: Report) -> None:
    report.clients = many_clients.measure_clients()


def _gateways(report: Report) -> None:
    report.gateways = many_clients.measure_gateways()


def _payloads(report: Report) -> None:
    report.payloads = payloads.measure()


def _rows(report: Report) -> None:
    report.rows = large_batch.measure(len(os.sched_getaffinity(0)))


PARTS: dict[str, Callable[[Report], None]] = {
    "workers": _workers,
    "clients": _clients,
    "gateways": _gateways,
    "payloads": _payloads,
    "rows": _rows,
}


def _tell(line: str) -> None:
    sys.stderr.write(line + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument(
        "--output", type=Path, default=DEFAULT_OUTPUT, help="JSON file (results/scaling.json)"
    )
    parser.add_argument("--page", type=Path, help="Markdown page whose part is written")
    options = parser.parse_args()
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    return options


def main() -> int:
    """Measure, print the tables, write the file; 1 if something that must hold does not."""
    options = _options()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    report = Report(machine=this_machine())
    try:
        for name in options.parts or PARTS:
            _tell(f"{name} …")
            PARTS[name](report)
    except KeyboardInterrupt:
        _tell("interrupted; nothing is written")
        return EXIT_INTERRUPTED
    except PoolError as error:
        _tell(str(error))
        return EXIT_FAILED
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    print(markdown(report))
    if options.page is not None:
        options.page.write_text(with_part(options.page.read_text(), PAGE_PART, markdown(report)))
    return EXIT_FAILED if any(not claim.holds for claim in report.claims()) else 0


if __name__ == "__main__":
    sys.exit(main())
