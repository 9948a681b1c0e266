"""A zerorpc.Client which makes the calls that record.py listens to.

peer_python_client.py ENDPOINT HEARTBEAT_S
"""

import signal
import sys

import zerorpc

LIFE_S = 60

endpoint, heartbeat = sys.argv[1:]
signal.alarm(LIFE_S)
client = zerorpc.Client(endpoint, heartbeat=float(heartbeat))
client.no_arguments()
client.numbers(0, 1, -1, 127, 128, -33, 2**31, 2**32, 2**63, 1.5, -0.0, 5.0)
client.texts("", "iris", "h\u00e9 \u2603 \U0001f33c", "x" * 32, "y" * 300)
client.bytes(b"", b"\x00\xff", b"z" * 300)
client.nested({"a": [1, {"b": None}], "c": (True, False)}, [], {})
client.iris_model_predict(
    {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
)
for _ in client.stream():
    pass
client.slow()  # answered after the first heartbeat
for _ in client.stream_of_an_old_server():
    pass
client.close()
