"""The one error tree: what can go wrong, whose fault it is, and its name on the wire.

Knows the names that clients match on. Refuses to know how an error travels (``wire.event``) or
who raises it. Three branches answer the first question that a caller asks: *my fault*
(``CallerError``), *yours* (``ServerError``), or *come back later* (``CapacityError``). Errors of
the installation, which no remote caller ever sees, are ``ConfigError`` and ``ModelRefused``.
"""

# ruff: noqa: N818 - the names say what happened; most of them are also the names on the wire.

from __future__ import annotations


class ZeropoolError(Exception):
    """Root of every error that Zeropool raises on purpose."""

    #: The name that a remote caller sees (``zerorpc.RemoteError.name``).
    wire_name = "ZeropoolError"


class ConfigError(ZeropoolError):
    """The configuration is unusable; the message names source, key, value and what is allowed."""

    wire_name = "ConfigError"


class ModelRefused(ZeropoolError):
    """A configured model cannot be served; the message says which and why."""

    wire_name = "ModelRefused"


class ProtocolError(ZeropoolError):
    """Bytes that follow neither ZeroRPC v3 nor the worker protocol."""

    wire_name = "ProtocolError"


class MessageTooLarge(ProtocolError):
    """A message on a connection is, or would become, larger than any may be."""

    wire_name = "MessageTooLarge"


class CallerError(ZeropoolError):
    """The call itself is wrong; sending it again will fail again."""


class UnknownMethod(CallerError):
    """No such method. The message is the bare method name, as `zerorpc.Server` answers it."""

    wire_name = "NameError"


class UnknownName(CallerError):
    """Introspection was asked for a method that does not exist; named as a dict would name it."""

    wire_name = "KeyError"


class WrongArguments(CallerError):
    """The method exists, but not with these arguments."""

    wire_name = "TypeError"


class UnknownModel(CallerError):
    """`get_model_metadata` was asked for a model that is not served."""

    wire_name = "ValueError"


class InvalidInput(CallerError):
    """The model's input schema rejects the data. Named as the original service named it."""

    wire_name = "MLModelSchemaValidationException"


class PayloadTooLarge(CallerError):
    """A request or a reply is larger than the configured limit."""

    wire_name = "PayloadTooLarge"


class ClientClosed(CallerError):
    """A client was used after it was closed. It never travels."""

    wire_name = "ClientClosed"


class ServerError(ZeropoolError):
    """The call was right, and the service failed it."""


class WorkerLost(ServerError):
    """The worker died while it had the call, and the call may not or no longer be repeated."""

    wire_name = "WorkerLost"


class UnusableOutput(ServerError):
    """The model returned something that no ZeroRPC client can decode."""

    wire_name = "TypeError"


class CapacityError(ZeropoolError):
    """The service cannot take or finish the call now; later it may."""


class Overloaded(CapacityError):
    """A queue is full. The message ends with ``retry_after_s=…``."""

    wire_name = "Overloaded"


class DeadlineExceeded(CapacityError):
    """The time for queueing and execution together has run out."""

    wire_name = "DeadlineExceeded"


class Draining(CapacityError):
    """The service is shutting down and takes no new calls."""

    wire_name = "Draining"
