"""half_read_streams.py ENDPOINT ROWS SECONDS: streams left half-read while others go on.

One stream is dropped after a few items, one is kept open without reading. For SECONDS
others make calls and read whole streams. Then the kept one is read to its end.
Prints {"calls", "streams": [indexes were complete…], "kept_indexes_once"}.

The dropped stream has a client of its own, which stays connected but does nothing more:
items in flight at that moment block zerorpc 0.6.3's client for good (its dispatcher waits
for room in the queue of the closed channel), whatever the server does.
"""

import argparse
import time
from typing import Any

import rig
import zerorpc

READ_FIRST = 10


def whole_stream_is_complete(client: zerorpc.Client, count: int) -> bool:
    indexes = [item["index"] for item in client.iris_model_predict_stream(rig.rows(count))]
    return sorted(indexes) == list(range(count))


def leave_half_read(client: zerorpc.Client, given: argparse.Namespace) -> dict[str, Any]:
    rows = rig.rows(given.rows)
    kept = client.iris_model_predict_stream(rows)
    kept_indexes = [next(kept)["index"] for _ in range(READ_FIRST)]
    dropper = rig.client_for(given)
    dropped = dropper.iris_model_predict_stream(rows)
    for _ in range(READ_FIRST):
        next(dropped)
    del dropped

    calls, streams = 0, []
    other = rig.client_for(given)
    end_at = time.monotonic() + given.seconds
    while time.monotonic() < end_at:
        for caller in (client, other):
            caller.iris_model_predict(rows[0])
            calls += 1
            streams.append(whole_stream_is_complete(caller, given.rows))
    other.close()
    dropper.close()

    kept_indexes += [item["index"] for item in kept]
    return {
        "calls": calls,
        "streams": streams,
        "kept_indexes_once": sorted(kept_indexes) == list(range(given.rows)),
    }


if __name__ == "__main__":
    parser = rig.arguments()
    parser.add_argument("rows", type=int)
    parser.add_argument("seconds", type=float)
    rig.run(leave_half_read, parser)
