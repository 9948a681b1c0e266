"""One measured point: a server under a load, and what that took."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import IO

import msgspec
import psutil
import usage
from child import Child
from driver import ANSWER_TIMEOUT_S
from servers import Running, Server
from tally import Tally

HERE = Path(__file__).resolve().parent
#: Batching, connections and allocators settle within this time.
WARM_UP_S = 1.0


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """The load's tally and the server's CPU time in the same span."""

    #: Its key.
    server: str
    in_flight: int
    round: int
    tally: Tally
    #: Seconds by role; empty where the point failed before it was measured.
    cpu_s: dict[str, float]
    #: CPU time of all that is neither server nor load, in cores: 0 on a quiet machine.
    other_cores: float = 0.0
    failure: str = ""

    @property
    def is_clean(self) -> bool:
        """Every call got its right answer."""
        return not self.failure and self.tally.is_clean

    @property
    def calls_per_s(self) -> float:
        """Right answers a second."""
        return self.tally.answers / self.tally.seconds if self.tally.seconds else 0.0

    def is_disturbed(self, most_other_cores: float) -> bool:
        """Other processes kept more cores busy than that; a failure is not excused by them."""
        return self.is_clean and self.other_cores > most_other_cores

    def cpu_us(self, *roles: str) -> float:
        """Microseconds for each call, of the processes whose role begins with one of these."""
        if not self.tally.answers:
            return 0.0
        spent_s = sum(spent for role, spent in self.cpu_s.items() if role.startswith(roles))
        return spent_s / self.tally.answers * 1e6


def measure(
    running: Running, *, server: Server, in_flight: int, seconds: float, round_number: int
) -> Point:
    """Drive a server that runs; a load or a server that fails makes a point that says so."""
    command = [
        sys.executable,
        str(HERE / server.load),
        running.address,
        f"--in-flight={in_flight}",
        f"--warm-up={WARM_UP_S}",
        f"--seconds={seconds}",
    ]
    failure, used, other_s = "", {}, 0.0
    with Child(command, talks=subprocess.PIPE) as load:
        tally = _next_tally(load, in_flight)
        if tally.is_clean:
            try:
                before, busy_before_s = usage.cpu_s(running.roles), usage.machine_busy_s()
                _stream(load.process.stdin).write("go\n")
                _stream(load.process.stdin).flush()
                tally = _next_tally(load, in_flight)
                busy_s = usage.machine_busy_s() - busy_before_s
                after = usage.cpu_s(running.roles)
            except (psutil.NoSuchProcess, BrokenPipeError) as error:
                failure = f"{error}: {running.last_words()}"
            else:
                used = {role: after[role] - before[role] for role in before}
                other_s = max(0.0, busy_s - sum(used.values()) - tally.cpu_s)
        if not tally.is_clean and not failure:
            failure = _told(tally) or load.last_words()
    return Point(
        server=server.key,
        in_flight=in_flight,
        round=round_number,
        tally=tally,
        cpu_s=used,
        other_cores=other_s / tally.seconds if tally.seconds else 0.0,
        failure=failure,
    )


def _next_tally(load: Child, in_flight: int) -> Tally:
    """What the load says next; an empty tally where it ended instead."""
    line = _stream(load.process.stdout).readline()
    if line:
        return msgspec.json.decode(line, type=Tally)
    return Tally(
        in_flight=in_flight,
        seconds=0.0,
        answers=0,
        errors={},
        unanswered=in_flight,
        p50_ms=0.0,
        p99_ms=0.0,
        max_ms=0.0,
        cpu_s=0.0,
        python_cpu_s=0.0,
    )


def _told(tally: Tally) -> str:
    reasons = [f"{count} times {what}" for what, count in tally.errors.items()]
    if tally.unanswered:
        reasons.append(f"{tally.unanswered} calls unanswered after {ANSWER_TIMEOUT_S:.0f} s")
    return json.dumps(reasons) if reasons else ""


def _stream(pipe: IO[str] | None) -> IO[str]:
    if pipe is None:
        raise TypeError("the load was started without pipes")
    return pipe
