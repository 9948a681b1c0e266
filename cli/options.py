"""The options of every command: from a command line to names and values, or to a message."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from zeropool.cli.bench import ranges
from zeropool.shared import config as configuration
from zeropool.shared import endpoints, native
from zeropool.shared.wire.heartbeat import BEAT_INTERVAL_S

#: Options that set a configuration key: the key, and how the option is called in errors.
OPTION_NAMES = {
    "gateway.bind": "--bind",
    "gateway.workers_bind": "--workers-bind",
    "gateway.insecure_public": "--insecure-public",
    "serve.gateways": "--gateways",
    "worker.count": "--workers",
    "worker.bind": "--worker-bind",
    "worker.gateways": "--gateway",
    "http.bind": "--http",
    "log.level": "--log-level",
}

_ROW = '{"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}'

_BIND_HELP = f"where clients connect (default: {configuration.DEFAULT_BIND})"

_SERVE_SIGNALS = """signals:
  HUP        read the configuration again, replace the workers one by one
  TTIN TTOU  one worker more, one less
  TERM       answer what was accepted, then end
  INT QUIT   end at once"""

_BENCH_RANGES = """ranges:
  8           one load
  1,4,16      several
  100:500:50  from, to, step
  1:256:2x    from, to, factor"""

#: What is counted on the command line, windows or connections, is less on any machine.
MAX_COUNT = 10_000


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the options, which may also stand between METHOD and its arguments."""
    commands = parser()
    # argparse closes the list of arguments at the first option behind METHOD.
    options, rest = commands.parse_known_args(argv)
    unknown = [text for text in rest if "arguments" not in options or _is_option(text)]
    if unknown:
        commands.error(f"unrecognized arguments: {' '.join(unknown)}")
    if rest:
        options.arguments += rest
    return options


def _is_option(text: str) -> bool:
    return text.startswith("-") and not text[1:2].isdigit()


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text}: expected a number > 0")
    return seconds


def _peer(text: str) -> str:
    try:
        endpoints.check(text, endpoints.Use.CONNECT)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text}: {error}") from error
    return text


def _count(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= MAX_COUNT:
        raise argparse.ArgumentTypeError(f"{text}: expected an integer from 1 to {MAX_COUNT}")
    return int(text)


def _loads(read: Callable[[str], tuple[float, ...]]) -> Callable[[str], tuple[float, ...]]:
    def loads(text: str) -> tuple[float, ...]:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text}: {error}") from error

    return loads


def _index(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text}: expected an integer ≥ 0")
    return int(text)


class _Version(argparse.Action):
    """Looks the version up only when it is asked for: that takes longer than all other options."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Print it, and end."""
        from importlib import metadata  # noqa: PLC0415 - see above

        form = "compiled" if native.is_used() else "Python source"
        sys.stdout.write(f"zeropool {metadata.version('zeropool')} ({form})\n")
        parser.exit()


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of the examples."""


def parser() -> argparse.ArgumentParser:
    """The parser of all commands; `command` is the name of the one that was chosen."""
    parser = argparse.ArgumentParser(
        prog="zeropool",
        description="Serve machine-learning models to ZeroRPC clients from a pool of workers.",
        epilog=f"example:\n  zeropool serve\n  zeropool call iris_model_predict '{_ROW}'",
        formatter_class=_Formatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version, and end")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_serving(commands)
    _add_calling(commands)
    _add_bench(commands)
    return parser


_Group = argparse._ArgumentGroup  # noqa: SLF001 - likewise
_Commands = argparse._SubParsersAction  # noqa: SLF001 - argparse gives its type no public name


def _add(
    commands: _Commands[argparse.ArgumentParser],
    name: str,
    summary: str,
    example: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"example:\n  {example}",
        formatter_class=_Formatter,
    )
    parser.set_defaults(command=name)
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="configuration file (default: zeropool.toml, if there is one)",
    )
    return parser


def _option(parser: argparse.ArgumentParser, key: str, metavar: str, text: str) -> None:
    parser.add_argument(OPTION_NAMES[key], dest=key, metavar=metavar, help=text)


def _add_public(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        OPTION_NAMES["gateway.insecure_public"],
        dest="gateway.insecure_public",
        action="store_true",
        default=None,
        help="allow addresses that other hosts can reach, without encryption",
    )


def _add_http(parser: argparse.ArgumentParser) -> None:
    text = "serve metrics and health by HTTP, for instance 127.0.0.1:9100 (default: not at all)"
    _option(parser, "http.bind", "HOST:PORT", text)


def _add_log_level(parser: argparse.ArgumentParser) -> None:
    _option(parser, "log.level", "LEVEL", "DEBUG, INFO, WARNING or ERROR (default: INFO)")


def _add_serving(commands: _Commands[argparse.ArgumentParser]) -> None:
    serve = _add(
        commands,
        "serve",
        "run a gateway and its workers",
        "zeropool serve --bind tcp://127.0.0.1:4242 --workers 2",
    )
    serve.epilog = f"{serve.epilog}\n\n{_SERVE_SIGNALS}"
    _option(serve, "gateway.bind", "ENDPOINT", _BIND_HELP)
    _option(serve, "worker.count", "N", "number of workers (default: one per core)")
    _option(serve, "serve.gateways", "N", "gateways that share the clients' port (default: 1)")
    _add_http(serve)
    _add_public(serve)
    _add_log_level(serve)
    gateway = _add(
        commands,
        "gateway",
        "run a gateway alone; workers join and leave at any time",
        "zeropool gateway --bind tcp://127.0.0.1:4242",
    )
    _option(gateway, "gateway.bind", "ENDPOINT", _BIND_HELP)
    _option(gateway, "gateway.workers_bind", "ENDPOINT", "where workers report (default: by ipc)")
    _add_http(gateway)
    _add_public(gateway)
    _add_log_level(gateway)
    worker = _add(
        commands,
        "worker",
        "run one worker",
        "zeropool worker --gateway tcp://127.0.0.1:4243",
    )
    worker.add_argument(
        OPTION_NAMES["worker.gateways"],
        dest="worker.gateways",
        action="append",
        metavar="ENDPOINT",
        help="where a gateway listens for workers; may be repeated "
        "(default: the gateway of this configuration on this machine)",
    )
    _option(worker, "worker.bind", "ENDPOINT", "where this worker takes its jobs")
    worker.add_argument(
        "--index",
        type=_index,
        metavar="N",
        help="number of this worker, from 0, for models that want only some workers",
    )
    _add_public(worker)
    _add_log_level(worker)


def _add_calling(commands: _Commands[argparse.ArgumentParser]) -> None:
    call = _add(
        commands,
        "call",
        "call a method and print the answer as JSON, a stream as a line for each item",
        f"zeropool call iris_model_predict '{_ROW}'",
    )
    call.add_argument("method", metavar="METHOD", help="for instance get_models")
    call.add_argument(
        "arguments", metavar="JSON", nargs="*", default=[], help="arguments, each as JSON"
    )
    call.add_argument(
        "--retry",
        action="store_true",
        help="the prediction is safe to repeat: call again, within the timeout, if the service is "
        "overloaded or goes away (calls that only read always are)",
    )
    models = _add(commands, "models", "list the models that are served", "zeropool models")
    status = _add(commands, "status", "show workers, queues and rates", "zeropool status --json")
    for parser in (call, models, status):
        _add_connection(parser, "wait this long for the first answer")
    for parser in (models, status):
        parser.add_argument("--json", action="store_true", help="print JSON")


def _add_connection(parser: argparse.ArgumentParser, patience: str) -> None:
    parser.add_argument(
        "--connect",
        type=_peer,
        metavar="ENDPOINT",
        help="the gateway (default: from the configuration)",
    )
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=30.0,
        metavar="SECONDS",
        help=f"{patience}, and let the service know (default: 30)",
    )


def _add_bench(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = _add(
        commands,
        "bench",
        "measure throughput and latencies of any ZeroRPC server under load",
        f"zeropool bench iris_model_predict '{_ROW}' --concurrency 1:64:2x",
    )
    parser.epilog = f"{parser.epilog}\n\n{_BENCH_RANGES}"
    parser.add_argument("method", metavar="METHOD", help="for instance iris_model_predict")
    parser.add_argument(
        "arguments", metavar="JSON", nargs="*", default=[], help="arguments, each as JSON"
    )
    _add_connection(parser, "give a call up after so long")
    _add_load(parser.add_argument_group("load"))
    _add_rules(parser.add_argument_group("how long a load is measured"))
    _add_output(parser.add_argument_group("output beside the table"))


def _add_load(group: _Group) -> None:
    mode = group.add_mutually_exclusive_group()
    mode.add_argument(
        "--concurrency",
        type=_loads(ranges.whole_numbers),
        default=(1,),
        metavar="RANGE",
        help="calls in flight; each answer is followed by the next call (default: 1)",
    )
    mode.add_argument(
        "--rate",
        type=_loads(ranges.numbers),
        metavar="RANGE",
        help="calls a second, whether or not earlier ones are answered; a call's latency counts "
        "from when it was due",
    )
    group.add_argument(
        "--arrivals",
        choices=("poisson", "steady"),
        default="poisson",
        help="how calls of --rate come: as from independent callers, or evenly (default: poisson)",
    )
    group.add_argument(
        "--connections",
        type=_count,
        default=1,
        metavar="N",
        help="connections that share the calls; each is a client of its own (default: 1)",
    )
    group.add_argument(
        "--input",
        type=Path,
        metavar="FILE",
        help="arguments, a line of JSON for each call, again from the top at the end: an array "
        "holds all arguments, anything else is the only one",
    )
    group.add_argument(
        "--expect",
        metavar="JSON",
        help="the answer that is right; others count as WrongAnswer (for a stream: its items)",
    )
    group.add_argument(
        "--heartbeat",
        type=_seconds,
        default=BEAT_INTERVAL_S,
        metavar="SECONDS",
        help=f"between heartbeats of a call that takes long (default: {BEAT_INTERVAL_S:g})",
    )


def _add_rules(group: _Group) -> None:
    group.add_argument(
        "--warm-up",
        type=_seconds,
        default=1.0,
        metavar="SECONDS",
        help="load before the first window, which does not count (default: 1)",
    )
    group.add_argument(
        "--window",
        type=_seconds,
        default=2.0,
        metavar="SECONDS",
        help="a load is looked at in windows of so long, or up to 5 times as long while they have "
        "fewer than 100 calls (default: 2)",
    )
    group.add_argument(
        "--stability",
        type=_seconds,
        default=10.0,
        metavar="PERCENT",
        help="it is stable when throughput and p99 of three windows in a row are so close to "
        "their mean (default: 10)",
    )
    group.add_argument(
        "--max-windows",
        type=_count,
        default=10,
        metavar="N",
        help="after so many windows it is said not to be stable (default: 10)",
    )


def _add_output(group: _Group) -> None:
    group.add_argument("--json", type=Path, metavar="FILE", help="all figures, each window's too")
    group.add_argument("--csv", type=Path, metavar="FILE", help="a line for each load")
    group.add_argument(
        "--plot",
        type=Path,
        metavar="FILE",
        help="a picture, .svg or .png (needs the extra zeropool[plot])",
    )
