"""Models that write down when they start, and then work, hang or die.

Each start is one line of the file `starts` in the working directory: value, CLOCK_MONOTONIC
seconds, pid. A line is written in one go, so it is whole, whatever becomes of who wrote it.
"""

import os
import re
import signal
import time

from fixture_models.plain import PlainModel

STARTS_FILE = "starts"


def note_start(value):
    line = f"{value} {time.monotonic()} {os.getpid()}\n".encode()
    file = os.open(STARTS_FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, line)
    finally:
        os.close(file)


class StampedModel(PlainModel):
    """Notes its start, waits, returns the value."""

    qualified_name = "stamped"
    input_schema = {  # noqa: RUF012
        "type": "object",
        "properties": {"value": {"type": "integer"}, "sleep_s": {"type": "number"}},
        "required": ["value", "sleep_s"],
        "additionalProperties": False,
    }

    def predict(self, data):
        note_start(data["value"])
        time.sleep(data["sleep_s"])
        return {"value": data["value"]}


class PoisonModel(PlainModel):
    """Notes its start, then kills its process, whichever it is."""

    qualified_name = "poison"
    input_schema = {"type": "integer"}  # noqa: RUF012

    def predict(self, data):
        note_start(data)
        os.kill(os.getpid(), signal.SIGKILL)


class HangModel(PlainModel):
    """Notes its start, then never lets go of the interpreter lock: exponential, in C."""

    qualified_name = "hang"
    input_schema = {"type": "integer"}  # noqa: RUF012
    #: Some billion years of backtracking.
    text = "a" * 100

    def predict(self, data):
        note_start(data)
        return {"matches": re.fullmatch(r"(a|aa)+b", self.text) is not None}
