"""What the models of `fixture_models.chaos` wrote down: who started which value, and when."""

import time
from dataclasses import dataclass
from pathlib import Path

#: As the models name it.
STARTS_FILE = "starts"
#: Fine enough for figures of milliseconds; the instants themselves come from the workers.
LOOK_S = 0.001


@dataclass(frozen=True)
class Start:
    value: int
    #: CLOCK_MONOTONIC seconds.
    at: float
    pid: int


class Starts:
    """The file in the folder where the workers run, read on from where it was read before."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / STARTS_FILE
        self._seen: dict[int, list[Start]] = {}
        self._offset = 0
        self._path.touch(mode=0o600)

    def of(self, value: int) -> list[Start]:
        """All starts of a value so far, in order."""
        self._read()
        return self._seen.get(value, [])

    def wait(self, value: int, times: int, timeout_s: float) -> Start:
        """Wait for so many starts of a value; return the last of these.

        Raises:
            TimeoutError: they did not come.
        """
        give_up_at = time.monotonic() + timeout_s
        while len(self.of(value)) < times:
            if time.monotonic() > give_up_at:
                raise TimeoutError(f"value {value} not started {times} times in {timeout_s} s")
            time.sleep(LOOK_S)
        return self.of(value)[times - 1]

    def _read(self) -> None:
        with self._path.open("rb") as file:
            file.seek(self._offset)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            value, at, pid = line.split()
            self._seen.setdefault(int(value), []).append(Start(int(value), float(at), int(pid)))
