"""What the pools of the scaling benchmarks serve: a model that waits, and one that echoes."""

from __future__ import annotations

import time
from typing import Any

#: What one call of the sleeping model takes.
SLEEP_S = 0.005

_ANYTHING: dict[str, Any] = {}


class Sleeper:
    """Waits for 5 ms without using a core, so that two cores suffice for any number of workers."""

    display_name = "Sleeper"
    qualified_name = "sleeper"
    description = "Waits for 5 ms."
    major_version, minor_version = 1, 0
    input_schema = _ANYTHING
    output_schema = _ANYTHING

    def predict(self, data: object) -> object:
        """Return the data, later."""
        time.sleep(SLEEP_S)
        return data


class Echo:
    """Returns what it is given, for payloads of any size."""

    display_name = "Echo"
    qualified_name = "echo"
    description = "Returns what it is given."
    major_version, minor_version = 1, 0
    input_schema = _ANYTHING
    output_schema = _ANYTHING

    def predict(self, data: object) -> object:
        """Return the data."""
        return data

    def predict_batch(self, rows: list[object]) -> list[object]:
        """Return the data of many calls."""
        return rows
