"""Questions to a gateway on a connection of one's own: who is ready, what was dropped.

Bare ZeroRPC, as everything that the experiments judge by.
"""

from typing import Any, Self

from raw_dealer import RawDealer

ASK_TIMEOUT_S = 10.0


class Desk:
    """One connection for questions about the service."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._dealer = RawDealer(endpoint)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._dealer.__exit__()

    def status(self) -> dict[str, Any]:
        """What `get_status` answers."""
        channel = self._dealer.request("get_status")
        name, args = self._dealer.receive(channel, ASK_TIMEOUT_S)
        if name != "OK":
            raise RuntimeError(f"get_status: {name} {args}")
        status: dict[str, Any] = args[0]
        return status

    def ready_pids(self) -> set[int]:
        """The processes of the workers that can be given work."""
        return {worker["pid"] for worker in self.status()["workers"] if worker["state"] == "ready"}
