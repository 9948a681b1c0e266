"""Calling a Zeropool, or any ZeroRPC server, from Python."""

from zeropool.client.retry import RetryPolicy
from zeropool.client.sync import Client

__all__ = ["Client", "RetryPolicy"]
