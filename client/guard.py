"""A lock whose methods are looked up once, which costs several times as much as taking it."""

from __future__ import annotations

import threading


class Guard:
    """`threading.Lock`, for `with`."""

    __slots__ = ("_acquire", "_release")

    def __init__(self) -> None:
        lock = threading.Lock()
        self._acquire = lock.acquire
        self._release = lock.release

    def __enter__(self) -> None:
        self._acquire()

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self._release()

    def try_once(self) -> bool:
        """Take it if nobody has it; then `release` it."""
        return self._acquire(False)

    def release(self) -> None:
        """Whoever has it lets it go."""
        self._release()
