"""Feed every target as many broken inputs as wanted, and tell how to repeat what failed.

    PYTHONPATH=tests:tests/models .venv/bin/python -m fuzz.campaign --seconds 60
    PYTHONPATH=tests:tests/models .venv/bin/python -m fuzz.campaign --full --out fuzz.json
    … -m fuzz.campaign --target rows --seed 7 --block 12

Inputs come in blocks. A block's inputs follow from the seed, the target's name and the block's
number alone, so that one block can be run again, alone, on any machine.
"""

from __future__ import annotations

import argparse
import random
import resource
import secrets
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from fuzz.core_targets import ClientMessageTarget, GatewayTarget, WorkerTarget
from fuzz.mutation import Mutator
from fuzz.objects import OutputTarget
from fuzz.targets import (
    ArgumentsTarget,
    ClientSessionTarget,
    ConfigTarget,
    EventTarget,
    FromGatewayTarget,
    FromWorkerTarget,
    RowsTarget,
    ServerSessionTarget,
    Target,
    ValidationTarget,
)
from overload.report import Report

#: Inputs of one block: cheap to repeat, long enough for a state to build up.
BLOCK = 500
#: A block takes a tenth of a second; this long, and something in it does not end.
HANG_S = 30.0
#: Faults of one target that are told; the others are likely the same.
MAX_FAULTS = 5
#: Blocks of all targets before memory is compared: imports, caches and pools are warm.
WARM_BLOCKS = 40
RSS_GROWTH_MIB = 32.0
MIB = 1024 * 1024

#: What a whole campaign feeds to each: a million inputs for decoders, 200,000 for the worker
#: protocol, and the rest beside them.
DECODERS: dict[type[Target], int] = {
    EventTarget: 400_000,
    ServerSessionTarget: 200_000,
    ClientSessionTarget: 100_000,
    ArgumentsTarget: 100_000,
    RowsTarget: 100_000,
    ValidationTarget: 100_000,
}
WORKER_PROTOCOL: dict[type[Target], int] = {
    FromWorkerTarget: 60_000,
    FromGatewayTarget: 60_000,
    GatewayTarget: 60_000,
    WorkerTarget: 20_000,
}
BESIDE: dict[type[Target], int] = {
    ClientMessageTarget: 60_000,
    OutputTarget: 60_000,
    ConfigTarget: 20_000,
}
TARGETS = {kind.name: kind for kind in (*DECODERS, *WORKER_PROTOCOL, *BESIDE)}


class Hung(BaseException):
    """A block did not end. No exception of ours, so that no target swallows it."""


@dataclass
class Account:
    """What was fed to one target."""

    wanted: int
    blocks: int = 0
    inputs: int = 0
    seconds: float = 0.0
    faults: list[dict[str, Any]] = field(default_factory=list)


def run_block(target: Target, seed: int, block: int, folder: Path) -> None:
    """Feed one block; raise what the target raises, with the input as a note."""
    rng = random.Random(f"{seed}/{target.name}/{block}")
    mutator = Mutator(rng, target.pool)
    target.open(rng, folder)
    at, data = 0, b""
    try:
        for at in range(BLOCK):  # noqa: B007 - told where it failed
            data = mutator.draw() if target.name != OutputTarget.name else rng.randbytes(8)
            target.feed(data)
        at, data = BLOCK, b""
        target.close()
    except BaseException as error:
        error.add_note(f"input {at} of block {block}")
        error.add_note(data.hex())
        raise


def _on_alarm(*_: object) -> None:
    raise Hung(f"a block did not end within {HANG_S} s")


class Campaign:
    """All targets in turn, in proportion to what each is to get."""

    def __init__(self, seed: int, wanted: dict[str, int], folder: Path) -> None:
        self.seed = seed
        self.accounts = {name: Account(inputs) for name, inputs in wanted.items()}
        self._targets = {name: TARGETS[name]() for name in wanted}
        self._folder = folder

    @property
    def inputs(self) -> int:
        """Inputs so far, over all targets."""
        return sum(account.inputs for account in self.accounts.values())

    def next_target(self) -> str | None:
        """The one that is farthest behind its share; None when all have theirs."""
        behind = {
            name: account.inputs / account.wanted
            for name, account in self.accounts.items()
            if account.inputs < account.wanted and len(account.faults) < MAX_FAULTS
        }
        return min(behind, key=lambda name: behind[name]) if behind else None

    def run_one(self, name: str, block: int) -> None:
        """Run one block of one target, and note what it did."""
        account = self.accounts[name]
        began_at = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, HANG_S)
        try:
            run_block(self._targets[name], self.seed, block, self._folder)
        except (Exception, Hung) as error:  # noqa: BLE001 - this is what is looked for
            account.faults.append(self._fault(name, block, error))
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
        account.blocks += 1
        account.inputs += BLOCK
        account.seconds += time.monotonic() - began_at

    def _fault(self, name: str, block: int, error: BaseException) -> dict[str, Any]:
        *_, place, data = ("", "", *getattr(error, "__notes__", []))
        command = f"python -m fuzz.campaign --target {name} --seed {self.seed} --block {block}"
        text = "".join(traceback.format_exception(error))
        sys.stdout.write(f"FAULT in {name}, {place}: {error!r}\n{text}  again: {command}\n")
        return {"error": repr(error), "input": data, "place": place, "again": command}

    def run(self, seconds: float | None) -> dict[str, float]:
        """Run until all have their share or the time is over; return what memory did."""
        end_at = None if seconds is None else time.monotonic() + seconds
        memory = psutil.Process().memory_info
        warm, blocks = memory().rss, 0
        while (name := self.next_target()) is not None:
            if end_at is not None and time.monotonic() > end_at:
                break
            self.run_one(name, self.accounts[name].blocks)
            blocks += 1
            if blocks == WARM_BLOCKS:
                warm = memory().rss
        return {
            "rss_warm_mib": round(warm / MIB, 1),
            "rss_end_mib": round(memory().rss / MIB, 1),
            "rss_peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        }


def conclude(report: Report, campaign: Campaign, memory: dict[str, float]) -> None:
    """Say what was fed, what failed, and whether memory stayed flat."""
    report.figure("seed", campaign.seed)
    report.figure("memory", memory)
    for name, account in campaign.accounts.items():
        per_s = round(account.inputs / account.seconds) if account.seconds else 0
        report.figure(name, {"inputs": account.inputs, "per_s": per_s, "faults": account.faults})
        report.exactly(f"{name}: faults", len(account.faults), 0)
    for title, kinds in (("decoder", DECODERS), ("worker-protocol", WORKER_PROTOCOL)):
        accounts = (campaign.accounts.get(kind.name) for kind in kinds)
        fed = sum(account.inputs for account in accounts if account)
        report.figure(f"{title} inputs", fed)
    grown = round(memory["rss_end_mib"] - memory["rss_warm_mib"], 1)
    report.at_most("memory that grew after the warm-up", grown, RSS_GROWTH_MIB, "MiB")


def whole(share: float = 1.0) -> dict[str, int]:
    """What every target is to get, or a part of it."""
    wanted = DECODERS | WORKER_PROTOCOL | BESIDE
    return {kind.name: max(BLOCK, round(inputs * share)) for kind, inputs in wanted.items()}


def repeat(name: str, seed: int, block: int) -> int:
    """Run one block again, and let what it raises through."""
    with tempfile.TemporaryDirectory() as folder:
        run_block(TARGETS[name](), seed, block, Path(folder))
    sys.stdout.write(f"block {block} of {name} found nothing\n")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=None)
    parser.add_argument("--full", action="store_true", help="as many inputs as the acceptance asks")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--target", choices=sorted(TARGETS), default=None)
    parser.add_argument("--block", type=int, default=None)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    seed = secrets.randbits(32) if options.seed is None else options.seed
    if options.block is not None:
        return repeat(options.target, seed, options.block)
    wanted = whole(1.0 if options.full else 1000.0)
    if options.target:
        wanted = {options.target: wanted[options.target]}
    signal.signal(signal.SIGALRM, _on_alarm)
    report = Report("fuzz", {"seed": seed, "seconds": options.seconds, "block": BLOCK})
    with tempfile.TemporaryDirectory() as folder:
        campaign = Campaign(seed, wanted, Path(folder))
        seconds = options.seconds if options.full or options.seconds else 60.0
        memory = campaign.run(seconds)
    conclude(report, campaign, memory)
    return report.finish(options.out)


if __name__ == "__main__":
    sys.exit(main())
