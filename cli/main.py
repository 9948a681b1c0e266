"""The `zeropool` command line: options in, exit code out.

Each command imports what it needs when it runs, so that `zeropool call` does not pay for a
gateway.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from zeropool.cli.arguments import BadArgument, parse_arguments
from zeropool.cli.exits import EXIT_CONFIG, EXIT_ERROR, EXIT_INTERRUPTED, EXIT_USAGE
from zeropool.cli.options import OPTION_NAMES, parse
from zeropool.shared import config as configuration
from zeropool.shared import logs, native
from zeropool.shared.config import Config
from zeropool.shared.errors import ConfigError, ModelRefused


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    options = parse(argv)
    for file in [] if native.is_refused() else native.outdated():
        sys.stderr.write(f"zeropool: {file} has changed since it was compiled: `make install`\n")
    try:
        return COMMANDS[options.command](options)
    except BadArgument as error:
        return _complain(str(error), EXIT_USAGE)
    except (ConfigError, ModelRefused) as error:
        return _complain(str(error), EXIT_CONFIG)
    except BrokenPipeError:
        # The reader of our output has seen enough; flushing at exit would complain again.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_ERROR
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


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
        CallFailed,
        ask,
        print_json,
        repeating,
    )

    arguments = parse_arguments(options.arguments)
    retry = repeating(options.method) if options.retry else None
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


def _bench(options: argparse.Namespace) -> int:
    from zeropool.cli.bench.command import bench  # noqa: PLC0415 - see the module's docstring

    return bench(options, _endpoint(options), sys.stdout, sys.stderr)


def _endpoint(options: argparse.Namespace) -> str:
    if options.connect is not None:
        return str(options.connect)
    return configuration.client_endpoint(_load(options))


def _load(options: argparse.Namespace) -> Config:
    given = vars(options)
    flags = {key: given[key] for key in OPTION_NAMES if key in given}
    return configuration.load(options.config, os.environ, flags, OPTION_NAMES)


#: What each command does with its options; it returns the exit code.
COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "serve": _serve,
    "gateway": _gateway,
    "worker": _worker,
    "call": _call,
    "models": _models,
    "status": _status,
    "bench": _bench,
}


if __name__ == "__main__":
    sys.exit(main())
