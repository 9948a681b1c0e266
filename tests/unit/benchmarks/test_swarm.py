"""The load of many clients shares its calls among them, and counts right answers only."""

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator

import msgspec
import zmq
from swarm import Swarm

MOMENT_S = 1e-6


@contextlib.contextmanager
def answering(
    calls: int, reply: Callable[[bytes], list[bytes]]
) -> Iterator[tuple[str, Counter[bytes]]]:
    """A server that answers so many calls so: its endpoint, and how many each client made."""
    asked: Counter[bytes] = Counter()
    with zmq.Context() as context, context.socket(zmq.ROUTER) as server:
        server.bind("tcp://127.0.0.1:*")
        server.setsockopt(zmq.RCVTIMEO, 10_000)

        def serve() -> None:
            for _ in range(calls):
                client, delimiter, payload = server.recv_multipart()
                asked[client] += 1
                for each in reply(payload):
                    server.send_multipart([client, delimiter, each])

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockopt_string(zmq.LAST_ENDPOINT), asked
        thread.join()


def answer(payload: bytes, name: str = "OK") -> list[bytes]:
    header, _, arguments = msgspec.msgpack.decode(payload)
    reply = {"message_id": b"1", "v": 3, "response_to": header["message_id"]}
    return [msgspec.msgpack.encode([reply, name, arguments])]


def test_the_calls_in_flight_are_shared_by_all_clients():
    with answering(7, answer) as (endpoint, asked), Swarm(endpoint, 3, "echo", 1) as swarm:
        tally = swarm.closed(7, MOMENT_S)
    assert sorted(asked.values()) == [2, 2, 3]
    assert (tally.answers, tally.failed) == (7, 0)


def test_what_answers_no_open_call_is_not_counted():
    def twice(payload: bytes) -> list[bytes]:
        return [b"nothing of ours", *answer(payload), *answer(payload)]

    with answering(2, twice) as (endpoint, _), Swarm(endpoint, 1, "echo", 1) as swarm:
        tally = swarm.closed(2, MOMENT_S)
    assert (tally.answers, tally.failed) == (2, 0)


def test_an_error_is_a_failed_call():
    def error(payload: bytes) -> list[bytes]:
        return answer(payload, "ERR")

    with answering(2, error) as (endpoint, _), Swarm(endpoint, 2, "echo", 1) as swarm:
        tally = swarm.closed(2, MOMENT_S)
    assert (tally.answers, tally.failed) == (0, 2)
