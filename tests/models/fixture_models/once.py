"""A model whose calls must not be repeated, and whose results are large."""

import time

from fixture_models.plain import PlainModel


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
