"""A benchmark's processes end with it, also those that a server started by itself."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
#: A server that starts a process of its own, and one that never stops.
RIG = """
import subprocess, time
from child import Child

with Child(["sh", "-c", "sleep 600 & echo $! >grandchild; wait"]) as child:
    while not (found := child.directory / "grandchild").exists() or not found.read_text():
        time.sleep(0.01)
    print(child.pid, found.read_text().strip(), flush=True)
    time.sleep(600)
"""


def test_kill_9_of_the_benchmark_leaves_no_grandchild():
    rig = subprocess.Popen(
        [sys.executable, "-c", RIG], cwd=BENCHMARKS, stdout=subprocess.PIPE, text=True
    )
    assert rig.stdout is not None
    processes = [psutil.Process(int(pid)) for pid in rig.stdout.readline().split()]
    assert len(processes) == 2
    rig.send_signal(signal.SIGKILL)
    rig.wait()
    rig.stdout.close()
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert alive == []
