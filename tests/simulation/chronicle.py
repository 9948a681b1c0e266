"""What happened in one run, in order: who did what, and when. Read by people, compared by hash.

Entries are kept as they are and put into words only when somebody reads them.
"""

from __future__ import annotations

import hashlib

import msgspec

from zeropool.shared import jobs
from zeropool.shared.errors import ProtocolError
from zeropool.shared.wire import event as wire

#: Longest text of one fact.
MAX_FACT = 160


class Event(bytes):
    """The bytes of a ZeroRPC event."""

    __slots__ = ()


class FromWorker(bytes):
    """The bytes of a message to the gateway's worker port."""

    __slots__ = ()


class FromGateway(bytes):
    """The bytes of a message to a worker."""

    __slots__ = ()


class Chronicle:
    """The log of one run."""

    def __init__(self) -> None:
        self._entries: list[tuple[float, str, str, tuple[object, ...]]] = []
        #: Called with each entry: the shortest way to keep one.
        self.keep = self._entries.append

    def __len__(self) -> int:
        return len(self._entries)

    def lines(self, last: int | None = None) -> list[str]:
        """The entries in words, or only the last ones."""
        entries = self._entries if last is None else self._entries[-last:]
        return [_line(*entry) for entry in entries]

    def digest(self) -> str:
        """What tells two runs apart."""
        digest = hashlib.sha256()
        for line in self.lines():
            digest.update(line.encode())
        return digest.hexdigest()


def _line(now: float, who: str, what: str, facts: tuple[object, ...]) -> str:
    return f"{now:12.6f} {who:<10} {what} " + " ".join(map(_told, facts))


def _told(fact: object) -> str:
    try:
        text = _words(fact)
    except (ProtocolError, msgspec.MsgspecError):
        text = bytes(fact).hex() if isinstance(fact, bytes) else repr(fact)
    return text if len(text) <= MAX_FACT else text[:MAX_FACT] + "…"


def _words(fact: object) -> str:
    match fact:
        case Event():
            event = wire.decode_event(fact)
            args = msgspec.msgpack.decode(event.args)
            response_to = event.response_to[-6:].decode("ascii", "replace")
            return f"{event.name}{args} id=…{event.message_id[-6:].decode('ascii', 'replace')}" + (
                f" on=…{response_to}" if response_to else ""
            )
        case FromWorker():
            return _worker_words(jobs.decode_from_worker(fact))
        case FromGateway():
            return _gateway_words(jobs.decode_from_gateway(fact))
        case float():
            return f"{fact:.6f}"
        case bytes():
            return fact.hex()
    return str(fact)


def _worker_words(message: jobs.FromWorker) -> str:
    if isinstance(message, jobs.Results):
        results = ",".join(f"{r.job_id}#{r.attempt}={r.outcome.name}" for r in message.results)
        return f"RESULTS {message.worker} of {message.gateway}: {results}"
    if isinstance(message, jobs.Register):
        return f"REGISTER {message.worker} credit={message.credit}"
    return f"{type(message).__name__.upper()} {message.worker}"


def _gateway_words(message: jobs.FromGateway) -> str:
    if isinstance(message, jobs.Jobs):
        sent = ",".join(
            f"{job.job_id}#{job.attempt} {job.kind.name} {job.model} rows={job.rows}"
            for job in message.jobs
        )
        return f"JOBS of {message.gateway}: {sent}"
    if isinstance(message, jobs.Cancel):
        return f"CANCEL of {message.gateway}: {message.job_ids}"
    return f"{type(message).__name__.upper()} of {message.gateway}"
