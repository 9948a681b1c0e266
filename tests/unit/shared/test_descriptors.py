"""The limit of descriptors of this very process; it is put back afterwards."""

import resource

import pytest

from zeropool.shared.descriptors import raise_limit


@pytest.fixture(autouse=True)
def limit():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_limit_is_raised_to_what_is_allowed(limit):
    _, hard = limit
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
    assert raise_limit() == hard
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)


def test_a_limit_that_is_raised_already_stays(limit):
    _, hard = limit
    assert raise_limit() == hard
    assert raise_limit() == hard
