"""Whose turn it is among the models that share workers. No I/O, no clock.

Models take turns by the time that they had of the workers, as clients do in each model's queue by
rows: a flooded model leaves the others their share.
"""

from __future__ import annotations

from zeropool.gateway.queue import CallQueue


class Turns:
    """The order in which the queues of all models are served."""

    def __init__(self) -> None:
        #: Seconds of workers' time that the model had whose turn it was last.
        self._at_s = 0.0

    def __repr__(self) -> str:
        return f"<Turns at_s={self._at_s:.3f}>"

    def waiting(self, queues: list[CallQueue]) -> list[CallQueue]:
        """The queues with waiting calls, the one first whose model has had the least time."""
        waiting = [queue for queue in queues if queue.waiting]
        if len(waiting) > 1:
            for queue in waiting:
                # Who wanted nothing for a while has no claim to all that it could have had.
                queue.used_s = max(queue.used_s, self._at_s)
            waiting.sort(key=_used_s)
        if waiting:
            self._at_s = max(self._at_s, waiting[0].used_s)
        return waiting


def _used_s(queue: CallQueue) -> float:
    return queue.used_s
