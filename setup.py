"""Builds Zeropool; all that is fixed stands in setup.cfg.

The modules that every call passes through are compiled with mypyc where there is a C compiler.
Where there is none the same files run as they are, only slower: that they cannot be compiled ends
no installation.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from pathlib import Path

from setuptools import Extension, setup

#: By package, each of which becomes one library, so that a client does not load a gateway.
NATIVE = {
    "shared": (
        "heads layout polling ports.callers ports.pull_port ports.reception ports.unfinished push "
        "sending wire.answerer wire.beat_order wire.channel wire.dialer wire.event wire.event_scan "
        "wire.flow wire.heartbeat wire.old_zmtp wire.outgoing wire.parked wire.requested "
        "wire.session wire.zmtp"
    ),
    "gateway": (
        "admission budget calls clients core deadlines dispatcher fleet head_start ledger lobby "
        "methods placement pool queue rate reply row_calls rows server service suspects tally "
        "turns unread worker_port"
    ),
    "workers": (
        "alarm batcher containers core job_port link loaded_model outbox plain reading "
        "registration row_answers runner validation wear worker"
    ),
    # What users may subclass, and generators that they may leave, are not: neither would work.
    "client": (
        "aio_feed aio_flight aio_wires answered asking awaited batch bells call core crew engine "
        "flight gathering guard link making many packing requests results seats servers source "
        "vigil waiting window wires"
    ),
}
#: Set to anything: as on a machine without a compiler. The same name does it at run time.
PURE = "ZEROPOOL_PURE"
#: What pip asks before it builds, each in a process of its own: no answer needs the C files.
QUESTIONS = ("egg_info", "dist_info")
#: The packages as their names say, which the repository has one level higher.
TREE = Path("build/tree").absolute()
GENERATED = Path("build/native").absolute()
#: Libraries find each other's functions in tables. So no function needs a name that can be looked
#: up: within a library they call each other directly, and the interpreter's without a stub between.
FLAGS = ["-fvisibility=hidden", "-fno-plt"]
#: That the types are right is checked where the dependencies are there. Where pip builds they are
#: not, and mypy does not know that msgspec's classes take options.
OPTIONS = (
    *("--config-file=", "--explicit-package-bases"),
    *("--ignore-missing-imports", "--disable-error-code=call-arg"),
)


def extensions() -> list[Extension]:
    """The compiled modules; none where nobody wants them, or mypyc is not there."""
    if os.environ.get(PURE) or any(question in sys.argv for question in QUESTIONS):
        return []
    try:
        from mypyc.build import mypycify  # noqa: PLC0415 - it may be missing
    except ImportError:
        return nothing_compiled("mypy is not there")
    make_tree()
    groups = [
        ([source(package, module) for module in modules.split()], f"zeropool.{package}.native")
        for package, modules in NATIVE.items()
    ]
    paths = [path for paths, _ in groups for path in paths]
    # Tracebacks name the files as they are named here. What mypyc remembers of the last time ends
    # it where the list of modules has changed.
    try:
        with contextlib.chdir(TREE), tempfile.TemporaryDirectory() as cache:
            made: list[Extension] = mypycify(
                [*OPTIONS, f"--cache-dir={cache}", *paths],
                opt_level="2",
                debug_level="0",
                separate=groups,
                target_dir=str(GENERATED),
            )
    except SystemExit:
        return nothing_compiled("mypy has said why; it is another version of it, as a rule")
    for extension in made:
        extension.optional = True
        extension.extra_compile_args += FLAGS
    return made


def nothing_compiled(reason: str) -> list[Extension]:
    """Say that all modules run as source, and why."""
    sys.stderr.write(f"warning: nothing is compiled, all modules run as source: {reason}\n")
    return []


def source(package: str, module: str) -> str:
    """Path of a module's file in the tree."""
    return f"zeropool/{package}/{module.replace('.', '/')}.py"


def make_tree() -> None:
    """Make the packages be found by their names."""
    folder = TREE / "zeropool"
    folder.mkdir(parents=True, exist_ok=True)
    for package in NATIVE:
        link = folder / package
        if not link.is_symlink():
            link.symlink_to(Path("../../..") / package)


if __name__ == "__main__":
    setup(
        ext_modules=extensions(),
        # The compiler runs once for each package.
        options={"build_ext": {"parallel": os.cpu_count() or 1}},
    )
