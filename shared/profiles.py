"""The profiles that ship, in the shape of the tables of `zeropool.toml`.

`APP_SETTINGS` chooses one, as in the original service. A profile changes how the service runs,
never where it listens: a client finds all four at the same endpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

Tables = Mapping[str, Mapping[str, object]]

SHIPPED: Mapping[str, Tables] = MappingProxyType(
    {
        # What is set without any profile, said aloud.
        "ProdConfig": {"log": {"level": "INFO"}},
        # As production, with every command in the log.
        "BetaConfig": {"log": {"level": "DEBUG"}},
        # The same two workers on every machine, and no test waits long for an end.
        "TestConfig": {
            "gateway": {"drain_s": 2.0},
            "worker": {"count": 2, "drain_s": 2.0},
            "log": {"level": "DEBUG"},
        },
        # Starts and stops quickly on a laptop; two workers still show what one would hide.
        "DevConfig": {
            "gateway": {"drain_s": 5.0},
            "worker": {"count": 2, "drain_s": 5.0},
            "log": {"level": "DEBUG"},
        },
    },
)
