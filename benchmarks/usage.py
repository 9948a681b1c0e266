"""CPU time and memory of a server's processes, by their role, as Linux counts them.

CPU time is user and system time of all threads, in seconds; its grain is 10 ms.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import psutil

#: One process id or more for each role ("server", "gateway", "worker-0"): a server's processes.
Roles = Mapping[str, int]

KIB_PER_MIB = 1024


def cpu_s(roles: Roles) -> dict[str, float]:
    """CPU time of each process since its start.

    Raises:
        psutil.NoSuchProcess: one of them has ended.
    """
    used = {}
    for role, pid in roles.items():
        times = psutil.Process(pid).cpu_times()
        used[role] = times.user + times.system
    return used


def machine_busy_s() -> float:
    """Time that the machine's cores were busy, with whatever, since it started."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)


def peak_rss_mib(roles: Roles) -> dict[str, float]:
    """The most memory that each process had resident, shared pages included; 0 for one that ended.

    `VmHWM` of proc(5): psutil does not know it.
    """
    return {role: _peak_rss_mib(pid) for role, pid in roles.items()}


def _peak_rss_mib(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except FileNotFoundError:
        return 0.0
    found = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(found[0]) / KIB_PER_MIB if found else 0.0
