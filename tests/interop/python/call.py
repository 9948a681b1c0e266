"""call.py ENDPOINT METHOD [JSON…]: one call, as a user of zerorpc writes it.

Prints {"result"} or {"error": {name, message, traceback, text}}; `text` is str(error).
"""

import argparse
import json
from typing import Any

import rig
import zerorpc


def call(client: zerorpc.Client, given: argparse.Namespace) -> dict[str, Any]:
    return rig.outcome(getattr(client, given.method), *map(json.loads, given.args))


if __name__ == "__main__":
    parser = rig.arguments()
    parser.add_argument("method")
    parser.add_argument("args", nargs="*", help="JSON")
    rig.run(call, parser)
