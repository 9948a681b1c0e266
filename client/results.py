"""What a caller gets from a call's outcome: its value, or an exception to raise.

The exceptions are zerorpc's own classes, so that `except zerorpc.RemoteError` works as before. They
are loaded when the first one is needed, because importing zerorpc loads gevent. No I/O, no clock.
"""

from __future__ import annotations

from typing import Any

from zeropool.client.answered import Answered
from zeropool.client.call import Call
from zeropool.client.outcomes import Expired, Failed, Lost
from zeropool.shared.wire.records import RemoteFailure


def value_of(call: Call, timeout_s: float | None) -> Any:  # noqa: ANN401 - what the server answers
    """The value of a call that has ended.

    Raises:
        zerorpc.RemoteError, zerorpc.TimeoutExpired, zerorpc.LostRemote: it has not ended well.
        ProtocolError: the answer cannot be decoded.
    """
    outcome = call.outcome
    if isinstance(outcome, Answered):
        return outcome.value()
    raise failure_of(call, timeout_s)


def failure_of(call: Call, timeout_s: float | None) -> Exception:
    """The exception for a call that has ended badly."""
    match call.outcome:
        case Failed(failure=failure):
            return remote_error(failure)
        case Expired(reason=reason):
            return _timeout_expired(timeout_s, call.method, reason)
        case Lost(reason=reason):
            return _lost_remote(reason)
    # Who asks for one value cannot use a stream.
    return TypeError(f"{call.method} answers with a stream")


def remote_error(failure: RemoteFailure) -> Exception:
    """What the server says went wrong."""
    from zerorpc.exceptions import RemoteError  # noqa: PLC0415 - see the module's docstring

    error: Exception = RemoteError(failure.name, failure.message, failure.traceback or None)
    return error


def _timeout_expired(timeout_s: float | None, method: str, reason: str) -> Exception:
    from zerorpc.exceptions import TimeoutExpired  # noqa: PLC0415 - see the module's docstring

    error: Exception = TimeoutExpired(timeout_s, f"calling remote method {method}")
    if reason:
        # Its text is zerorpc's.
        error.add_note(reason)
    return error


def _lost_remote(reason: str) -> Exception:
    from zerorpc.exceptions import LostRemote  # noqa: PLC0415 - see the module's docstring

    error: Exception = LostRemote(reason)
    return error


def named(name: str) -> type[Exception]:
    """One of zerorpc's exception classes, by its name."""
    from zerorpc import exceptions  # noqa: PLC0415 - see the module's docstring

    kind: type[Exception] = getattr(exceptions, name)
    return kind


def bad_endpoint(endpoint: str, error: ValueError) -> Exception:
    """What libzmq's binding, and so zerorpc, raises for an endpoint that is none."""
    import zmq  # noqa: PLC0415 - only the error's class is needed of it

    return zmq.ZMQError(zmq.EINVAL, f"{endpoint!r}: {error}")
