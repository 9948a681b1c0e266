"""A worker's core with gateways that a test plays: what it says to them, and what it logs."""

from zeropool.shared import jobs
from zeropool.shared.jobs import Job, Kind, Outcome, Result
from zeropool.shared.model import ModelInfo
from zeropool.workers.commands import Log, Ready, Send
from zeropool.workers.core import Identity, WorkerCore

IDENTITY = Identity("w1", "ipc:///run/w1.ipc", 4711, "host")
START = 100.0
#: A welcome with this number answers whatever was said last.
LATEST = 1_000


def model_info(name="iris", **facts):
    defaults = {
        "display_name": "Iris",
        "description": "Predicts a species.",
        "major_version": 1,
        "minor_version": 0,
        "input_schema": {},
        "output_schema": {},
        "max_batch_size": 4,
    }
    return ModelInfo(qualified_name=name, **defaults | facts)


def job(job_id, model="iris", attempt=1, *, remaining_s=300.0, rows=1, kind=Kind.CALL):
    return Job(job_id, attempt, kind, model, b"\x91\x01", remaining_s, rows=rows)


def answers(batch):
    """Results as a runner would make them."""
    expired = [Result(job.job_id, job.attempt, Outcome.ERROR, b"late") for job in batch.expired]
    return expired + [Result(job.job_id, job.attempt, Outcome.OK, b"ok") for job in batch.jobs]


class World:
    """The core of one worker, and the test as its gateways and its shell."""

    def __init__(self, *infos, gateways=1, now=START, wear=None):
        endpoints = [f"ipc:///run/gateway-{number}.ipc" for number in range(gateways)]
        infos = infos or [model_info()]
        self.core = WorkerCore(IDENTITY, infos, endpoints, now=now, wear=wear)
        self.notes = []
        self.times_ready = 0

    def said(self, link=0):
        """What the worker has said since the last call, to one of its gateways."""
        return [message for number, message in self.said_to_all() if number == link]

    def said_to_all(self):
        said = []
        for command in self.core.take_commands():
            match command:
                case Send():
                    said.append((command.link, jobs.decode_from_worker(command.frame)))
                case Log():
                    self.notes.append(command)
                case Ready():
                    self.times_ready += 1
        return said

    def hears(self, message, now=START):
        self.core.message(jobs.encode(message), now)

    def is_welcomed(self, gateway="g", link=0, now=START):
        self.hears(jobs.Welcome(gateway, jobs.PROTOCOL_VERSION, link, serial=LATEST), now)

    def is_given(self, *given, gateway="g", now=START):
        self.hears(jobs.Jobs(gateway, list(given)), now)

    def runs_a_batch(self, now=START, took_s=0.25):
        batch = self.core.next_batch(now)
        self.core.finished(batch, answers(batch), started_at=now, ended_at=now + took_s)
        return batch
