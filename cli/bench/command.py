"""`zeropool bench`: from options to a run, a table, files and an exit code."""

from __future__ import annotations

import argparse
import datetime as dt
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import TextIO

import msgspec

from zeropool.cli.arguments import BadArgument, parse_arguments, parse_json
from zeropool.cli.bench import plot, report
from zeropool.cli.bench.job import BenchFailed, Job, packed, packed_lines, require_place_for
from zeropool.cli.bench.result import Findings, Mode, Point, Target
from zeropool.cli.bench.run import Run
from zeropool.cli.bench.trial import Rules
from zeropool.cli.exits import EXIT_ERROR, EXIT_INTERRUPTED


def bench(options: argparse.Namespace, endpoint: str, out: TextIO, errors: TextIO) -> int:
    """Measure, write what was asked for, and return the exit code.

    Raises:
        BadArgument: something cannot be done as it was asked for.
    """
    job = job_of(options, endpoint)
    began_at = dt.datetime.now(dt.UTC)
    run = Run(job, _show_on(errors))
    points: list[Point] = []
    failure = _measure(run, job.target, points, out)
    if run.is_interrupted and not points:
        failure = failure or "interrupted before anything was measured"
    _say(out, *report.notes(job.target, points, run.messages))
    findings = Findings(
        zeropool=metadata.version("zeropool"),
        began_at=began_at.isoformat(timespec="seconds"),
        target=job.target,
        rules=job.rules,
        points=points,
        messages=run.messages,
    )
    # What an earlier run found is not given up for nothing.
    complaint = _write_files(options, findings) if points else ""
    failure = failure or complaint
    if failure:
        _say(errors, failure)
    if run.is_interrupted:
        return EXIT_INTERRUPTED
    return EXIT_ERROR if failure else 0


def _measure(run: Run, target: Target, points: list[Point], out: TextIO) -> str:
    """Add a point for each load, and say so; return why there are no more of them."""
    with run:
        try:
            run.connect()
            if not run.is_interrupted:
                _say(out, report.title(target), report.heading(target.mode))
            for point in run.points():
                points.append(point)
                _say(out, report.row(point))
        except BenchFailed as error:
            return str(error)
    return ""


def job_of(options: argparse.Namespace, endpoint: str) -> Job:
    """What the options ask for.

    Raises:
        BadArgument: it cannot be done.
    """
    if options.input is not None and options.arguments:
        raise BadArgument("the arguments come from --input or from the command line, not from both")
    for path in (options.json, options.csv, options.plot):
        if path is not None:
            require_place_for(path)
    if options.plot is not None:
        _require_plot(options.plot)
    mode = Mode.RATE if options.rate is not None else Mode.CONCURRENCY
    return Job(
        target=Target(
            endpoint=endpoint,
            method=options.method,
            mode=mode,
            connections=options.connections,
            arrivals=options.arrivals if mode is Mode.RATE else "",
            timeout_s=options.timeout,
        ),
        loads=options.rate if mode is Mode.RATE else options.concurrency,
        rules=Rules(
            warm_up_s=options.warm_up,
            window_s=options.window,
            tolerance=options.stability / 100,
            max_windows=options.max_windows,
        ),
        requests=_requests(options),
        expected=None
        if options.expect is None
        else packed(parse_json(options.expect, "--expect"), "--expect"),
        heartbeat_s=options.heartbeat,
    )


def _requests(options: argparse.Namespace) -> list[bytes]:
    if options.input is None:
        return [packed(parse_arguments(options.arguments), "the arguments")]
    path: Path = options.input
    try:
        with path.open(encoding="utf-8") as lines:
            return packed_lines(lines, str(path))
    except OSError as error:
        raise BadArgument(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadArgument(f"{path} is no UTF-8: {error.reason} at byte {error.start}") from error


def _require_plot(path: Path) -> None:
    if path.suffix not in plot.FORMATS:
        raise BadArgument(f"--plot {path}: expected a name that ends with .svg or .png")
    if not plot.is_possible():
        raise BadArgument("--plot needs matplotlib, an extra: pip install 'zeropool[plot]'")


def _write_files(options: argparse.Namespace, findings: Findings) -> str:
    """Write what was asked for; return why that did not go."""
    try:
        if options.json is not None:
            text = msgspec.json.format(msgspec.json.encode(findings), indent=2)
            options.json.write_bytes(text + b"\n")
        if options.csv is not None:
            with options.csv.open("w", encoding="utf-8", newline="") as file:
                report.write_csv(findings.target, findings.points, file)
        if options.plot is not None:
            plot.draw(findings.target, findings.points, str(options.plot))
    except OSError as error:
        return f"{error.filename} cannot be written: {error.strerror}"
    return ""


def _say(out: TextIO, *lines: str) -> None:
    out.writelines(f"{line}\n" for line in lines)
    out.flush()


def _show_on(terminal: TextIO) -> Callable[[str], None]:
    def show(text: str) -> None:
        if terminal.isatty():
            terminal.write(text)
            terminal.flush()

    return show
