"""What every script here shares: an ordinary zerorpc client, one JSON line, a bounded life.

Each script takes ENDPOINT first, prints one JSON object on stdout and ends with code 0;
a crash (LostRemote among them) ends it with code 1, running out of time by SIGALRM.
"""

import argparse
import json
import signal
import sys
from collections.abc import Callable
from typing import Any

import zerorpc

LIFE_S = 55  # below the 60 s after which the test kills the script

# One row of each species, then whole numbers, which msgpack carries as integers.
SAMPLES = (
    {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2},
    {"sepal_length": 7.0, "sepal_width": 3.2, "petal_length": 4.7, "petal_width": 1.4},
    {"sepal_length": 6.3, "sepal_width": 3.3, "petal_length": 6.0, "petal_width": 2.5},
    {"sepal_length": 7, "sepal_width": 3, "petal_length": 6, "petal_width": 2},
)


def rows(count: int) -> list[dict[str, float]]:
    return [SAMPLES[index % len(SAMPLES)] for index in range(count)]


def arguments() -> argparse.ArgumentParser:
    """A parser which knows the endpoint and the options of zerorpc.Client."""
    parser = argparse.ArgumentParser()
    parser.add_argument("endpoint")
    parser.add_argument("--heartbeat", default=5.0, type=heartbeat, help="seconds, or `none`")
    parser.add_argument("--passive-heartbeat", action="store_true")
    parser.add_argument("--timeout", default=30.0, type=float, help="seconds")
    return parser


def heartbeat(text: str) -> float | None:
    return None if text == "none" else float(text)


def client_for(given: argparse.Namespace) -> zerorpc.Client:
    return zerorpc.Client(
        given.endpoint,
        timeout=given.timeout,
        heartbeat=given.heartbeat,
        passive_heartbeat=given.passive_heartbeat,
    )


def outcome(call: Callable[..., Any], *args: object) -> dict[str, Any]:
    """The result of a call, or everything that a RemoteError tells."""
    try:
        return {"result": call(*args)}
    except zerorpc.RemoteError as error:
        return {
            "error": {
                "name": error.name,
                "message": error.msg,
                "traceback": error.traceback,
                "text": str(error),
            }
        }


def run(
    work: Callable[[zerorpc.Client, argparse.Namespace], dict[str, Any]],
    parser: argparse.ArgumentParser,
) -> None:
    """Parses argv, runs `work` with a client, prints what it returns."""
    given = parser.parse_args()
    signal.alarm(LIFE_S)
    client = client_for(given)
    try:
        answer = work(client, given)
    finally:
        client.close()
    sys.stdout.write(json.dumps(answer) + "\n")
