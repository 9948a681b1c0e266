"""Calling a Zeropool, or any ZeroRPC server, from Python."""

from zeropool.client.aio import AsyncClient
from zeropool.client.retry import RetryPolicy
from zeropool.client.sync import Client

__all__ = ["AsyncClient", "Client", "RetryPolicy"]
