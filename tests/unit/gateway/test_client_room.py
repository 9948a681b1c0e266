"""How many clients a gateway has room for."""

from __future__ import annotations

import pytest

from zeropool.gateway.limits import (
    DESCRIPTORS_PER_WORKER,
    MOST_CONNECTIONS,
    OWN_DESCRIPTORS,
    most_connections,
)
from zeropool.shared.ports.connections import ACCEPT_BURST

RESERVED = OWN_DESCRIPTORS + ACCEPT_BURST


@pytest.mark.parametrize(
    ("wanted", "descriptors", "workers", "expected"),
    [
        (0, 1_000_000, 1024, MOST_CONNECTIONS),
        (50_000, 1_000_000, 1024, 50_000),
        (0, 12_000, 1024, 12_000 - 1024 * DESCRIPTORS_PER_WORKER - RESERVED),
        (5_000, 4_096, 1024, 2_048),
        (100, 4_096, 1024, 100),
        (0, 1_024, 16, 1_024 - 16 * DESCRIPTORS_PER_WORKER - RESERVED),
    ],
)
def test_clients_leave_descriptors_for_workers(wanted, descriptors, workers, expected):
    assert most_connections(wanted, descriptors, workers) == expected
