"""many.py ENDPOINT METHOD CALLS: calls with the numbers from 0 on, each of which must come back.

Prints {"right"}.
"""

import argparse
from typing import Any

import rig
import zerorpc


def call_many(client: zerorpc.Client, given: argparse.Namespace) -> dict[str, Any]:
    method = getattr(client, given.method)
    right = sum(method(number) == number for number in range(given.calls))
    return {"right": right}


if __name__ == "__main__":
    parser = rig.arguments()
    parser.add_argument("method")
    parser.add_argument("calls", type=int)
    rig.run(call_many, parser)
