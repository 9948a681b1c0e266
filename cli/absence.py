"""What the user reads where no server answers, with the reason where there is one."""

from __future__ import annotations

from zeropool.client import Client

#: A refusal or an unknown name is told within a few milliseconds; whoever says nothing until then
#: will not be waited for.
LOOKS = 20
LOOK_AGAIN_S = 0.05


def absence(where: str) -> str:
    """The message; where is an endpoint, perhaps with the reason."""
    return f"nothing answers at {where}; is the gateway running? Start one with: zeropool serve"


def with_reason(endpoint: str) -> str:
    """The endpoint, and why nobody can be reached there, found by trying it for up to a second."""
    with Client(endpoint) as client:
        for _ in range(LOOKS):
            if client.wait_connected(LOOK_AGAIN_S) or client.connection_failure:
                break
        return client.connection_failure or endpoint
