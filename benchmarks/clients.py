"""The clients beside each other: `zerorpc.Client`, `Client` and `AsyncClient` on one gateway.

All are processes that live through the whole run. A round measures one after the other, so that
what disturbs a shared machine disturbs all; ratios are formed within rounds.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import msgspec
from callers import Round
from child import Child
from machine import Machine, this_machine
from page import with_part
from servers import ServerError, Zeropool

HERE = Path(__file__).resolve().parent
DEFAULT_OUTPUT = HERE / "results" / "clients.json"
DEFAULT_SECONDS = 1.0
DEFAULT_ROUNDS = 7
WORKERS = 2
#: The part of the page that a run writes.
PAGE_PART = "client"

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130


class Setup(msgspec.Struct, frozen=True):
    """One way of calling."""

    name: str
    #: See `callers.KINDS`.
    kind: str
    callers: int


ZERORPC_1 = Setup("zerorpc.Client, 1 caller", "zerorpc-greenlets", 1)
ZERORPC_32 = Setup("zerorpc.Client, 32 greenlets", "zerorpc-greenlets", 32)
ZERORPC_32_CLIENTS = Setup("32 zerorpc.Clients, 32 greenlets", "zerorpc-clients", 32)
CLIENT_1 = Setup("Client, 1 thread", "threads", 1)
CLIENT_8 = Setup("Client, 8 threads", "threads", 8)
CLIENT_32 = Setup("Client, 32 threads", "threads", 32)
ASYNC_1 = Setup("AsyncClient, 1 task", "tasks", 1)
ASYNC_32 = Setup("AsyncClient, 32 tasks", "tasks", 32)
ASYNC_256 = Setup("AsyncClient, 256 tasks", "tasks", 256)
MANY_32 = Setup("Client.predict_many, window of 32", "predict-many", 32)
MANY_256 = Setup("Client.predict_many, window of 256", "predict-many", 256)
ASYNC_MANY_256 = Setup("AsyncClient.predict_many, window of 256", "async-predict-many", 256)
SETUPS = (
    *(ZERORPC_1, ZERORPC_32, ZERORPC_32_CLIENTS, CLIENT_1, CLIENT_8, CLIENT_32),
    *(ASYNC_1, ASYNC_32, ASYNC_256, MANY_32, MANY_256, ASYNC_MANY_256),
)
#: What is compared with what (the fastest of these in the same round), and what it has to reach.
RATIOS = (
    (CLIENT_1, (ZERORPC_1,), 1.5),
    (CLIENT_32, (ZERORPC_32, ZERORPC_32_CLIENTS), 10.0),
    (CLIENT_8, (CLIENT_1,), 1.0),
    (ASYNC_1, (ZERORPC_1,), None),
    (ASYNC_32, (ZERORPC_32, ZERORPC_32_CLIENTS), 5.0),
    (MANY_32, (ZERORPC_32, ZERORPC_32_CLIENTS), None),
)


class Spread(msgspec.Struct, frozen=True):
    """A median over rounds, and how far they lie apart."""

    median: float
    lowest: float
    highest: float


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One setup over all rounds."""

    setup: Setup
    calls_per_s: Spread
    #: Microseconds of the client's CPU time for each call.
    cpu_us: Spread
    wrong: int
    rounds: list[Round]


class Ratio(msgspec.Struct, frozen=True, kw_only=True):
    """Calls a second of one setup by those of the fastest of others, round by round."""

    setup: str
    against: list[str]
    ratio: Spread
    at_least: float | None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that goes into the JSON file."""

    machine: Machine
    seconds: float
    lines: list[Line]
    ratios: list[Ratio]


class CallerFailed(Exception):  # noqa: N818 - says what happened
    """A process of a client ended before its time."""


def _start(setup: Setup, endpoint: str, seconds: float) -> Child:
    options = [f"--callers={setup.callers}", f"--seconds={seconds}"]
    command = [sys.executable, str(HERE / "callers.py"), setup.kind, endpoint, *options]
    return Child(command, talks=subprocess.PIPE)


def _measure(setup: Setup, child: Child) -> Round:
    told = ""
    with contextlib.suppress(BrokenPipeError):
        assert child.process.stdin is not None
        assert child.process.stdout is not None
        child.process.stdin.write("go\n")
        child.process.stdin.flush()
        told = child.process.stdout.readline()
    if not told:
        raise CallerFailed(f"{setup.name}: {child.last_words()}")
    return msgspec.json.decode(told, type=Round)


def run(setups: Sequence[Setup], seconds: float, rounds: int) -> dict[Setup, list[Round]]:
    """Measure each setup once in each round, after one that warms up and does not count.

    Raises:
        ServerError: the gateway did not start.
        CallerFailed: a client's process died.
    """
    measured: dict[Setup, list[Round]] = {setup: [] for setup in setups}
    with Zeropool(WORKERS).running() as server, contextlib.ExitStack() as stack:
        children = {
            setup: stack.enter_context(_start(setup, server.address, seconds)) for setup in setups
        }
        for number in range(rounds + 1):
            for setup, child in children.items():
                found = _measure(setup, child)
                if number:
                    measured[setup].append(found)
            sys.stderr.write(f"round {number} of {rounds}\n")
    return measured


def summarise(measured: dict[Setup, list[Round]]) -> tuple[list[Line], list[Ratio]]:
    """Medians and ratios."""
    lines = [
        Line(
            setup=setup,
            calls_per_s=_over(rounds, _rate),
            cpu_us=_over(rounds, lambda found: found.cpu_s / max(1, found.answers) * 1e6),
            wrong=sum(found.wrong for found in rounds),
            rounds=rounds,
        )
        for setup, rounds in measured.items()
    ]
    ratios = [
        Ratio(
            setup=setup.name,
            against=[other.name for other in others],
            ratio=_spread(
                [
                    _rate(found[0]) / max(map(_rate, found[1:]))
                    for found in zip(
                        measured[setup], *(measured[other] for other in others), strict=True
                    )
                ]
            ),
            at_least=at_least,
        )
        for setup, others, at_least in RATIOS
        if setup in measured and all(other in measured for other in others)
    ]
    return lines, ratios


def _rate(found: Round) -> float:
    return found.answers / found.seconds


def _over(rounds: Sequence[Round], value: Callable[[Round], float]) -> Spread:
    return _spread([value(found) for found in rounds])


def _spread(values: Sequence[float]) -> Spread:
    return Spread(median(values), min(values), max(values))


def markdown(report: Report) -> str:
    """The table, and the ratios below it."""
    rounds = len(report.lines[0].rounds)
    lines = [
        (
            f"Medians of {rounds} interleaved rounds, {report.seconds:g} s for each client; "
            f"gateway and {WORKERS} workers on the same {report.machine.cores} cores."
        ),
        "",
        "| client | calls/s | range | client's CPU µs/call | wrong |",
        "| --- | --- | --- | --- | --- |",
    ]
    for line in report.lines:
        rate, cpu = line.calls_per_s, line.cpu_us
        lines.append(
            f"| {line.setup.name} | {rate.median:,.0f} | {rate.lowest:,.0f} to {rate.highest:,.0f} "
            f"| {cpu.median:.0f} | {line.wrong} |"
        )
    lines.append("")
    for ratio in report.ratios:
        found = ratio.ratio
        wanted = f"; wanted: {ratio.at_least:g}" if ratio.at_least else ""
        lines.append(
            f"- {ratio.setup}: {found.median:.2f} times the calls/s of "
            f"{' or '.join(ratio.against)} ({found.lowest:.2f} to {found.highest:.2f}{wanted})"
        )
    return "\n".join(lines)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=DEFAULT_SECONDS, help="(%(default)s)")
    parser.add_argument("--rounds", type=int, default=DEFAULT_ROUNDS, help="(%(default)s)")
    parser.add_argument("--only", default="", metavar="TEXT", help="setups whose name has it")
    parser.add_argument("--page", type=Path, metavar="FILE", help="put the table into this page")
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT, help="JSON file")
    return parser.parse_args()


def main() -> int:
    """Measure, print, write the file; 1 if there was a wrong answer or something failed."""
    options = _options()
    # So that the children are stopped as on Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    setups = [setup for setup in SETUPS if options.only in setup.name]
    try:
        measured = run(setups, options.seconds, options.rounds)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; nothing is written\n")
        return EXIT_INTERRUPTED
    except (ServerError, CallerFailed) as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_FAILED
    lines, ratios = summarise(measured)
    report = Report(machine=this_machine(), seconds=options.seconds, lines=lines, ratios=ratios)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    if options.page:
        page = options.page.read_text()
        options.page.write_text(with_part(page, PAGE_PART, markdown(report)))
    print(markdown(report))
    return EXIT_FAILED if any(line.wrong for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main())
