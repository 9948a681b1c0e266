"""What the user reads where no server answers, with the reason where there is one."""

from __future__ import annotations

import zmq

from zeropool.client import Client

#: A refusal or an unknown name is told within a few milliseconds; more is told by nobody.
REASON_S = 1.0


def absence(where: str) -> str:
    """The message; where is an endpoint, perhaps with the reason."""
    return f"nothing answers at {where}; is the gateway running? Start one with: zeropool serve"


def with_reason(endpoint: str) -> str:
    """The endpoint, and why nobody can be reached there, found by trying it once more."""
    try:
        with Client(endpoint) as client:
            client.wait_connected(REASON_S)
            return client.connection_failure or endpoint
    except zmq.ZMQError:
        # libzmq knows more kinds of endpoints.
        return endpoint
