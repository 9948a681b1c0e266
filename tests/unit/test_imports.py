"""What a process does not load: it would cost its start, and each process its memory."""

import json
import subprocess
import sys

import pytest

#: Heavy, and of no use to those that must not have it.
HEAVY = {
    "asyncio",
    "dill",
    "email",
    "gevent",
    "jsonschema_rs",
    "multiprocess",
    "numpy",
    "onnxruntime",
    "prometheus_client",
    "schema",
    "ssl",
    "tenacity",
    "zerorpc",
    "zmq",
}


def loaded_by(statement: str) -> set[str]:
    """The heavy modules, and rooms of Zeropool, that a process has after a statement."""
    script = (
        "import contextlib, io, json, sys\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        f"    {statement}\n"
        "print(json.dumps(list(sys.modules)))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, text=True
    ).stdout
    modules = json.loads(printed)
    rooms = {".".join(name.split(".")[:2]) for name in modules if name.startswith("zeropool.")}
    return HEAVY.intersection(modules) | rooms


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        ("import zeropool.client", {"zmq", "zeropool.client", "zeropool.shared"}),
        (
            "from zeropool.cli.main import main; main(['--help'])",
            {"zeropool.cli", "zeropool.shared"},
        ),
        (
            "from zeropool.cli.main import main; main(['serve', '--help'])",
            {"zeropool.cli", "zeropool.shared"},
        ),
        (
            "import zeropool.cli.serve",
            {"dill", "multiprocess", "tenacity"}
            | {"zeropool.cli", "zeropool.gateway", "zeropool.shared"},
        ),
        (
            "import zeropool.cli.children",
            {"zeropool.cli", "zeropool.shared"},
        ),
        (
            "import zeropool.gateway.server",
            {"email", "zmq", "zeropool.gateway", "zeropool.shared"},
        ),
        (
            "import zeropool.workers.start",
            {"email", "jsonschema_rs", "tenacity", "zmq", "zeropool.workers", "zeropool.shared"},
        ),
    ],
)
def test_a_process_loads_what_it_needs_and_no_more(statement, allowed):
    assert loaded_by(statement) <= allowed


def test_the_measure_sees_what_is_loaded():
    assert {"asyncio", "zeropool.client"} <= loaded_by("from zeropool.client import AsyncClient")
