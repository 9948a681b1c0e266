"""many.py ENDPOINT METHOD CALLS: calls with the numbers from 0 on, each of which must come back.

Prints {"right", "took_s"}.
"""

import argparse
import time
from typing import Any

import rig
import zerorpc


def call_many(client: zerorpc.Client, given: argparse.Namespace) -> dict[str, Any]:
    method = getattr(client, given.method)
    started_at = time.monotonic()
    right = sum(method(number) == number for number in range(given.calls))
    return {"right": right, "took_s": time.monotonic() - started_at}


if __name__ == "__main__":
    parser = rig.arguments()
    parser.add_argument("method")
    parser.add_argument("calls", type=int)
    rig.run(call_many, parser)
