"""The far ends of a gateway's sockets, and calls and workers for its smaller cores.

A fake model doubles numbers; a row that is no number has no prediction.
"""

from __future__ import annotations

from collections import defaultdict

import msgspec

from zeropool.gateway.calls import Order, Unary
from zeropool.gateway.commands import Connect, Disconnect, Log, Tell
from zeropool.gateway.core import Gateway
from zeropool.gateway.fleet import Worker, WorkerState
from zeropool.gateway.limits import Limits
from zeropool.gateway.reply import Reply
from zeropool.gateway.row_calls import Batch, Stream
from zeropool.gateway.rows import RowCursor
from zeropool.shared import jobs
from zeropool.shared.jobs import Job, Kind, Outcome, Result, RowError
from zeropool.shared.model import ModelInfo
from zeropool.shared.wire import event as wire
from zeropool.shared.wire.channel import Channel
from zeropool.shared.wire.heartbeat import Pulse

pack = msgspec.msgpack.encode
unpack = msgspec.msgpack.decode


def model_info(name="double", **changes):
    facts = {
        "qualified_name": name,
        "display_name": "Doubles",
        "description": "Doubles a number.",
        "major_version": 1,
        "minor_version": 2,
        "input_schema": {"type": "object", "properties": {"x": {"type": "number"}}},
        "output_schema": {"type": "number"},
        "batches": False,
        "timeout_s": 300.0,
    }
    return ModelInfo(**(facts | changes))


# For the smaller cores


def channel(name="c1", now=0.0):
    return Channel((b"client",), pack(name), 3, Pulse(now), now + 5.0)


def order(chan, args=(1,), **changes):
    facts = {
        "channel": chan,
        "model": "double",
        "packed": pack(list(args)),
        "accepted_at": 0.0,
        "limit_s": 300.0,
        "due_at": float("inf"),
        "max_reply_bytes": 1000,
    }
    return Order(**(facts | changes))


def unary(chan=None, args=(1,), **changes):
    return Unary(order(chan or channel(), args, **changes))


def batch(chan, rows, task_rows=2, **changes):
    wanted = order(chan, (rows,), **changes)
    cursor = RowCursor(wanted.packed, "double_predict_batch")
    return Batch(wanted, cursor, task_rows=lambda: task_rows)


def stream(chan, rows, task_rows=2, idle_s=60.0, **changes):
    wanted = order(chan, (rows,), **changes)
    cursor = RowCursor(wanted.packed, "double_predict_stream")
    return Stream(wanted, cursor, task_rows=lambda _item_bytes: task_rows, idle_s=idle_s)


def worker(name="w1", credit=100, state=WorkerState.READY, models=("double",)):
    return Worker(name, f"ipc://{name}", models, credit, 7, "host", 0, 0.0, 0.0, state)


def open_channel(session, name="c1", now=0.0):
    """The channel of a request that the session has just received."""
    request = wire.encode_request(pack(name), "double_predict", [1])
    return session.receive((b"client",), request, now).channel


def sent(session):
    """Names and arguments of what the session sends, in order."""
    return [read_event(payload) for _, payload in session.take_outgoing()]


def read_event(payload):
    event = wire.decode_event(payload)
    return event.name, unpack(event.args)


def answer(call, task, session, now=0.0):
    job = Job(task.job_id, 1, task.kind, call.model, task.args, 1.0, first_index=task.first_index)
    call.answered(task, result_of(job), session, now)


def take_all(call):
    tasks = []
    while call.has_work:
        tasks.append(call.take(len(tasks) + 1))
    return tasks


# The fake model


def result_of(job: Job) -> Result:
    """What a right worker answers."""
    if job.kind is Kind.CALL:
        (value,) = unpack(job.args)
        if not isinstance(value, int):
            args = pack(["InvalidInput", "no number", "InvalidInput: no number"])
            body = wire.encode_reply(b"\xa1r", job.reply_to, wire.ERR, args)
            return Result(job.job_id, job.attempt, Outcome.ERROR, body)
        body = wire.encode_ok(b"\xa1r", job.reply_to, pack(2 * value))
        return Result(job.job_id, job.attempt, Outcome.OK, body)
    rows = unpack(job.args)
    if job.kind is Kind.ITEMS:
        items = [
            pack({"index": job.first_index + offset, "prediction": 2 * row})
            for offset, row in enumerate(rows)
        ]
        return Result(job.job_id, job.attempt, Outcome.OK, b"", tuple(items))
    good = [isinstance(row, int) for row in rows]
    body = b"".join(pack(2 * row if ok else None) for row, ok in zip(rows, good, strict=True))
    errors = [RowError(at, "InvalidInput", "no number") for at, ok in enumerate(good) if not ok]
    return Result(job.job_id, job.attempt, Outcome.OK, body, (), tuple(errors))


def returned(job: Job) -> Result:
    return Result(job.job_id, job.attempt, Outcome.RETURNED)


# The whole gateway

LIMITS = {
    "max_request_bytes": 10_000,
    "max_reply_bytes": 10_000,
    "max_held_bytes": 100_000,
    "max_unread_bytes": 100_000,
    "max_attempts": 3,
    "max_workers": 8,
    "startup_grace_s": 10.0,
    "stream_idle_s": 60.0,
}


class World:
    """A gateway core, its clients and its workers, and one clock for all of them."""

    def __init__(self, **limits):
        self.now = 0.0
        self.gateway = Gateway("zeropool", "1.0", "gw1", Limits(**(LIMITS | limits)), now=0.0)
        #: What each client received on each of its channels: names and arguments.
        self.received = defaultdict(list)
        #: Frames to each worker but jobs and cancellations, decoded.
        self.told = defaultdict(list)
        #: What each worker holds.
        self.held: dict[str, list[Job]] = defaultdict(list)
        self.cancelled: dict[str, list[int]] = defaultdict(list)
        self.connects: list[Connect] = []
        self.disconnects: list[str] = []
        self.notes: list[Log] = []
        self.payloads: list[bytes] = []

    def run(self):
        """Carry out what the gateway wants, as the server does."""
        while commands := self.gateway.take_commands(self.now):
            for command in commands:
                self._do(command)

    def _do(self, command):
        match command:
            case Reply(route=route, payload=payload):
                event = wire.decode_event(payload)
                self.payloads.append(payload)
                key = (route, unpack(event.response_to))
                self.received[key].append((event.name, unpack(event.args)))
            case Tell(worker_id=name, frame=frame):
                self.hear(name, jobs.decode_from_gateway(frame))
            case Connect():
                self.connects.append(command)
            case Disconnect(worker_id=name):
                self.disconnects.append(name)
            case Log():
                self.notes.append(command)

    def hear(self, name, message):
        """The gateway says something to a worker."""
        if isinstance(message, jobs.Jobs):
            self.held[name].extend(message.jobs)
        elif isinstance(message, jobs.Cancel):
            self.cancelled[name].extend(message.job_ids)
        else:
            self.told[name].append(message)

    def advance(self, to):
        """Time passes."""
        self.now = to
        self.gateway.tick(self.now)
        self.run()

    # Clients

    def call(self, name, *args, client="c1", call_id="1", timeout_s=None):
        request = wire.encode_request(pack(call_id), name, args, timeout_s)
        self.from_client(client, request)

    def from_client(self, client, payload):
        self.gateway.client_message((client.encode(),), payload, self.now)
        self.gateway.tick(self.now)
        self.run()

    def grant(self, slots, client="c1", call_id="1"):
        self.from_client(client, wire.encode_more(b"\xa1m", pack(call_id), slots))

    def beat(self, client="c1", call_id="1"):
        self.from_client(client, wire.encode_beat(b"\xa1b", pack(call_id)))

    def events(self, client="c1", call_id="1"):
        """What a caller received but heartbeats."""
        key = ((client.encode(),), call_id)
        return [event for event in self.received[key] if event[0] != wire.HEARTBEAT]

    def reply(self, client="c1", call_id="1"):
        """The only event that a caller received."""
        (event,) = self.events(client, call_id)
        return event

    def error(self, client="c1", call_id="1"):
        """Name and message of the error that was the only answer."""
        name, args = self.reply(client, call_id)
        assert name == wire.ERR
        assert args[2] == f"{args[0]}: {args[1]}"
        return tuple(args[:2])

    def vanish(self, client="c1"):
        self.gateway.client_gone(client.encode(), self.now)
        self.run()

    # Workers

    def from_worker(self, message):
        self.gateway.worker_message(jobs.encode(message), self.now)
        self.run()

    def register(self, name="w1", models=None, credit=100, version=jobs.PROTOCOL_VERSION, last=0):
        models = [model_info(batches=True)] if models is None else models
        message = jobs.Register(name, version, 3, f"ipc://{name}", credit, 7, "host", models, last)
        self.from_worker(message)

    def connect(self, name="w1"):
        self.gateway.worker_connected(name, self.now)
        self.run()

    def worker_up(self, name="w1", models=None, credit=100):
        self.register(name, models, credit)
        self.connect(name)

    def answer(self, name="w1", gateway="gw1", busy_s=0.0, number=0):
        """The worker answers everything that it holds."""
        held, self.held[name] = self.held[name], []
        results = [result_of(job) for job in held]
        self.report(name, results, gateway, held, busy_s=busy_s, number=number)

    def report(self, name, results, gateway="gw1", held=(), *, busy_s=0.0, number=0):
        rows = sum(job.rows for job in held)
        model = held[0].model if held else ""
        self.from_worker(jobs.Results(name, gateway, list(results), model, rows, busy_s, number))

    def give_back(self, name="w1"):
        held, self.held[name] = self.held[name], []
        self.report(name, [returned(job) for job in held])

    def lose(self, name="w1"):
        self.held.pop(name, None)
        self.gateway.worker_disconnected(name)
        self.run()
