"""A short campaign over every target, what earlier ones found, and that faults are found at all."""

import random
from pathlib import Path

import pytest
from fuzz import live, pools
from fuzz.campaign import BLOCK, TARGETS, run_block
from fuzz.mutation import Mutator
from fuzz.targets import EventTarget, Fault

SEED = 20_261_124
BLOCKS = 4
LIVE_INPUTS = 2_000
#: Inputs that once did harm, one file each, in a folder named for their target.
CORPUS = Path(__file__).parent / "corpus"


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_broken_inputs_do_no_harm(name, tmp_path):
    target = TARGETS[name]()
    for block in range(BLOCKS):
        run_block(target, SEED, block, tmp_path)


@pytest.mark.parametrize(
    "path", sorted(CORPUS.glob("*/*")), ids=lambda path: f"{path.parent.name}: {path.name}"
)
def test_what_once_did_harm_does_none(path, tmp_path):
    target = TARGETS[path.parent.name]()
    target.open(random.Random(SEED), tmp_path)
    for _ in range(BLOCK):
        target.feed(path.read_bytes())
    target.close()


def test_broken_inputs_on_live_ports_do_no_harm():
    assert live.run(SEED, LIVE_INPUTS).broken == []


class Careless(EventTarget):
    """Fails on every seventh event that it understands: there is something to find."""

    def feed(self, data: bytes) -> None:
        super().feed(data)
        if data.endswith(b"\x91") and len(data) % 7 == 0:
            raise Fault("careless")


def failure(block: int, folder: Path) -> tuple[str, ...] | None:
    try:
        run_block(Careless(), SEED, block, folder)
    except Fault as fault:
        return tuple(fault.__notes__)
    return None


def test_a_fault_is_found_and_found_again_by_its_block_alone(tmp_path):
    found = {block: failure(block, tmp_path) for block in range(BLOCKS)}
    blocks = [block for block, notes in found.items() if notes]
    assert blocks
    assert failure(blocks[-1], tmp_path) == found[blocks[-1]]


def test_a_seed_gives_the_same_inputs_again():
    def inputs(seed):
        mutator = Mutator(random.Random(seed), pools.EVENTS)
        return [mutator.draw() for _ in range(BLOCK)]

    assert inputs(1) == inputs(1)
    assert inputs(1) != inputs(2)
