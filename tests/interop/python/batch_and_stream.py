"""batch_and_stream.py ENDPOINT ROWS [--slots N]: the same rows as a batch, then as a stream.

Prints {"batch": {predictions, errors, missing}, "stream": {items, indexes_once, errors,
differing}}: `differing` counts the streamed predictions which are not the batch's own at
that index.
"""

import argparse
from typing import Any

import rig
import zerorpc


def compare(client: zerorpc.Client, given: argparse.Namespace) -> dict[str, Any]:
    rows = rig.rows(given.rows)
    batch = client.iris_model_predict_batch(rows)
    predictions = batch["predictions"]
    items = list(client.iris_model_predict_stream(rows, slots=given.slots))
    return {
        "batch": {
            "predictions": len(predictions),
            "errors": len(batch["errors"]),
            "missing": predictions.count(None),
        },
        "stream": {
            "items": len(items),
            "indexes_once": sorted(item["index"] for item in items) == list(range(given.rows)),
            "errors": sum("error" in item for item in items),
            "differing": sum(
                item.get("prediction") != predictions[item["index"]] for item in items
            ),
        },
    }


if __name__ == "__main__":
    parser = rig.arguments()
    parser.add_argument("rows", type=int)
    parser.add_argument("--slots", type=int, default=100)
    rig.run(compare, parser)
