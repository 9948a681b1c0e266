"""`zeropool call`, `models` and `status`: one question to a gateway, the answer on stdout."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any, TextIO

import zmq

from zeropool.cli.absence import absence
from zeropool.client import Client, RetryPolicy
from zeropool.shared.errors import ZeropoolError
from zeropool.shared.methods import model_of

#: Nobody who waits at a terminal wants the default timeout to learn that nothing is there.
CONNECT_TIMEOUT_S = 3.0
#: What only reads is repeated, as nobody can mind; a prediction may cost somebody something.
READING_ONLY = RetryPolicy()


class CallFailed(ZeropoolError):  # noqa: N818 - named as the errors of zeropool.shared.errors
    """The call did not succeed; the message is what the user is to read."""


def repeating(method: str) -> RetryPolicy:
    """The policy of a user who knows that this method is safe to repeat."""
    model = model_of(method)
    return RetryPolicy() if model is None else RetryPolicy(models={model})


def ask(
    endpoint: str,
    method: str,
    arguments: list[Any],
    timeout_s: float | None,
    retry: RetryPolicy | None = None,
) -> Iterator[Any]:
    """Call a method; give its value, or one by one the items of its stream.

    With a policy, a service that is not there yet is waited for.

    Raises:
        CallFailed: there is no server, or it answered with an error.
    """
    try:
        with Client(endpoint, timeout_s=timeout_s, retry=retry or READING_ONLY) as client:
            if retry is None:
                _require_connection(client, endpoint)
            answer = client.call(method, *arguments)
            if isinstance(answer, Iterator):
                yield from answer
            else:
                yield answer
    except zmq.ZMQError as error:
        raise CallFailed(f"cannot connect to {endpoint!r}: {error.strerror}") from error
    except CallFailed:
        raise
    except Exception as error:
        # Matched here, as loading zerorpc for a call that succeeds would double its time.
        raise CallFailed(_describe(error)) from error


def _require_connection(client: Client, endpoint: str) -> None:
    if not client.wait_connected(CONNECT_TIMEOUT_S):
        raise CallFailed(absence(client.connection_failure or endpoint))


def _describe(error: Exception) -> str:
    from zerorpc import exceptions  # noqa: PLC0415 - loads gevent

    if isinstance(error, exceptions.RemoteError):
        return f"{error.name}: {error.msg}"
    if isinstance(error, exceptions.TimeoutExpired | exceptions.LostRemote):
        return ": ".join([type(error).__name__, str(error), *getattr(error, "__notes__", ())])
    if isinstance(error, TypeError | OverflowError | UnicodeEncodeError):
        return f"the arguments cannot be sent: {error}"
    raise error


def print_json(value: Any, out: TextIO) -> None:  # noqa: ANN401 - any answer
    """Write a value as one line of JSON; bytes appear in base64.

    Raises:
        CallFailed: the value has no JSON form, as a map with keys that are bytes.
    """
    try:
        line = json.dumps(value, ensure_ascii=False, default=_base64)
    except TypeError as error:
        raise CallFailed(f"the answer has no JSON form: {error}") from error
    out.write(line + "\n")
    out.flush()


def _base64(value: object) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def print_models(models: list[dict[str, Any]], out: TextIO) -> None:
    """Write a line for each model."""
    if not models:
        out.write("no models: no worker has registered yet\n")
        return
    width = max(len(model["qualified_name"]) for model in models)
    for model in models:
        version = f"{model['major_version']}.{model['minor_version']}"
        out.write(
            f"{model['qualified_name']:{width}}  {version:>5}  "
            f"{model['display_name']}: {model['description']}\n"
        )


def print_status(status: dict[str, Any], out: TextIO) -> None:
    """Write a gateway's status for a person."""
    out.write(
        f"{status['name']} {status['version']} {status['state']} for {status['uptime_s']:.0f} s: "
        f"{_counted(status['clients'], 'client')}, {_counted(status['open_calls'], 'open call')}, "
        f"{status['calls_per_s']:.1f} calls/s\n"
    )
    for model in status["models"]:
        outcomes = "".join(f" {name}={count}" for name, count in model["outcomes"].items())
        pace = "" if model["row_ms"] is None else f" {model['row_ms']:.3g} ms/row"
        out.write(
            f"  model {model['qualified_name']}: {_counted(model['workers'], 'worker')}, "
            f"{model['waiting']} waiting{pace}{outcomes}\n"
        )
    out.writelines(
        f"  worker {worker['worker']}: {worker['state']} pid {worker['pid']} "
        f"on {worker['host']}, {worker['in_flight']} in flight, "
        f"{worker['answered_rows']} rows in {worker['busy_s']:.1f} s\n"
        for worker in status["workers"]
    )
    if status["dropped"]:
        drops = " ".join(f"{name}={count}" for name, count in status["dropped"].items())
        out.write(f"  dropped: {drops}\n")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
