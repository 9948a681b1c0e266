"""program.py ENDPOINT VICTIM_ENDPOINT VICTIM_PID: what programs do that use zerorpc's client.

One scenario for each function. Prints {scenario: what it returned, or {"crashed": traceback}}.
The test runs this file as it stands, and once more with the line that says where `Client` comes
from changed; nothing else in it knows which client it has. No stream is given up half-read on a
client that goes on: items in flight at that moment block zerorpc 0.6.3's client for good.
"""

import json
import os
import signal
import sys
import threading
import traceback

import gevent
import gevent.event
import gevent.pool
import zerorpc
from zerorpc import Client
from zerorpc.exceptions import LostRemote, RemoteError, TimeoutExpired

LIFE_S = 55  # below the 60 s after which the test kills the program
#: As `zerorpc.Server` has it here. Short, so that three intervals of silence, after which either
#: end gives up, pass soon.
HEARTBEAT_S = 0.5
LONGER_THAN_PATIENCE_S = 2.0
VALUE = {"text": "grüße", "list": [1, -2.5, None, True], "deep": {"bytes": b"\x00\xff"}}

ENDPOINT, VICTIM_ENDPOINT, VICTIM_PID = sys.argv[1:]


def connected(**options):
    return Client(ENDPOINT, **options)


def sleepy(value, sleep_s):
    return {"value": value, "sleep_s": sleep_s}


def told(error):
    """What a caller can see of an error."""
    if isinstance(error, RemoteError):
        last_line = str(error).rstrip().splitlines()[-1]
        return {"name": error.name, "msg": error.msg, "last_line": last_line.rpartition(".")[2]}
    return {"kind": type(error).__name__, "text": str(error)}


def caught(*kinds):
    """Runs the decorated function; what it raised, of these kinds."""

    def run(work):
        try:
            return {"returned": work()}
        except kinds as error:
            return told(error)

    return run


# Connecting and closing


def connect_by_constructor():
    client = Client(connect_to=ENDPOINT)
    answer = client.echo_predict(1)
    client.close()
    return answer


def connect_after_construction():
    client = Client(timeout=20, heartbeat=5, passive_heartbeat=False)
    client.connect(ENDPOINT)
    answer = client.echo_predict(2)
    client.close()
    return answer


def context_of_its_own():
    client = Client(ENDPOINT, context=zerorpc.Context())
    answer = client.echo_predict(3)
    client.close()
    return answer


def several_clients():
    clients = [connected() for _ in range(4)]
    answers = [client.echo_predict(number) for number, client in enumerate(clients)]
    clients[0].close()
    answers += [client.echo_predict(number) for number, client in enumerate(clients[1:])]
    for client in clients[1:]:
        client.close()
    return answers


# Calls


def values_of_all_sorts():
    client = connected()
    answer = client.echo_predict(VALUE)
    client.close()
    return {"same": answer == VALUE, "tuple": connected().echo_predict((1, (2,)))}


def by_name():
    client = connected()
    return [client("echo_predict", 1), client(b"echo_predict", 2), client("get_models") != []]


def kept_method():
    predict = connected().echo_predict
    return [predict(number) for number in range(200)] == list(range(200))


def greenlets_on_one_client():
    client = connected()
    answers = gevent.pool.Pool(10).map(client.echo_predict, range(100))
    return answers == list(range(100))


# Asynchronous calls


def async_results():
    client = connected()
    results = [client("echo_predict", number, **{"async": True}) for number in range(20)]
    answers = [result.get() for result in results]
    return {"answers": answers == list(range(20)), "ready": results[0].ready()}


def async_result_of_an_error():
    result = connected().raising_predict("fail", **{"async": True})
    return caught(RemoteError)(result.get)


def async_results_at_once():
    client = connected()
    results = [
        client("sleepy_echo_predict", sleepy(number, 0.2), timeout=15, **{"async": True})
        for number in range(4)
    ]
    return [result.get()["value"] for result in results]


# Streams


def whole_stream():
    items = list(connected().echo_predict_stream(list(range(300))))
    return sorted(item["index"] for item in items) == list(range(300)) and all(
        item["prediction"] == item["index"] for item in items
    )


def empty_stream():
    return list(connected().echo_predict_stream([]))


def stream_is_an_iterator():
    stream = connected().echo_predict_stream([7])
    first = next(stream)
    return {"itself": iter(stream) is stream, "first": first, "after": next(stream, "the end")}


def stream_with_few_slots():
    stream = connected()("echo_predict_stream", list(range(200)), slots=10)
    return sum(1 for _ in stream)


def stream_beside_calls():
    client = connected()
    stream = client.echo_predict_stream(list(range(300)))
    seen = [next(stream)["index"] for _ in range(10)]
    calls = [client.echo_predict(number) for number in range(50)]
    seen += [item["index"] for item in stream]
    return {"calls": calls == list(range(50)), "items": sorted(seen) == list(range(300))}


def stream_with_a_break():
    client = connected()
    for item in client.echo_predict_stream(list(range(300))):
        if item["index"] >= 5:
            break
    client.close()
    return connected().echo_predict("others go on")


def error_instead_of_a_stream():
    answer = caught(RemoteError)(lambda: list(connected().echo_predict_stream(5)))
    return answer.get("name")


# Errors


def error_of_the_method():
    return caught(RemoteError)(lambda: connected().raising_predict("fail"))


def unknown_method():
    return caught(RemoteError)(lambda: connected().no_such_method(1))


def wrong_arguments():
    return caught(RemoteError)(lambda: connected().echo_predict())["name"]


def goes_on_after_an_error():
    client = connected()
    for _ in range(3):
        caught(RemoteError)(lambda: client.raising_predict("fail"))
    return client.echo_predict("fine")


def argument_without_form():
    client = connected()
    answer = caught(TypeError)(lambda: client.echo_predict(object()))
    return {"kind": answer.get("kind"), "after": client.echo_predict("fine")}


# Time


def timeout_of_the_client():
    client = connected(timeout=0.4)
    late = caught(TimeoutExpired)(lambda: client.sleepy_echo_predict(sleepy(1, 1.0)))
    return {"late": late, "after": client("echo_predict", 2, timeout=20)}


def timeout_of_a_call():
    client = connected()
    call = caught(TimeoutExpired)
    return call(lambda: client.sleepy_echo_predict(sleepy(1, 1.0), timeout=0.4))


def timeout_of_an_async_call():
    result = connected()("sleepy_echo_predict", sleepy(1, 1.0), timeout=0.4, **{"async": True})
    return caught(TimeoutExpired)(result.get)


def no_timeout():
    return connected(timeout=None).echo_predict(1), connected()("echo_predict", 2, timeout=None)


def nobody_there():
    client = Client("tcp://127.0.0.1:9", timeout=0.4)
    return caught(TimeoutExpired)(lambda: client.echo_predict(1))


# Heartbeats


def computation(sleep_s=LONGER_THAN_PATIENCE_S, **options):
    client = connected(**options)
    answer = client.sleepy_echo_predict(sleepy(1, sleep_s))
    return answer["value"], client.echo_predict(2)


def heartbeats_during_a_long_computation():
    return computation(heartbeat=HEARTBEAT_S)


def passive_heartbeats():
    return computation(heartbeat=HEARTBEAT_S, passive_heartbeat=True)


def no_heartbeats():
    return computation(sleep_s=0.2, heartbeat=None)


def idle_for_longer_than_patience():
    client = connected(heartbeat=HEARTBEAT_S)
    first = client.echo_predict(1)
    gevent.sleep(LONGER_THAN_PATIENCE_S)
    return first, client.echo_predict(2)


def pause_within_a_stream():
    stream = connected(heartbeat=HEARTBEAT_S).echo_predict_stream(list(range(300)))
    seen = [next(stream)["index"] for _ in range(10)]
    gevent.sleep(LONGER_THAN_PATIENCE_S)
    seen += [item["index"] for item in stream]
    return sorted(seen) == list(range(300))


def server_dies():
    client = Client(VICTIM_ENDPOINT, heartbeat=HEARTBEAT_S)
    is_dead = gevent.event.Event()

    def read():
        stream = client.echo_predict_stream(list(range(300)))
        next(stream)
        is_dead.wait()
        return len(list(stream))

    reader = gevent.spawn(caught(LostRemote), read)
    gevent.sleep(HEARTBEAT_S)
    threading.Timer(HEARTBEAT_S, os.kill, (int(VICTIM_PID), signal.SIGKILL)).start()
    caller = caught(LostRemote)(lambda: client.sleepy_echo_predict(sleepy(1, 10.0)))
    is_dead.set()
    return {"caller": caller.get("kind"), "reader": reader.get().get("kind")}


SCENARIOS = (
    *(connect_by_constructor, connect_after_construction, context_of_its_own, several_clients),
    *(values_of_all_sorts, by_name, kept_method, greenlets_on_one_client),
    *(async_results, async_result_of_an_error, async_results_at_once),
    *(whole_stream, empty_stream, stream_is_an_iterator, stream_with_few_slots),
    *(stream_beside_calls, stream_with_a_break, error_instead_of_a_stream),
    *(error_of_the_method, unknown_method, wrong_arguments, goes_on_after_an_error),
    *(argument_without_form, timeout_of_the_client, timeout_of_a_call, timeout_of_an_async_call),
    *(no_timeout, nobody_there, heartbeats_during_a_long_computation, passive_heartbeats),
    *(no_heartbeats, idle_for_longer_than_patience, pause_within_a_stream, server_dies),
)


def main():
    signal.alarm(LIFE_S)
    outcomes = {}
    for scenario in SCENARIOS:
        try:
            outcomes[scenario.__name__] = scenario()
        except Exception:  # noqa: BLE001 - the test tells which scenario failed, and how
            outcomes[scenario.__name__] = {"crashed": traceback.format_exc()}
    sys.stdout.write(json.dumps(outcomes) + "\n")


if __name__ == "__main__":
    main()
