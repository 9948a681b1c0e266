"""Who knows what must be true: a ledger of its own, kept from what passes between the cores.

It sees every message that the gateway takes and gives, every start of a job in a worker, and what
every client is told, and raises `Broken` when a promise is broken. It reads the cores' own state
nowhere but in `rested`, which tells that nothing is left, and in `stepped`.
"""

from __future__ import annotations

from collections import Counter

import msgspec
from request import Broken, Flight, Request, Row, Trait
from scenario import Kind, Scenario

from zeropool.gateway.budget import CALL_BYTES
from zeropool.gateway.core import Gateway
from zeropool.shared import jobs
from zeropool.shared.errors import ProtocolError
from zeropool.shared.jobs import Outcome
from zeropool.shared.wire import event as wire
from zeropool.shared.wire.event_scan import Event
from zeropool.shared.wire.records import Route
from zeropool.shared.wire.session import Drop

unpack = msgspec.msgpack.decode

#: A client that sent heartbeats and is silent for longer may be given up by the gateway.
GATEWAY_PATIENCE_S = 20.0
#: A budget for held bytes that a few calls use up.
NARROW_BYTES = 100_000

#: What tells channels apart: the peer, and the id with its msgpack type.
_Name = tuple[Route, bytes]


class Oracle:
    """The ledger of one run."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.traits: dict[Row, Trait] = {}
        self.requests: list[Request] = []
        self._by_row: dict[Row, Request] = {}
        self._by_number: dict[int, Request] = {}
        # Of the present gateway:
        self.incarnation = ""
        self._open: dict[_Name, Request] = {}
        self._silent_since: dict[_Name, float] = {}
        self._workers: dict[str, _Worker] = {}
        self._models: set[str] = set()
        self._flights: dict[int, Flight] = {}
        self._attempts: dict[int, int] = {}
        self._deaths: dict[int, int] = {}
        self._uncancelled: dict[int, Flight] = {}
        self._held_bytes = 0
        self._is_draining = False
        self._unclaimed = 0
        #: Single calls that are with no worker.
        self._waiting: dict[int, Request] = {}
        #: Streams for which something has come.
        self._stirred: dict[int, Request] = {}
        # Of the workers:
        self._starts: dict[Row, int] = {}
        #: Workers that said in this step that they drain: others may have been let go before that.
        self._said_so_now: set[str] = set()
        self.errors: Counter[str] = Counter()
        self.counts = {"answers": 0, "errors": 0, "redispatched": 0, "stale": 0}

    # Requests

    def asks(self, request: Request) -> None:
        """A client makes a request."""
        self.requests.append(request)
        for row in request.rows:
            self._by_row[row] = request
        if self.scenario.limits.max_reply_bytes < 1000:
            request.excuses.add("small replies")

    # The gateway's life

    def gateway_starts(self, incarnation: str) -> None:
        """A new incarnation: what the last one had is gone."""
        for request in self._open.values():
            request.is_gone = True
        self.incarnation = incarnation
        self._open.clear()
        self._silent_since.clear()
        self._workers.clear()
        self._models.clear()
        self._flights.clear()
        self._attempts.clear()
        self._deaths.clear()
        self._uncancelled.clear()
        self._held_bytes = 0
        self._is_draining = False
        self._unclaimed = 0
        self._waiting.clear()
        self._stirred.clear()

    def gateway_drains(self) -> None:
        """From here on, `Draining` is an answer."""
        self._is_draining = True
        for request in self._open.values():
            request.excuses.add("Draining")

    # The client port

    def arrives(self, route: Route, event: Event, request: Request | None, now: float) -> None:
        """The gateway takes an event from a client; ``request`` is what it asks for, if it does."""
        if event.response_to:
            key = (route, event.response_to)
            known = self._open.get(key)
            if known is None:
                return
            if event.name == wire.MORE:
                known.credit += wire.decode_credit(event.args)
                self._stirred[known.number] = known
            elif event.name == wire.HEARTBEAT:
                self._silent_since[key] = now
            return
        key = (route, event.message_id)
        if request is None or key in self._open:
            # Not an event that opens a channel; or the id of an open one, which is dropped.
            return
        self._open[key] = request
        request.arrived_at = now
        request.args_bytes = len(event.args)
        if self._is_draining:
            request.excuses.add("Draining")
        self._excuse_refusal(request)
        if request.kind in (Kind.CALL, Kind.BATCH):
            self._held_bytes += request.args_bytes + CALL_BYTES
        if request.kind is Kind.CALL:
            self._waiting[request.number] = request

    def is_open(self, route: Route, message_id: bytes) -> bool:
        """A request of that id has no end yet."""
        return (route, message_id) in self._open

    def _excuse_refusal(self, request: Request) -> None:
        if request.plan is None:
            if request.method == "no_such_method":
                request.excuses.add("NameError")
            return
        model = request.plan.info.qualified_name
        if model not in self._models:
            request.excuses.add("NameError")
            # How long it may wait for workers, the model cannot say yet.
            request.excuses.add("DeadlineExceeded")
        rivals = [other for other in self._open.values() if other.plan is request.plan]
        # How many bytes of results wait beside the arguments, only the gateway knows; and how long
        # the queue would take, it may misjudge, but not where there is none.
        if self.scenario.limits.max_held_bytes < NARROW_BYTES or len(rivals) > 1:
            request.excuses.add("Overloaded")
        if len(rivals) > request.plan.info.max_queue:
            # Who has many calls gives way to who has few.
            for rival in rivals:
                rival.excuses.add("Overloaded")

    def leaves(self, route: Route, payload: bytes, now: float) -> None:
        """The gateway says something to a client."""
        try:
            event = wire.decode_event(payload)
        except ProtocolError as error:
            raise Broken(f"{payload!r} was sent to {route}, which is no event") from error
        key = (route, event.response_to)
        request = self._open.get(key)
        if request is None:
            raise Broken(f"{event.name} to {route}, where nothing is open: {payload!r}")
        if event.name == wire.HEARTBEAT:
            return
        request.data_events += 1
        if request.data_events > request.credit:
            raise Broken(
                f"{request}: data event {request.data_events} with credit {request.credit}"
            )
        if event.name == wire.STREAM:
            self._item(request, unpack(event.args), request.indexes, now)
        elif event.name in wire.TERMINAL:
            self._ends(request, event, now)
            del self._open[key]
            self._over(request)
        else:
            raise Broken(f"{request} got {event.name}")

    def _ends(self, request: Request, event: Event, now: float) -> None:
        request.terminal = event.name
        if event.name == wire.OK:
            self.counts["answers"] += 1
            (value,) = unpack(event.args)
            request.check_answer(value, self.traits, now)
        elif event.name == wire.ERR:
            self.counts["errors"] += 1
            failure = wire.decode_failure(event.args)
            self.errors[failure.name] += 1
            request.check_failure(failure, self.traits, now)
        elif len(request.indexes) != len(request.rows) or request.kind is not Kind.STREAM:
            raise Broken(f"{request} ended after {len(request.indexes)} items")

    def _item(self, request: Request, item: dict[str, object], seen: set[int], now: float) -> None:
        index = item["index"]
        assert isinstance(index, int)
        if index in seen:
            raise Broken(f"{request}: item {index} came twice")
        if request.kind is not Kind.STREAM or not 0 <= index < len(request.rows):
            raise Broken(f"{request}: item {index} was not asked for")
        seen.add(index)
        error = item.get("error")
        name = error["name"] if isinstance(error, dict) else ""
        request.check_row(request.rows[index], item.get("prediction"), name, self.traits, now)

    def client_gone(self, route: Route) -> None:
        """The gateway is told that a client cannot be reached."""
        for key in [key for key in self._open if key[0] == route]:
            self._gone(key)

    def _gone(self, key: _Name) -> None:
        request = self._open.pop(key)
        self._silent_since.pop(key, None)
        request.is_gone = True
        self._over(request)

    def _over(self, request: Request) -> None:
        if request.kind in (Kind.CALL, Kind.BATCH):
            self._held_bytes -= request.args_bytes + CALL_BYTES
        self._waiting.pop(request.number, None)
        self._stirred.pop(request.number, None)
        for job_id, flight in request.flights.items():
            if not flight.is_doubtful:
                self._uncancelled[job_id] = flight

    # The worker port

    def hears(self, frame: bytes) -> None:
        """The gateway takes a frame from the worker port."""
        try:
            message = jobs.decode_from_worker(frame)
        except ProtocolError:
            return
        if type(message) is jobs.Results:
            self._settle(message)
        elif type(message) is jobs.Register:
            models = [info.qualified_name for info in message.models]
            self._workers.setdefault(message.worker, _Worker(message.credit, models))
        elif type(message) is jobs.Draining:
            worker = self._workers.get(message.worker)
            if worker is not None:
                worker.is_draining = True
                self._said_so_now.add(message.worker)

    def _settle(self, message: jobs.Results) -> None:
        if message.gateway != self.incarnation or message.worker not in self._workers:
            self.counts["stale"] += len(message.results)
            return
        for result in message.results:
            flight = self._flights.get(result.job_id)
            if flight is None or (flight.attempt, flight.worker) != (
                result.attempt,
                message.worker,
            ):
                self.counts["stale"] += 1
                continue
            self._land(flight)
            request = flight.request
            is_item = request.kind is Kind.STREAM and result.outcome is Outcome.OK
            if is_item and not flight.is_doubtful:
                request.computed += flight.rows
                if not request.is_over:
                    self._stirred[request.number] = request

    def _land(self, flight: Flight) -> None:
        del self._flights[flight.job_id]
        request = flight.request
        del request.flights[flight.job_id]
        if request.kind is Kind.CALL and not request.is_over:
            self._waiting[request.number] = request
        self._uncancelled.pop(flight.job_id, None)
        worker = self._workers[flight.worker]
        if flight.is_doubtful:
            worker.doubtful_rows -= flight.held_rows
        else:
            worker.held_rows -= flight.held_rows

    def worker_connected(self, worker_id: str) -> None:
        """The gateway is told that a worker can be given work."""
        worker = self._workers.get(worker_id)
        # One that drains already brings nothing any more.
        if worker is not None and not worker.is_draining:
            worker.is_connected = True
            self._models.update(worker.models)

    def worker_ends(self, worker_id: str, *, died: bool) -> None:
        """The gateway is told, or decides, that a worker is gone."""
        if worker_id not in self._workers:
            return
        for flight in [each for each in self._flights.values() if each.worker == worker_id]:
            self._land(flight)
            if died and not flight.is_doubtful:
                deaths = self._deaths.get(flight.job_id, 0) + 1
                self._deaths[flight.job_id] = deaths
                flight.request.deaths = max(flight.request.deaths, deaths)
        del self._workers[worker_id]

    def given_up(self, worker_id: str) -> None:
        """The gateway decides that a worker is gone, unless it was told so before."""
        worker = self._workers.get(worker_id)
        if worker is None:
            return
        if worker.is_connected:
            # A frozen one is noticed by its connection, a hung one ends at its hard limit.
            raise Broken(f"{worker_id} is given up: its results were lost on the way")
        self.worker_ends(worker_id, died=True)

    def tells(self, worker_id: str, frame: bytes) -> None:
        """The gateway sends a frame to a worker."""
        message = jobs.decode_from_gateway(frame)
        if type(message) is jobs.Jobs:
            for job in message.jobs:
                self._assigned(worker_id, job)
        elif type(message) is jobs.Cancel:
            for job_id in message.job_ids:
                self._cancelled(worker_id, job_id)
        elif type(message) is jobs.Drain:
            self._retires(worker_id)

    def _retires(self, worker_id: str) -> None:
        """Spent workers are replaced one at a time."""
        others = self._workers.keys() - self._said_so_now - {worker_id}
        if any(self._workers[name].is_draining for name in others):
            raise Broken(f"{worker_id} is let go while another one leaves")
        worker = self._workers.get(worker_id)
        if worker is not None:
            # It may have said goodbye in the same step.
            worker.is_draining = True

    def _cancelled(self, worker_id: str, job_id: int) -> None:
        flight = self._flights.get(job_id)
        if flight is None or flight.worker != worker_id:
            return
        self._uncancelled.pop(job_id, None)
        if flight.request.is_over or flight.request.kind is Kind.STREAM:
            # The stream may have ended with an event that waits for credit; or it goes on, and the
            # job was taken back. What is cancelled may be taken back as well.
            self._doubt(flight)
        else:
            # Taken back from a stalled worker: another gets it.
            self._land(flight)
            self.counts["redispatched"] += 1

    def _doubt(self, flight: Flight) -> None:
        if not flight.is_doubtful:
            flight.is_doubtful = True
            worker = self._workers[flight.worker]
            worker.held_rows -= flight.held_rows
            worker.doubtful_rows += flight.held_rows

    def _assigned(self, worker_id: str, job: jobs.Job) -> None:
        worker = self._workers.get(worker_id)
        if worker is None or worker.is_draining:
            raise Broken(f"job {job.job_id} was sent to {worker_id}, which takes none")
        flight = self._flights.get(job.job_id)
        if flight is not None and flight.is_doubtful:
            self._land(flight)
        elif flight is not None:
            raise Broken(f"job {job.job_id} was sent to {worker_id} while another has it")
        if job.attempt <= self._attempts.get(job.job_id, 0):
            raise Broken(f"job {job.job_id} was sent with attempt {job.attempt} again")
        if worker.held_rows and worker.held_rows >= worker.credit:
            raise Broken(f"{worker_id} holds {worker.held_rows} rows of credit {worker.credit}")
        if job.remaining_s <= 0.0:
            raise Broken(f"job {job.job_id} was sent after its deadline")
        request = self._by_row[unpack(job.args)[0]]
        self._check_attempts(request, job)
        is_suspect = bool(self._deaths.get(job.job_id))
        if is_suspect and worker.held_rows:
            raise Broken(f"suspect job {job.job_id} has company on {worker_id}")
        if request.is_over:
            raise Broken(f"job {job.job_id} was sent though {request} is over")
        held_rows = min(job.rows, request.plan.info.max_batch_size)
        flight = Flight(
            job.job_id, job.attempt, worker_id, job.rows, held_rows, request, is_suspect
        )
        self._attempts[job.job_id] = job.attempt
        self._flights[job.job_id] = request.flights[job.job_id] = flight
        self._waiting.pop(request.number, None)
        worker.held_rows += flight.held_rows

    def _check_attempts(self, request: Request, job: jobs.Job) -> None:
        assert request.plan is not None
        deaths = self._deaths.get(job.job_id, 0)
        if deaths and not request.plan.info.retry_safe:
            raise Broken(f"job {job.job_id} of {request} is repeated, and must not be")
        if deaths >= request.max_attempts:
            raise Broken(f"job {job.job_id} was sent again after {deaths} deaths")
        if deaths:
            self.counts["redispatched"] += 1

    # Workers

    def starts(self, worker: str, job: jobs.Job, deadline_at: float, now: float) -> None:
        """A worker starts a job, ``deadline_at`` by its own clock."""
        if now >= deadline_at:
            raise Broken(f"{worker} starts job {job.job_id} after its deadline")
        rows = unpack(job.args)
        request = self._by_row[rows[0]]
        assert request.plan is not None
        if request.plan.info.qualified_name != job.model:
            raise Broken(f"{worker} starts job {job.job_id} of {request} with {job.model}")
        if request.plan.info.retry_safe:
            return
        self._starts[rows[0]] = self._starts.get(rows[0], 0) + 1
        if self._starts[rows[0]] > 1:
            raise Broken(f"{request} is started twice, and must not be repeated")

    # Clients

    def told_item(self, request: Request, value: bytes, now: float) -> None:
        """A client takes an item."""
        if request.outcome:
            raise Broken(f"{request} got an item after {request.outcome}")
        self._item(request, unpack(value), request.items_seen, now)

    def told_end(self, request: Request, outcome: str, value: object, now: float) -> None:
        """A client takes the end of a call."""
        if request.outcome:
            raise Broken(f"{request} got {outcome} after {request.outcome}")
        request.outcome = outcome
        if outcome == wire.OK:
            request.check_answer(value, self.traits, now)
        elif outcome == wire.STREAM_DONE and len(request.items_seen) != len(request.rows):
            raise Broken(f"{request} ended after {len(request.items_seen)} items")
        elif outcome == "Lost" and "Lost" not in request.excuses:
            raise Broken(f"{request} lost its gateway without a reason")

    # What always holds

    def stepped(self, gateway: Gateway, now: float) -> None:
        """The gateway has done a step, and what it commanded was carried out."""
        self._said_so_now.clear()
        if self._uncancelled:
            flight = next(iter(self._uncancelled.values()))
            raise Broken(f"job {flight.job_id} is not cancelled though {flight.request} is over")
        if gateway.next_deadline() <= now:
            raise Broken(f"something is due at {gateway.next_deadline()} and was not done")
        if self._held_bytes > self.scenario.limits.max_held_bytes:
            raise Broken(f"{self._held_bytes} bytes are held")
        if len(self._open) != gateway.session.open_channels:
            self._find_lost(gateway, now)
        if self._waiting:
            self._find_idle()
        if self._stirred:
            self._find_withheld()

    def _find_idle(self) -> None:
        """Nobody waits while a worker has nothing to do."""
        for name, worker in self._workers.items():
            if worker.is_idle:
                request = next(iter(self._waiting.values()))
                raise Broken(f"{name} is idle while {request} waits")

    def _find_withheld(self) -> None:
        """What a stream's caller has asked for is sent as soon as it is there."""
        for request in self._stirred.values():
            if len(request.indexes) < request.computed and request.data_events < request.credit:
                raise Broken(f"an item of {request} is there and wanted, and was not sent")
        self._stirred.clear()

    def _find_lost(self, gateway: Gateway, now: float) -> None:
        """A channel was closed without a word: is there a reason?"""
        for key, request in list(self._open.items()):
            route, channel_id = key
            if channel_id in gateway.session._channels.get(route, ()):
                continue
            heard_at = self._silent_since.get(key)
            is_silent = heard_at is not None and now - heard_at >= GATEWAY_PATIENCE_S
            if gateway.session.dropped[Drop.UNCLAIMED] > self._unclaimed:
                # Its client lets too many ends of streams wait for credit.
                self._unclaimed += 1
                request.excuses.add("Lost")
            elif not is_silent and not request.is_abandoned:
                raise Broken(f"the channel of {request} was closed without a reply")
            self._gone(key)
        if len(self._open) != gateway.session.open_channels:
            raise Broken(f"{gateway.session!r} has channels that nobody opened")

    @property
    def owed(self) -> list[Request]:
        """Requests of callers that stayed and have no end yet."""
        return [
            request for request in self.requests if not request.outcome and not request.is_abandoned
        ]

    def rested(self, gateway: Gateway) -> None:
        """Faults are over, time has passed: nothing is left of anything."""
        for request in self.owed:
            raise Broken(f"{request} has no answer")
        dispatcher = gateway.dispatcher
        left = {
            "open_calls": dispatcher.open_calls,
            "waiting": dispatcher.waiting,
            "held_bytes": gateway.budget.held_bytes,
            "parked_bytes": gateway.session.parked_bytes,
            "flying": len(dispatcher.ledger),
            "channels": gateway.session.open_channels,
            "rows": sum(worker.held_rows for worker in gateway.fleet),
            "flights": sum(not flight.is_doubtful for flight in self._flights.values()),
            "suspects": len(dispatcher._suspects.tasks),
        }
        if any(left.values()):
            raise Broken(f"something is left: {left}")


class _Worker:
    """What the gateway may send to a worker."""

    __slots__ = ("credit", "doubtful_rows", "held_rows", "is_connected", "is_draining", "models")

    def __init__(self, credit: int, models: list[str]) -> None:
        self.models = models
        self.credit = credit
        self.held_rows = 0
        #: With it, or taken back from it: only the gateway knows.
        self.doubtful_rows = 0
        self.is_connected = False
        self.is_draining = False

    @property
    def is_idle(self) -> bool:
        """It surely has nothing to do, and could."""
        is_busy = self.held_rows or self.doubtful_rows
        return self.is_connected and not self.is_draining and not is_busy
