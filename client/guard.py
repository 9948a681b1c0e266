"""A lock whose methods are looked up once, which costs several times as much as taking it."""

from __future__ import annotations

import threading
from typing import Final

_get_ident: Final = threading.get_ident


class Guard:
    """`threading.Lock`, for `with`.

    What a signal's handler raises in whoever waits for the lock is raised by `check` later: what is
    done with the lock has to be done in any case, or other threads would wait for ever.
    """

    __slots__ = ("_acquire", "_interrupted", "_interruption", "_release")

    def __init__(self) -> None:
        lock = threading.Lock()
        self._acquire = lock.acquire
        self._release = lock.release
        self._interruption: BaseException | None = None
        self._interrupted = 0

    def __enter__(self) -> None:
        try:
            self._acquire()
        except BaseException as error:  # noqa: BLE001 - whatever a handler raises
            self._acquire_after_all(error)

    def _acquire_after_all(self, error: BaseException) -> None:
        while True:
            try:
                self._acquire()
            except BaseException as another:  # noqa: BLE001 - as before
                error = another
            else:
                break
        self._interruption = error
        self._interrupted = _get_ident()

    def check(self) -> None:
        """Raise what this thread was interrupted with while it waited for the lock."""
        if self._interruption is not None and self._interrupted == _get_ident():
            interruption = self._interruption
            self._interruption = None
            raise interruption

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self._release()

    def try_once(self) -> bool:
        """Take it if nobody has it; then `release` it."""
        return self._acquire(False)

    def release(self) -> None:
        """Whoever has it lets it go."""
        self._release()
