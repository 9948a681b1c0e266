"""The whole gateway in a world where anything may happen at any time.

Callers call, read and vanish; workers come, answer, give back, die, say goodbye, and freeze and
answer late. Whatever the order, every caller that stays gets exactly one right answer.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway_world import World, model_info, result_of, returned
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from zeropool.shared import jobs
from zeropool.shared.wire import event as wire

TASK_ROWS = 16
MODEL = model_info(max_batch_size=TASK_ROWS, max_queue=8, timeout_s=100.0)
CLIENTS = ("a", "b", "c")
#: Errors that a caller may get although it did nothing wrong.
ERRORS = {"WorkerLost", "DeadlineExceeded", "Overloaded", "NameError"}

picks = st.integers(0, 1000)


@dataclass
class Asked:
    """What a caller asked for, and what it may be sent."""

    client: str
    call_id: str
    method: str
    values: list[int]
    credit: int = 1
    is_gone: bool = False


class GatewayMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.world = World(stream_idle_s=20.0, max_held_bytes=5_000)
        self.asked: list[Asked] = []
        self.workers: dict[str, int] = {}
        self.frozen: list[tuple[str, list[jobs.Job]]] = []
        self.born = 0

    # Callers

    def ask(self, client, method, values, timeout_s=None):
        # The same ids from every client.
        call_id = str(sum(asked.client == client for asked in self.asked))
        asked = Asked(client, call_id, method, values)
        self.asked.append(asked)
        argument = values[0] if method == "double_predict" else values
        self.world.call(method, argument, client=client, call_id=call_id, timeout_s=timeout_s)

    @rule(
        client=st.sampled_from(CLIENTS),
        value=st.integers(0, 1000),
        timeout_s=st.sampled_from([None, None, 0.5, 1000.0]),
    )
    def call(self, client, value, timeout_s):
        self.ask(client, "double_predict", [value], timeout_s)

    @rule(client=st.sampled_from(CLIENTS), size=st.sampled_from([0, 1, 20, 70]), first=picks)
    def call_batch(self, client, size, first):
        self.ask(client, "double_predict_batch", list(range(first, first + size)))

    @rule(client=st.sampled_from(CLIENTS), size=st.sampled_from([0, 1, 20, 600]), first=picks)
    def call_stream(self, client, size, first):
        self.ask(client, "double_predict_stream", list(range(first, first + size)))

    @precondition(lambda self: self.asked)
    @rule(pick=picks, slots=st.sampled_from([1, 5, 100, 300]))
    def read(self, pick, slots):
        self.grant(self.asked[pick % len(self.asked)], slots)

    def grant(self, asked, slots):
        asked.credit += slots
        self.world.grant(slots, asked.client, asked.call_id)

    @rule(client=st.sampled_from(CLIENTS))
    def vanish(self, client):
        for asked in self.asked:
            if asked.client == client:
                asked.is_gone = True
        self.world.vanish(client)

    # Workers

    @rule(credit=st.sampled_from([1, 10, 40]))
    def register(self, credit):
        self.born += 1
        self.workers[f"w{self.born}"] = credit
        self.world.register(f"w{self.born}", [MODEL], credit)

    @rule(credit=st.sampled_from([1, 10, 40]))
    def worker_up(self, credit):
        self.register(credit)
        self.world.connect(f"w{self.born}")

    def worker(self, pick):
        return sorted(self.workers)[pick % len(self.workers)]

    def some_of(self, name, pick, count):
        """Any of the jobs that a worker holds, in any order."""
        held = self.world.held[name]
        return [held.pop(pick % len(held)) for _ in range(min(count, len(held)))]

    @precondition(lambda self: self.workers)
    @rule(pick=picks)
    def connect(self, pick):
        self.world.connect(self.worker(pick))

    @precondition(lambda self: self.workers)
    @rule(pick=picks, which=picks, count=st.integers(1, 5), row_s=st.sampled_from([1e-5, 0.02]))
    def answer(self, pick, which, count, row_s):
        name = self.worker(pick)
        done = self.some_of(name, which, count)
        rows = sum(job.rows for job in done)
        self.world.report(name, map(result_of, done), held=done, busy_s=row_s * rows)

    @precondition(lambda self: self.workers)
    @rule(pick=picks, which=picks, count=st.integers(1, 5))
    def give_back(self, pick, which, count):
        name = self.worker(pick)
        self.world.report(name, map(returned, self.some_of(name, which, count)))

    @precondition(lambda self: self.workers)
    @rule(pick=picks)
    def die(self, pick):
        name = self.worker(pick)
        del self.workers[name]
        self.world.lose(name)

    @precondition(lambda self: self.workers)
    @rule(pick=picks)
    def drain(self, pick):
        self.world.from_worker(jobs.Draining(self.worker(pick)))

    @precondition(lambda self: self.workers)
    @rule(pick=picks)
    def say_goodbye(self, pick):
        name = self.worker(pick)
        del self.workers[name]
        self.world.held.pop(name, None)
        self.world.from_worker(jobs.Bye(name))

    @precondition(lambda self: self.workers)
    @rule(pick=picks)
    def freeze(self, pick):
        name = self.worker(pick)
        self.frozen.append((name, list(self.world.held[name])))
        del self.workers[name]
        self.world.lose(name)

    @precondition(lambda self: self.frozen)
    @rule(pick=picks, comes_back=st.booleans())
    def thaw(self, pick, comes_back):
        name, held = self.frozen.pop(pick % len(self.frozen))
        if comes_back:
            self.workers[name] = 10
            self.world.register(name, [MODEL], 10)
            self.world.connect(name)
        self.world.report(name, map(result_of, held), held=held)

    # Time

    @rule(span_s=st.sampled_from([0.001, 0.06, 1.0, 30.0]))
    def wait(self, span_s):
        self.world.advance(self.world.now + span_s)
        # One that never connected was given up.
        self.workers = {
            name: credit
            for name, credit in self.workers.items()
            if self.world.gateway.fleet.get(name) is not None
        }

    # What always holds

    @invariant()
    def the_cores_agree(self):
        self.world.gateway.dispatcher.check_invariants()

    @invariant()
    def nothing_is_due_that_was_not_done(self):
        assert self.world.gateway.next_deadline() > self.world.now

    @invariant()
    def no_call_is_open_after_its_deadline(self):
        for call in self.world.gateway.dispatcher._calls.values():
            assert call.deadline_at > self.world.now

    @invariant()
    def workers_hold_no_more_than_credit_and_one_task(self):
        for name, credit in self.workers.items():
            rows = sum(job.rows for job in self.world.held[name])
            assert rows < credit + TASK_ROWS

    @invariant()
    def callers_get_what_they_asked_for(self):
        for asked in self.asked:
            self.check(asked)

    def check(self, asked):
        received = self.world.received[(asked.client.encode(),), asked.call_id]
        events = [event for event in received if event[0] != wire.HEARTBEAT]
        assert len(events) <= asked.credit
        if any(name in wire.TERMINAL for name, _ in received[:-1]):
            raise AssertionError(f"{asked} received something after its end: {received}")
        items = [value for name, value in events if name == wire.STREAM]
        for item in items:
            assert item["prediction"] == 2 * asked.values[item["index"]]
        assert len({item["index"] for item in items}) == len(items)
        if events and events[-1][0] in wire.TERMINAL:
            self.check_end(asked, *events[-1], len(items))

    def check_end(self, asked, name, value, items):
        doubled = [2 * number for number in asked.values]
        if name == wire.ERR:
            assert value[0] in ERRORS
        elif name == wire.STREAM_DONE:
            assert asked.method == "double_predict_stream"
            assert items == len(asked.values)
        elif asked.method == "double_predict":
            assert value == doubled
        else:
            assert asked.method == "double_predict_batch"
            assert value == [{"predictions": doubled, "errors": []}]

    def teardown(self):
        """One worker that does its work, and callers that read: everybody has an answer."""
        for name in list(self.workers):
            self.world.lose(name)
        self.workers = {"healthy": 100}
        self.world.register("healthy", [MODEL])
        self.world.connect("healthy")
        self.run_to_completion()
        for asked in self.asked:
            self.check(asked)
            events = self.world.events(asked.client, asked.call_id)
            ends = sum(name in wire.TERMINAL for name, _ in events)
            assert asked.is_gone or ends == 1
        self.nothing_is_left()

    def run_to_completion(self):
        for asked in self.asked:
            self.grant(asked, 1000)
        while self.world.held["healthy"]:
            self.world.answer("healthy", busy_s=0.001)
            self.the_cores_agree()

    def nothing_is_left(self):
        dispatcher = self.world.gateway.dispatcher
        assert (dispatcher.open_calls, dispatcher.waiting, dispatcher.held_bytes) == (0, 0, 0)
        assert len(dispatcher.ledger) == 0
        assert self.world.gateway.session.open_channels == 0
        self.world.gateway.drain()
        assert self.world.gateway.is_drained


GatewayMachine.TestCase.settings = settings(
    max_examples=300,
    stateful_step_count=40,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
test_every_caller_that_stays_gets_one_right_answer = GatewayMachine.TestCase
