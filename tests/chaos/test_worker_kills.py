"""Workers are killed with -9, one a second, while clients call: each call has exactly one answer.

The suite runs the short form. The full one takes 20,000 calls:

    ZEROPOOL_TEST_CHAOS=full python -m pytest -s tests/chaos

With -s it prints its figures.
"""

import os
import random
import signal
import time

import pytest
from asker import Asker, Books
from harness import Service, model_tables

CLIENTS = 4
WORKERS = 3
KILL_EVERY_S = 1.0
#: The choice of the victims.
SEED = 20_261_123
MODEL = "fixture_models.slow.SleepyEchoModel"

#: Calls, seconds that each computes (three workers then need about 12 s or more even if none
#: died), kills that must have happened, and seconds after which the rest counts as unanswered.
SHORT = (5_000, 0.007, 8, 80.0)
FULL = (20_000, 0.004, 20, 300.0)
IS_FULL = os.environ.get("ZEROPOOL_TEST_CHAOS") == "full"


def kill_one_worker(service: Service, victims: random.Random) -> bool:
    """Kill one of the workers that the gateway has ready; False where there is none."""
    pids = [
        worker["pid"]
        for worker in service.call("get_status")["workers"]
        if worker["state"] == "ready"
    ]
    if not pids:
        return False
    try:
        os.kill(victims.choice(sorted(pids)), signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def wait_for_the_next_second(askers: list[Asker]) -> None:
    """Let the pool live for one second, or until no question is open."""
    next_at = time.monotonic() + KILL_EVERY_S
    for asker in askers:
        asker.has_answers.wait(max(0.0, next_at - time.monotonic()))


@pytest.mark.timeout(400)
def test_every_call_has_exactly_one_right_answer_while_workers_are_killed(serve):
    calls, sleep_s, least_kills, give_up_s = FULL if IS_FULL else SHORT
    service = serve(model_tables(MODEL), workers=WORKERS).ready()
    askers = [
        Asker(service.endpoint, calls=calls // CLIENTS, sleep_s=sleep_s, give_up_s=give_up_s)
        for _ in range(CLIENTS)
    ]
    started_at = time.monotonic()
    for asker in askers:
        asker.start()
    victims = random.Random(SEED)
    kills = 0
    while not all(asker.has_answers.is_set() for asker in askers):
        kills += kill_one_worker(service, victims)
        wait_for_the_next_second(askers)
    for asker in askers:
        asker.join()
    took_s = time.monotonic() - started_at

    books = Books()
    for asker in askers:
        books.add(asker.books)
    status = service.call("get_status")
    print(  # noqa: T201 - the figures are wanted
        f"\n{books.asked} calls by {CLIENTS} clients in {took_s:.1f} s, {kills} workers killed, "
        f"{status['redispatched']} calls given to another, slowest {books.slowest_s:.2f} s, "
        f"dropped {status['dropped']}\n{books}"
    )
    assert books == Books(asked=calls, right=calls, slowest_s=books.slowest_s)
    assert kills >= least_kills
