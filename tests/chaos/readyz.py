"""How soon `/readyz` says 503 after the last worker's death, and 200 when there is one again.

The instant of the death is that at which kill -9 returned, of the answer that of its arrival.
"""

import http.client
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from harness import free_endpoint, model_tables

from chaos import program
from chaos.findings import Findings, spread_ms
from chaos.pool import Pool

ECHO = "fixture_models.slow.SleepyEchoModel"
WORKERS = 2
NOT_READY_LIMIT_S = 1.0
#: A worker has to start in this time.
READY_LIMIT_S = 60.0
ASK_TIMEOUT_S = 5.0
ASK_EVERY_S = 0.002


@dataclass(frozen=True)
class Plan:
    """How many times all workers die."""

    deaths: int = 30
    seed: int = program.SEED


def run(plan: Plan, folder: Path) -> Findings:
    """The whole experiment."""
    findings = Findings("readyz", vars(plan) | {"workers": WORKERS})
    address = free_endpoint().removeprefix("tcp://")
    gone_s, back_s = [], []
    env = {"ZEROPOOL_HTTP_BIND": address}
    with Pool(folder, model_tables(ECHO), workers=WORKERS, extra_env=env) as pool:
        _wait_for(address, 200, READY_LIMIT_S)
        for _ in range(plan.deaths):
            died_at = [pool.kill(member) for member in pool.members][-1]
            gone_s.append(_wait_for(address, 503, READY_LIMIT_S) - died_at)
            for member in pool.members:
                member.process.wait()
            started_at = time.monotonic()
            pool.tend()
            back_s.append(_wait_for(address, 200, READY_LIMIT_S) - started_at)
            pool.wait_whole(READY_LIMIT_S)
    findings.figures |= {
        "503 after the last death": spread_ms(gone_s),
        "200 after a worker's start": spread_ms(back_s),
    }
    findings.expect_speed(
        f"503 within {NOT_READY_LIMIT_S:.0f} s", max(gone_s) <= NOT_READY_LIMIT_S, max(gone_s)
    )
    return findings


def _wait_for(address: str, status: int, limit_s: float) -> float:
    """Ask until the answer is that; return when it came."""
    give_up_at = time.monotonic() + limit_s
    while (found := _ask(address)) != status:
        if time.monotonic() > give_up_at:
            raise AssertionError(f"/readyz says {found}, not {status}, after {limit_s} s")
        time.sleep(ASK_EVERY_S)
    return time.monotonic()


def _ask(address: str) -> int:
    connection = http.client.HTTPConnection(address, timeout=ASK_TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status
    finally:
        connection.close()


def main() -> int:
    parser = program.options(__doc__)
    parser.add_argument("--deaths", type=int, default=Plan.deaths)
    options = parser.parse_args()
    plan = Plan(options.deaths, options.seed)
    with program.private_folder() as folder:
        return program.run(lambda: run(plan, folder), options.out, limit_s=120 + 20 * plan.deaths)


if __name__ == "__main__":
    sys.exit(main())
