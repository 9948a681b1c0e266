"""Start-up and footprint: time to the first answer, import times, memory of each process.

    python benchmarks/footprint.py [--rounds 5] [--output FILE] [--page FILE]

About twenty seconds. "Warm" is the n-th start, "cold" one without compiled bytecode (a new
PYTHONPYCACHEPREFIX); the kernel's own cache of files cannot be emptied without privileges. Linux
only.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil  # type: ignore[import-untyped,unused-ignore]
import zmq
from child import Child
from flowers import FLOWERS, METHOD
from machine import Machine, this_machine
from page import with_part

WORKERS = 2
ANSWER_TIMEOUT_MS = 60_000
#: The call waits in the client's socket; libzmq tries to connect so often.
RECONNECT_MS = 5
#: Of memory: after the first answer, what starts late has started.
SETTLED_S = 1.0
#: What is imported, in a process of its own each.
MODULES = {
    "client": "zeropool.client",
    "cli": "zeropool.cli.main",
    "serve": "zeropool.cli.serve",
    "gateway": "zeropool.gateway.server",
    "worker": "zeropool.workers.start",
    "iris_model": "iris_model.iris_predict",
}
KIB_PER_MIB = 1024
#: Where the tables stand in the page.
PAGE_PART = "footprint"
DEFAULT_OUTPUT = Path(__file__).resolve().parent / "results" / "footprint.json"


class Footprint(msgspec.Struct, frozen=True):
    """Everything that was measured. Times are milliseconds, medians of the rounds."""

    machine: Machine
    #: From the start of `zeropool serve` to the first answer to a call.
    first_answer_warm_ms: float
    first_answer_cold_ms: float
    #: Of the interpreter and its `site`, which every process pays.
    python_ms: float
    #: CPU time of each import, beyond that.
    import_ms: dict[str, float]
    modules: dict[str, int]
    #: MiB of each process, idle after one call. A proportional share counts a page that n
    #: processes have in common as an n-th.
    rss_mib: dict[str, float]
    pss_mib: dict[str, float]


@contextlib.contextmanager
def serving() -> Iterator[tuple[float, int]]:
    """A pool that has answered its first call: the milliseconds until then, and its process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        endpoint = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    program = str(Path(sys.executable).with_name("zeropool"))
    command = [program, "serve", "--bind", endpoint, "--workers", str(WORKERS)]
    row, species = FLOWERS[0]
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.setsockopt(zmq.LINGER, 0)
        dealer.setsockopt(zmq.RCVTIMEO, ANSWER_TIMEOUT_MS)
        dealer.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
        dealer.connect(endpoint)
        header = {"message_id": secrets.token_hex(16).encode(), "v": 3}
        dealer.send_multipart([b"", msgspec.msgpack.encode([header, METHOD, [row]])])
        began_at = time.perf_counter()
        with Child(command) as child:
            _, name, args = msgspec.msgpack.decode(dealer.recv_multipart()[-1])
            took_ms = (time.perf_counter() - began_at) * 1000
            if (name, args) != ("OK", [{"species": species}]):
                raise RuntimeError(f"wrong answer: {name} {args}")
            yield took_ms, child.pid


def first_answers_ms(rounds: int) -> float:
    """The median time to the first answer."""
    found = []
    for _ in range(rounds):
        with serving() as (took_ms, _):
            found.append(took_ms)
    return statistics.median(found)


def cold_first_answers_ms(rounds: int) -> float:
    """The same where no module is compiled yet."""
    found = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            os.environ["PYTHONPYCACHEPREFIX"] = folder
            try:
                found.append(first_answers_ms(1))
            finally:
                del os.environ["PYTHONPYCACHEPREFIX"]
    return statistics.median(found)


def import_costs(rounds: int) -> tuple[dict[str, float], dict[str, int]]:
    """CPU milliseconds and modules of each import."""
    script = (
        "import sys, time\nbegan = time.process_time()\nimport {}\n"
        "print((time.process_time() - began) * 1000, len(sys.modules))"
    )
    times_ms: dict[str, float] = {}
    modules: dict[str, int] = {}
    for name, module in MODULES.items():
        found = []
        for _ in range(rounds):
            command = [sys.executable, "-c", script.format(module)]
            printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            took_ms, count = printed.split()
            found.append(float(took_ms))
            modules[name] = int(count)
        times_ms[name] = statistics.median(found)
    return times_ms, modules


def python_ms(rounds: int) -> float:
    """What a process costs that does nothing."""
    found = []
    for _ in range(rounds):
        began_at = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        found.append((time.perf_counter() - began_at) * 1000)
    return statistics.median(found)


def memory_mib() -> tuple[dict[str, float], dict[str, float]]:
    """RSS and PSS of each process of a pool that idles."""
    rss: dict[str, float] = {}
    pss: dict[str, float] = {}
    with serving() as (_, pid):
        time.sleep(SETTLED_S)
        for name, process in _roles(pid).items():
            memory = process.memory_full_info()
            rss[name] = memory.rss / KIB_PER_MIB**2
            pss[name] = memory.pss / KIB_PER_MIB**2
    return rss, pss


def _roles(pid: int) -> dict[str, psutil.Process]:
    parent = psutil.Process(pid)
    children = [
        each for each in parent.children() if any("spawn_main" in word for word in each.cmdline())
    ]
    # Started in this order.
    names = ["gateway", *(f"worker-{index}" for index in range(WORKERS))]
    by_age = sorted(children, key=lambda each: (each.create_time(), each.pid))
    return {"serve": parent} | dict(zip(names, by_age, strict=True))


def markdown(found: Footprint) -> str:
    """Two tables."""
    lines = [
        "| what | ms |\n| --- | --- |",
        f"| `zeropool serve` to the first answer | {found.first_answer_warm_ms:.0f} |",
        f"| the same without compiled bytecode | {found.first_answer_cold_ms:.0f} |",
        f"| an interpreter that does nothing | {found.python_ms:.0f} |",
        *(
            f"| import of `{MODULES[name]}` ({found.modules[name]} modules) | {took:.0f} |"
            for name, took in found.import_ms.items()
        ),
        "\n| process | RSS MiB | PSS MiB |\n| --- | --- | --- |",
        *(
            f"| {name} | {rss:.0f} | {found.pss_mib[name]:.0f} |"
            for name, rss in found.rss_mib.items()
        ),
    ]
    return "\n".join(lines)


def main() -> int:
    """Measure, print the tables, write the file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="(%(default)s)")
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT, help="JSON file")
    parser.add_argument("--page", type=Path, help="Markdown page whose part is written")
    options = parser.parse_args()
    times_ms, modules = import_costs(options.rounds)
    rss, pss = memory_mib()
    found = Footprint(
        machine=this_machine(),
        first_answer_warm_ms=first_answers_ms(options.rounds),
        first_answer_cold_ms=cold_first_answers_ms(2),
        python_ms=python_ms(options.rounds),
        import_ms=times_ms,
        modules=modules,
        rss_mib=rss,
        pss_mib=pss,
    )
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
    print(markdown(found))
    if options.page is not None:
        options.page.write_text(with_part(options.page.read_text(), PAGE_PART, markdown(found)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
