"""What every experiment's command has in common: options, an end in any case, nothing left."""

import argparse
import faulthandler
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from chaos.findings import Findings

SEED = 20_261_123
#: An exit code of its own: the experiment did not end by itself.
EXIT_STUCK = 3


def options(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options that all experiments take."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=SEED, help="of everything that is chosen")
    parser.add_argument("--out", type=Path, default=None, help="JSON file for the findings")
    return parser


@contextmanager
def private_folder() -> Iterator[Path]:
    """A folder of mode 0700 whose name is short enough for sockets in it."""
    with tempfile.TemporaryDirectory(prefix="zp-") as path:
        yield Path(path)


def run(experiment: Callable[[], Findings], out: Path | None, *, limit_s: float) -> int:
    """Run an experiment to its end, within ``limit_s`` seconds at most; return the exit code."""
    signal.signal(signal.SIGTERM, _leave)
    watchdog = threading.Timer(limit_s, _end_by_force, (limit_s,))
    watchdog.daemon = True
    watchdog.start()
    try:
        return experiment().publish(out)
    finally:
        watchdog.cancel()
        _kill_descendants()


def _leave(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


def _end_by_force(limit_s: float) -> None:
    print(f"not finished after {limit_s:.0f} s: where it stands", file=sys.stderr)  # noqa: T201
    faulthandler.dump_traceback(all_threads=True)
    _kill_descendants()
    os._exit(EXIT_STUCK)


def _kill_descendants() -> None:
    descendants = psutil.Process().children(recursive=True)
    for process in descendants:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(descendants, timeout=5)
