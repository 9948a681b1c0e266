"""The rules of the house, over the syntax trees: who may import whom, what and how much.

Each check takes sources and returns offences, so that it can be shown to fail.
"""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("gateway", "workers", "shared", "client", "cli")


def compiled_modules():
    """The modules that `setup.py` compiles, which is read and not run."""
    for node in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "NATIVE":
            native = ast.literal_eval(node.value)
    return {
        f"{package}/{module.replace('.', '/')}.py"
        for package, modules in native.items()
        for module in modules.split()
    }


COMPILED = compiled_modules()

#: Most lines of a module and of a function; above them it is time to split.
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 50

#: What each package may import of Zeropool beside itself.
ALLOWED_PACKAGES = {
    "gateway": {"shared"},
    "workers": {"shared"},
    "client": {"shared"},
    "shared": set(),
    "cli": {"gateway", "workers", "client", "shared"},
}

#: Modules that touch the world: its files, peers, time, chance, threads and logs.
WORLDLY = frozenset(
    {"asyncio", "concurrent", "ctypes", "datetime", "faulthandler", "fcntl", "io", "logging"}
    | {"multiprocess", "multiprocessing", "os", "pathlib", "queue", "sched", "select", "selectors"}
    | {"shutil", "signal", "socket", "socketserver", "ssl", "subprocess", "tempfile", "threading"}
    | {"time", "random", "secrets", "uuid", "zmq", "gevent", "zerorpc", "http", "urllib"}
)

#: What does the same without an import that would tell.
WORLDLY_BUILTINS = frozenset({"open", "print", "input", "__import__", "eval", "exec"})
CLOCK_METHODS = frozenset({"now", "utcnow", "today"})

#: The modules that may, what each may, and why. All others are cores.
ALLOWED_WORLDLY = {
    # The shells: all sockets, clocks and signals of the gateway and of a worker.
    "gateway/server.py": {"logging", "secrets", "select", "signal", "time"},
    "gateway/clients.py": {"select", "socket"},
    "gateway/worker_port.py": {"logging", "select"},
    "shared/ports/reception.py": {"select", "socket"},
    "shared/ports/callers.py": {"socket"},
    "shared/ports/listening.py": {"fcntl", "os", "pathlib", "socket"},
    "shared/sending.py": {"socket"},
    "shared/push.py": {"socket"},
    "shared/sockets.py": {"socket"},
    # Threads beside the loop, and how they ask it.
    "gateway/httpd.py": {"http", "io", "logging", "socket", "socketserver", "threading", "time"},
    "gateway/inquiry.py": {"concurrent", "os", "threading"},
    "workers/worker.py": (
        {"logging", "os", "pathlib", "secrets", "select", "signal", "socket", "time"}
    ),
    # One that looks names up is in a thread of its own.
    "workers/link.py": {"os", "select", "socket", "threading", "zmq"},
    "workers/job_port.py": {"select"},
    "workers/pulse.py": {"zmq"},
    # Which files are imported.
    "shared/native.py": {"os", "pathlib"},
    "workers/alarm.py": {"faulthandler", "signal", "time"},
    # Thread limits are environment variables; the loading time is logged; signals are passed on.
    "workers/start.py": {"logging", "os", "pathlib", "signal", "time"},
    # Tells our own frames from a model's by their folder.
    "workers/failures.py": {"os"},
    # A client is a shell too: sockets, threads, a clock; the process, for what a fork copies.
    "client/wires.py": {"os", "select", "socket", "threading"},
    "client/guard.py": {"threading"},
    "client/seats.py": {"threading"},
    "client/bells.py": {"logging"},
    "client/crew.py": {"os", "threading", "time"},
    "client/sync.py": {"threading", "time"},
    "client/asking.py": {"time"},
    "client/pending.py": {"time"},
    "client/aio.py": {"asyncio"},
    "client/aio_feed.py": {"asyncio"},
    "client/aio_flight.py": {"asyncio", "time"},
    "client/flight.py": {"time"},
    "client/aio_wires.py": {"asyncio", "time"},
    # The exception classes of zerorpc and pyzmq.
    "client/results.py": {"zerorpc", "zmq"},
    # Signals become bytes in a socket pair.
    "shared/signals.py": {"signal", "socket"},
    # The first message id is drawn, unless the owner gives it.
    "shared/wire/event.py": {"secrets"},
    # Makes and checks a directory, and the sockets in it.
    "shared/rundir.py": {"os", "pathlib", "socket"},
    # Reads the file; names a directory by the user's id.
    "shared/config.py": {"os", "pathlib"},
    # Formats log records, and the wall clock in them.
    "shared/logs.py": {"datetime", "logging"},
    "shared/trail.py": {"logging"},
    # The commands: processes, terminals, exit codes.
    "cli/main.py": {"os", "pathlib"},
    "cli/options.py": {"pathlib"},
    # The load tool: its connections, its clock and its files; ids and arrivals are drawn.
    "cli/bench/link.py": {"select", "zmq"},
    "cli/bench/load.py": {"time", "zmq"},
    "cli/bench/run.py": {"random", "secrets", "signal", "zmq"},
    "cli/bench/job.py": {"pathlib"},
    "cli/bench/command.py": {"datetime", "pathlib"},
    "cli/call.py": {"zmq", "zerorpc"},
    "cli/children.py": {"ctypes", "os", "pathlib", "signal"},
    "cli/processes.py": {"multiprocess", "os", "pathlib", "signal"},
    "cli/stopping.py": {"logging", "select", "signal"},
    "cli/serve.py": {"logging", "os", "select", "shutil", "signal", "time"},
    "cli/sockets.py": {"pathlib", "tempfile"},
    "cli/gateways.py": {"pathlib"},
}

#: Formats that run what they are sent, and pyzmq's methods that use them.
FORBIDDEN_MODULES = frozenset({"pickle", "cPickle", "dill", "marshal", "shelve", "cloudpickle"})
FORBIDDEN_METHODS = frozenset({"recv_pyobj", "send_pyobj"})

VAGUE_NAMES = frozenset({"utils", "util", "helpers", "helper", "common", "base", "misc"})

#: Paths of somebody's machine; /tmp and /run belong to every machine.
MACHINE_PATH = re.compile(r"(?<![\w.:])/(?:home|root|Users|work|workspace|mnt|opt|srv|var)/\w")
REGISTRY_HOST = re.compile(
    r"pypi\.org|pythonhosted\.org|registry\.npmjs|proxy\.golang|artifactory|index-url|nexus\.",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Source:
    """One module: its path below the root of the repository, and its text."""

    path: str
    text: str

    @property
    def package(self):
        return self.path.split("/")[0]

    @property
    def tree(self):
        return ast.parse(self.text)

    @property
    def imports(self):
        """The dotted names that it imports, at any depth."""
        found = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                module = "." * node.level + (node.module or "")
                found |= {f"{module}.{alias.name}" for alias in node.names}
        return found


def sources():
    return [
        Source(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
    ]


def forbidden_packages(source):
    """Imports of packages that this one is not to know."""
    allowed = ALLOWED_PACKAGES[source.package] | {source.package}
    for name in sorted(source.imports):
        top, _, rest = name.partition(".")
        if name.startswith("."):
            yield f"{source.path}: imports {name}: write the whole name"
        elif top in PACKAGES:
            yield f"{source.path}: imports {name}: its name is zeropool.{name}"
        elif top == "zeropool" and rest.split(".")[0] not in allowed:
            yield f"{source.path}: imports {name}"


def worldly_imports(source):
    """Imports of sockets, clocks, files, threads and logs where no shell is named."""
    allowed = ALLOWED_WORLDLY.get(source.path, set())
    used = {name.split(".")[0] for name in source.imports}
    for name in sorted((used & WORLDLY) - allowed):
        yield f"{source.path}: imports {name}, but is a core"
    for name in sorted(allowed - used):
        yield f"{source.path}: no longer imports {name}: take it off the list"


def hidden_effects(source):
    """Calls that read a clock or open a file without an import that would tell."""
    for node in ast.walk(source.tree):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in WORLDLY_BUILTINS:
                yield f"{source.path}:{node.lineno}: calls {name}"
            case ast.Call(func=ast.Attribute(attr=name)) if name in CLOCK_METHODS:
                if source.path not in ALLOWED_WORLDLY:
                    yield f"{source.path}:{node.lineno}: calls {name}"


def dangerous_formats(source):
    """Formats that run what they are sent."""
    for name in sorted(source.imports):
        if name.split(".")[0] in FORBIDDEN_MODULES:
            yield f"{source.path}: imports {name}"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute) and node.attr in FORBIDDEN_METHODS:
            yield f"{source.path}:{node.lineno}: uses {node.attr}"


def miscompiled(source):
    """What mypyc 2.4 accepts and compiles into something else, in the modules that it compiles."""
    if source.path not in COMPILED:
        return
    for node in ast.walk(source.tree):
        match node:
            case ast.ClassDef(name=name, keywords=[_, *_]):
                yield f"{source.path}: {name}: options of a class are ignored"
            case ast.ClassDef(name=name, decorator_list=[*decorators]) if any(
                "dataclass" in ast.unparse(each) for each in decorators
            ):
                yield f"{source.path}: {name}: a dataclass is filled by interpreted code"
            case ast.Slice(lower=lower, upper=upper):
                bounds = [bound for bound in (lower, upper) if bound is not None]
                calls = [each for bound in bounds for each in ast.walk(bound)]
                if any(isinstance(each, ast.Call) and not _is_len(each) for each in calls):
                    yield f"{source.path}:{bounds[0].lineno}: a call in a slice is made twice"


def _is_len(call):
    return isinstance(call.func, ast.Name) and call.func.id == "len"


def too_long(source):
    """Modules and functions that have grown beyond what a person holds in mind."""
    lines = len(source.text.splitlines())
    if lines > MAX_MODULE_LINES:
        yield f"{source.path}: {lines} lines exceed {MAX_MODULE_LINES}"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > MAX_FUNCTION_LINES:
                yield f"{source.path}: {node.name}: {lines} lines exceed {MAX_FUNCTION_LINES}"


def undocumented(source):
    """Modules that do not say what they know."""
    if not Path(source.path).stem.startswith("_") or source.path.endswith("__init__.py"):
        docstring = ast.get_docstring(source.tree)
        if not docstring or not docstring.splitlines()[0].endswith((".", ":", "?")):
            yield f"{source.path}: has no docstring whose first line is a sentence"


def vague_names(source):
    """Modules and folders that are named for nothing in particular."""
    for part in Path(source.path).with_suffix("").parts:
        if part in VAGUE_NAMES:
            yield f"{source.path}: {part} says nothing"


def places_of_this_machine(source):
    """Paths and hosts that another machine does not have."""
    for number, line in enumerate(source.text.splitlines(), 1):
        for pattern in (MACHINE_PATH, REGISTRY_HOST):
            found = pattern.search(line)
            if found:
                yield f"{source.path}:{number}: {found.group()}"


CHECKS = (
    forbidden_packages,
    worldly_imports,
    hidden_effects,
    dangerous_formats,
    miscompiled,
    too_long,
    undocumented,
    vague_names,
    places_of_this_machine,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_packages_keep_the_rules(check):
    offences = [offence for source in sources() for offence in check(source)]

    assert offences == []


def test_the_list_of_shells_names_modules_that_exist():
    assert set(ALLOWED_WORLDLY) <= {source.path for source in sources()}


def test_what_is_compiled_is_there():
    assert {source.path for source in sources()} >= COMPILED
    assert "gateway/core.py" in COMPILED


def test_every_package_is_looked_at():
    assert {source.package for source in sources()} == set(PACKAGES)
    assert "shared/wire/session.py" in {source.path for source in sources()}


DOC = '"""Knows one thing."""\n'

OFFENCES = [
    (forbidden_packages, "gateway/x.py", "from zeropool.workers.batcher import Batch"),
    (forbidden_packages, "gateway/x.py", "from zeropool import workers"),
    (forbidden_packages, "workers/x.py", "import zeropool.gateway.core"),
    (forbidden_packages, "client/x.py", "def f():\n    from zeropool.gateway import core"),
    (forbidden_packages, "shared/wire/x.py", "from zeropool.client import Client"),
    (forbidden_packages, "workers/x.py", "from zeropool.cli import main"),
    (forbidden_packages, "shared/x.py", "from shared import jobs"),
    (forbidden_packages, "shared/x.py", "from .jobs import Job"),
    (worldly_imports, "gateway/core.py", "import zmq"),
    (worldly_imports, "gateway/core.py", "import zmq.asyncio"),
    (worldly_imports, "gateway/core.py", "from time import monotonic"),
    (worldly_imports, "workers/batcher.py", "def f():\n    import logging"),
    (worldly_imports, "shared/wire/session.py", "import asyncio"),
    (worldly_imports, "shared/x.py", "from datetime import datetime"),
    (worldly_imports, "workers/x.py", "import threading as t"),
    (worldly_imports, "workers/failures.py", "x = 1"),
    (hidden_effects, "gateway/core.py", "def f(dt): return dt.now()"),
    (hidden_effects, "gateway/core.py", "x = open('x')"),
    (hidden_effects, "gateway/core.py", "zmq = __import__('zmq')"),
    (dangerous_formats, "shared/x.py", "import pickle"),
    (dangerous_formats, "cli/x.py", "def f():\n    from dill import loads"),
    (dangerous_formats, "gateway/x.py", "def f(socket): return socket.recv_pyobj()"),
    (miscompiled, "gateway/core.py", "class X(Struct, frozen=True):\n    x: int"),
    (miscompiled, "gateway/core.py", "@dataclass\nclass X:\n    x: int"),
    (miscompiled, "client/wires.py", "x = y[f() :]"),
    (too_long, "gateway/x.py", "x = 1\n" * (MAX_MODULE_LINES + 1)),
    (too_long, "gateway/x.py", "def f():\n" + "    x = 1\n" * MAX_FUNCTION_LINES),
    (undocumented, "gateway/x.py", "x = 1"),
    (undocumented, "gateway/__init__.py", ""),
    (undocumented, "gateway/x.py", '"""no sentence"""'),
    (vague_names, "gateway/utils.py", DOC),
    (vague_names, "shared/common/x.py", DOC),
    (places_of_this_machine, "shared/x.py", 'x = "/home/' + 'somebody/models"'),
    (places_of_this_machine, "shared/x.py", "# see https://pypi" + ".org/simple"),
]


@pytest.mark.parametrize(("check", "path", "text"), OFFENCES)
def test_a_check_finds_an_offence(check, path, text):
    assert list(check(Source(path, text)))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_every_check_is_shown_to_fail(check):
    assert check in {offence[0] for offence in OFFENCES}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_good_module_passes(check):
    text = (
        '"""Knows paths such as /tmp/zeropool-1000 and ipc:///run/zeropool/gateway.ipc."""\n'
        "import msgspec\n"
        "from zeropool.shared.jobs import Job\n"
        "def f(now): return now + 1.0\n"
    )

    assert list(check(Source("gateway/fine.py", text))) == []
