"""A model whose calls must not be repeated, and whose results are large."""

import time

from fixture_models.plain import PlainModel
from fixture_models.slow import SleepyEchoModel


class LargeOnceModel(PlainModel):
    """Waits, then returns a text of so many characters."""

    qualified_name = "large_once"
    retry_safe = False
    input_schema = {  # noqa: RUF012
        "type": "object",
        "properties": {"characters": {"type": "integer"}, "sleep_s": {"type": "number"}},
        "required": ["characters", "sleep_s"],
        "additionalProperties": False,
    }

    def predict(self, data):
        time.sleep(data["sleep_s"])
        return "x" * data["characters"]


class OnceEchoModel(SleepyEchoModel):
    """Returns the value, and must not be asked for it again."""

    retry_safe = False
