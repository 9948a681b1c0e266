"""Models that take their time."""

import re
import time

from fixture_models.plain import PlainModel

SLEEP_INPUT = {
    "type": "object",
    "properties": {"sleep_s": {"type": "number"}},
    "required": ["sleep_s"],
    "additionalProperties": False,
}


class SleepModel(PlainModel):
    """Waits without the interpreter lock, as a model does that computes in C."""

    qualified_name = "sleeper"
    input_schema = SLEEP_INPUT

    def predict(self, data):
        time.sleep(data["sleep_s"])
        return {"slept_s": data["sleep_s"]}


class BusyModel(PlainModel):
    """Computes in Python, holding the interpreter lock."""

    qualified_name = "busy"
    input_schema = {  # noqa: RUF012
        "type": "object",
        "properties": {"busy_s": {"type": "number"}},
        "required": ["busy_s"],
        "additionalProperties": False,
    }

    def predict(self, data):
        done_at = time.monotonic() + data["busy_s"]
        rounds = 0
        while time.monotonic() < done_at:
            rounds += 1
        return {"busy_s": data["busy_s"], "rounds": rounds}


class SleepyEchoModel(PlainModel):
    """Waits, then returns the value: what it answers follows from what it was asked."""

    qualified_name = "sleepy_echo"
    input_schema = {  # noqa: RUF012
        "type": "object",
        "properties": {"value": {"type": "integer"}, "sleep_s": {"type": "number"}},
        "required": ["value", "sleep_s"],
        "additionalProperties": False,
    }

    def predict(self, data):
        time.sleep(data["sleep_s"])
        return {"value": data["value"]}


class LeakyEchoModel(SleepyEchoModel):
    """Never gives back the MiB that each call takes."""

    def __init__(self):
        self.leaked = []

    def predict(self, data):
        self.leaked.append(b"x" * 2**20)
        return super().predict(data)


class RegexModel(PlainModel):
    """Searches a text in C without ever letting go of the interpreter lock: exponential in it."""

    qualified_name = "regex"
    input_schema = {"type": "string"}  # noqa: RUF012

    def predict(self, data):
        return {"matches": re.fullmatch(r"(a|aa)+b", data) is not None}
