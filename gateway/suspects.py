"""Tasks whose worker died while it had them: any of them may have killed it, so each runs alone.

No I/O, no clock. One worker at a time is kept free for them, as a busy pool may have no idle one
for long; the others go on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from zeropool.gateway.calls import Task
from zeropool.gateway.fleet import Fleet, Worker


class Suspects:
    """The tasks that wait for a worker of their own, in the order in which they came."""

    def __init__(self) -> None:
        #: The worker that gets nothing until it is idle; as `placed` left it.
        self.reserved: Worker | None = None
        self.tasks: deque[Task] = deque()

    def __repr__(self) -> str:
        return f"<Suspects tasks={len(self.tasks)} reserved={self.reserved!r}>"

    def add(self, task: Task) -> None:
        """A worker died, or gave this task back that had outlived one."""
        task.owner = ""
        self.tasks.append(task)

    def placed(self, fleet: Fleet, now: float) -> Iterator[tuple[Task, Worker]]:
        """Tasks and the idle workers to which the caller gives them, each before the next."""
        self.reserved = None
        waiting: deque[Task] = deque()
        for task in self.tasks:
            if task.call.is_over:
                continue
            idlest = _idlest(fleet.holding(task.call.model), now)
            if idlest is not None and idlest.held_rows == 0:
                yield task, idlest
                continue
            self.reserved = self.reserved or idlest
            waiting.append(task)
        self.tasks = waiting


def _idlest(workers: list[Worker], now: float) -> Worker | None:
    """The worker that will be idle first; a stalled one may not become so for long."""
    return min(workers, key=lambda each: (each.is_stalled(now), each.held_rows), default=None)
