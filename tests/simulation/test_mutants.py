"""Each rule of the cores, broken on purpose, is found by a seed: so the others are kept."""

from __future__ import annotations

import pytest
from mutants import MUTANTS
from play import play, play_all

from zeropool.shared import native

pytestmark = pytest.mark.skipif(
    native.is_used(), reason="`make test` runs this on the source: what is compiled stays as it is"
)

#: A mutant must be caught within so many seeds.
ENOUGH_SEEDS = 400


@pytest.mark.parametrize("name", [name for name in MUTANTS if name])
def test_a_broken_rule_is_found(name):
    with MUTANTS[name]():
        caught = next((seed for seed in range(ENOUGH_SEEDS) if play(seed)[1] is not None), None)

    assert caught is not None


def test_a_mutant_is_gone_afterwards():
    with MUTANTS["redispatch"]():
        pass

    assert not play_all(range(20)).failures
