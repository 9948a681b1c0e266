"""server.py ENDPOINT: a plain `zerorpc.Server` with the methods that a Zeropool has for its models.

Says "ready" when it listens. It waits where the models compute, as it has one thread.
"""

import sys

import gevent
import zerorpc

#: As the program's clients have it: a server beats at its own pace, not at its client's.
HEARTBEAT_S = 0.5


class PredictionFailed(Exception):  # noqa: N818 - as the model's own
    """An error of the service."""


class Service:
    def get_models(self):
        return [{"qualified_name": "echo"}]

    def echo_predict(self, data):
        return data

    @zerorpc.stream
    def echo_predict_stream(self, rows):
        return ({"index": index, "prediction": row} for index, row in enumerate(rows))

    def sleepy_echo_predict(self, data):
        gevent.sleep(data["sleep_s"])
        return {"value": data["value"]}

    def raising_predict(self, data):
        raise PredictionFailed(f"asked to {data}")


def main():
    server = zerorpc.Server(Service(), heartbeat=HEARTBEAT_S)
    server.bind(sys.argv[1])
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    server.run()


if __name__ == "__main__":
    main()
