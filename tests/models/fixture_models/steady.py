"""A model with a known pace and known answers: for measuring what a service makes of it."""

import time

from fixture_models.plain import PlainModel

CALL_S = 0.005


class SteadyModel(PlainModel):
    """Waits 5 ms and answers with a number that follows from the one it was asked.

    It is asked with ``{"value": number, "pad": bytes}`` and never looks at the bytes.
    """

    qualified_name = "steady"

    def predict(self, data):
        time.sleep(CALL_S)
        return {"value": 3 * data["value"] + 1}
