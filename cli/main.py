"""The `zeropool` command line: options in, exit code out.

Each command imports what it needs when it runs, so that `zeropool call` does not pay for a
gateway.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

from zeropool.cli.exits import EXIT_CONFIG, EXIT_ERROR, EXIT_INTERRUPTED, EXIT_USAGE
from zeropool.shared import config as configuration
from zeropool.shared import endpoints, logs
from zeropool.shared.config import Config
from zeropool.shared.errors import ConfigError, ModelRefused

#: Options that set a configuration key: the key, and how the option is called in errors.
OPTION_NAMES = {
    "gateway.bind": "--bind",
    "gateway.workers_bind": "--workers-bind",
    "gateway.insecure_public": "--insecure-public",
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    options = _parse(argv)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except (ConfigError, ModelRefused) as error:
        return _complain(str(error), EXIT_CONFIG)
    except BrokenPipeError:
        # The reader of our output has seen enough; flushing at exit would complain again.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_ERROR
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the options, which may also stand between METHOD and its arguments."""
    parser = _parser()
    # argparse closes the list of arguments at the first option behind METHOD.
    options, rest = parser.parse_known_args(argv)
    unknown = [text for text in rest if "arguments" not in options or _is_option(text)]
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    if rest:
        options.arguments += rest
    return options


def _is_option(text: str) -> bool:
    return text.startswith("-") and not text[1:2].isdigit()


def _complain(message: str, exit_code: int) -> int:
    sys.stderr.write(f"zeropool: {message}\n")
    return exit_code


# Commands that serve


def _serve(options: argparse.Namespace) -> int:
    config = _load(options)
    logs.configure(config.log.level, "serve", sys.stderr)
    from zeropool.cli.serve import serve  # noqa: PLC0415 - see the module's docstring

    return serve(config, lambda: _load(options))


def _gateway(options: argparse.Namespace) -> int:
    config = _load(options)
    logs.configure(config.log.level, "gateway", sys.stderr)
    from zeropool.gateway.server import Server  # noqa: PLC0415 - see the module's docstring

    Server(config, configuration.workers_endpoint(config, _runtime_dir())).run()
    return 0


def _worker(options: argparse.Namespace) -> int:
    config = _load(options)
    role = "worker" if options.index is None else f"worker-{options.index}"
    logs.configure(config.log.level, role, sys.stderr)
    from zeropool.workers.start import work  # noqa: PLC0415 - see the module's docstring

    runtime_dir = _runtime_dir()
    gateways = config.worker.gateways or [configuration.workers_endpoint(config, runtime_dir)]
    work(config, index=options.index, gateways=gateways, runtime_dir=runtime_dir)
    return 0


def _runtime_dir() -> Path:
    from zeropool.shared.rundir import ensure_private_dir  # noqa: PLC0415 - as above

    path = configuration.runtime_dir(os.environ)
    ensure_private_dir(path)
    return path


# Commands that call


def _call(options: argparse.Namespace) -> int:
    from zeropool.cli.call import (  # noqa: PLC0415 - see the module's docstring
        READING_ONLY,
        BadArgument,
        CallFailed,
        ask,
        parse_arguments,
        print_json,
        repeating,
    )

    try:
        arguments = parse_arguments(options.arguments)
    except BadArgument as error:
        return _complain(str(error), EXIT_USAGE)
    retry = repeating(options.method) if options.retry else READING_ONLY
    try:
        for value in ask(_endpoint(options), options.method, arguments, options.timeout, retry):
            print_json(value, sys.stdout)
    except CallFailed as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_ERROR
    return 0


def _models(options: argparse.Namespace) -> int:
    from zeropool.cli.call import print_models  # noqa: PLC0415 - see the module's docstring

    return _report(options, "get_models", print_models)


def _status(options: argparse.Namespace) -> int:
    from zeropool.cli.call import print_status  # noqa: PLC0415 - see the module's docstring

    return _report(options, "get_status", print_status)


def _report(options: argparse.Namespace, method: str, show: Callable[..., None]) -> int:
    from zeropool.cli.call import CallFailed, ask, print_json  # noqa: PLC0415 - as above

    try:
        for answer in ask(_endpoint(options), method, [], options.timeout):
            (print_json if options.json else show)(answer, sys.stdout)
    except CallFailed as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_ERROR
    return 0


def _endpoint(options: argparse.Namespace) -> str:
    if options.connect is not None:
        return str(options.connect)
    return configuration.client_endpoint(_load(options))


# Options


def _load(options: argparse.Namespace) -> Config:
    given = vars(options)
    flags = {key: given[key] for key in OPTION_NAMES if key in given}
    return configuration.load(options.config, os.environ, flags, OPTION_NAMES)


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


def _index(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text}: expected an integer ≥ 0")
    return int(text)


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of the examples."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="zeropool",
        description="Serve machine-learning models to ZeroRPC clients from a pool of workers.",
        epilog=f"example:\n  zeropool serve\n  zeropool call iris_model_predict '{_ROW}'",
        formatter_class=_Formatter,
    )
    parser.add_argument(
        "--version", action="version", version=f"zeropool {metadata.version('zeropool')}"
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_serving(commands)
    _add_calling(commands)
    return parser


_Commands = argparse._SubParsersAction  # noqa: SLF001 - argparse gives its type no public name


def _add(
    commands: _Commands[argparse.ArgumentParser],
    name: str,
    command: Callable[[argparse.Namespace], int],
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
    parser.set_defaults(command=command)
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
        _serve,
        "run a gateway and its workers",
        "zeropool serve --bind tcp://127.0.0.1:4242 --workers 2",
    )
    serve.epilog = f"{serve.epilog}\n\n{_SERVE_SIGNALS}"
    _option(serve, "gateway.bind", "ENDPOINT", _BIND_HELP)
    _option(serve, "worker.count", "N", "number of workers (default: one per core)")
    _add_http(serve)
    _add_public(serve)
    _add_log_level(serve)
    gateway = _add(
        commands,
        "gateway",
        _gateway,
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
        _worker,
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
        _call,
        "call a method and print the answer as JSON, a stream as a line for each item",
        f"zeropool call iris_model_predict '{_ROW}'",
    )
    call.add_argument("method", metavar="METHOD", help="for instance get_models")
    call.add_argument("arguments", metavar="JSON", nargs="*", help="arguments, each as JSON")
    call.add_argument(
        "--retry",
        action="store_true",
        help="the prediction is safe to repeat: call again, within the timeout, if the service is "
        "overloaded or goes away (calls that only read always are)",
    )
    models = _add(commands, "models", _models, "list the models that are served", "zeropool models")
    status = _add(
        commands, "status", _status, "show workers, queues and rates", "zeropool status --json"
    )
    for parser in (call, models, status):
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
            help="wait this long for the first answer, and let the service know (default: 30)",
        )
    for parser in (models, status):
        parser.add_argument("--json", action="store_true", help="print JSON")


if __name__ == "__main__":
    sys.exit(main())
