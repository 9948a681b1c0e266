"""What runs inside the child processes of `zeropool serve`, and how they hang on their parent.

Configuration comes in and readiness goes out as MessagePack over a pipe.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec

from zeropool.cli.exits import EXIT_CONFIG
from zeropool.shared import logs
from zeropool.shared.config import Config
from zeropool.shared.errors import ConfigError, ModelRefused
from zeropool.shared.model import ModelInfo
from zeropool.shared.ports.listening import Port

#: linux/prctl.h
PR_SET_PDEATHSIG = 1

#: A terminal sends these to the whole group, as does its end; they are the parent's business.
PARENTS_SIGNALS = (signal.SIGINT, signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU)


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when its parent ends, in whatever way.

    KILL, as a worker that computes in C would not see TERM for as long as it computes.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent_pid:
        # The parent was gone before the kernel knew that we care.
        os._exit(1)


def _prepare(parent_pid: int, level: str, role: str) -> None:
    # The parent had them blocked when it started this process, so that none ended it before.
    for number in PARENTS_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PARENTS_SIGNALS)
    die_with_parent(parent_pid)
    logs.configure(level, role, sys.stderr)


def gateway_child(parent_pid: int, packed: bytes, role: str, endpoint: str) -> None:
    """Run a gateway; exit with `EXIT_CONFIG` where it cannot run at all."""
    config = msgspec.msgpack.decode(packed, type=Config)
    _prepare(parent_pid, config.log.level, role)
    from zeropool.gateway.server import Server  # noqa: PLC0415 - a worker needs none of it

    port = Port.SHARED if config.serve.gateways > 1 else Port.OWN
    try:
        # Each table is one model of another name.
        least_models = len(config.models)
        Server(
            config, endpoint, least_models=least_models, port=port, ignored=PARENTS_SIGNALS
        ).run()
    except ConfigError as error:
        _refuse(str(error))


def worker_child(  # noqa: PLR0913, PLR0917 - the whole of what a spawned process gets to know
    parent_pid: int,
    packed: bytes,
    index: int,
    gateways: list[str],
    runtime_dir: str,
    ready: Any,  # noqa: ANN401 - a connection; multiprocess has no types
) -> None:
    """Run worker ``index``; exit with `EXIT_CONFIG` where its models cannot be served.

    ``ready`` is the sending end of a pipe and gets the models' infos when all gateways know it.
    """
    config = msgspec.msgpack.decode(packed, type=Config)
    _prepare(parent_pid, config.log.level, f"worker-{index}")
    from zeropool.workers.start import work  # noqa: PLC0415 - the gateway needs none of it

    def tell(infos: list[ModelInfo]) -> None:
        ready.send_bytes(msgspec.msgpack.encode(infos))

    try:
        work(
            config,
            index=index,
            gateways=gateways,
            runtime_dir=Path(runtime_dir),
            on_welcome=tell,
            ignored=PARENTS_SIGNALS,
        )
    except (ConfigError, ModelRefused) as error:
        _refuse(str(error))


def _refuse(reason: str) -> None:
    # A terminal that is gone must not change the exit code.
    with contextlib.suppress(OSError):
        sys.stderr.write(f"zeropool: {reason}\n")
        sys.stderr.flush()
    os._exit(EXIT_CONFIG)
