"""The worker protocol, version 2: what gateway and workers say to each other, and its bytes.

Every message is one ZeroMQ frame holding one msgpack array whose first element is the message's
tag; many jobs or results travel in one message. No I/O, no state. Specified in
``docs/protocol.md``; the golden bytes are in ``tests/unit/shared/test_jobs.py``.
"""

from __future__ import annotations

import enum
from typing import Annotated

import msgspec
from msgspec import Meta

from zeropool.shared.errors import ProtocolError
from zeropool.shared.model import ModelInfo
from zeropool.shared.wire.event import DECODE_ERRORS

PROTOCOL_VERSION = 2

#: A gateway says something to every worker at least this often.
BEAT_INTERVAL_S = 1.0
#: A worker that has heard nothing for so long registers again.
FORGOTTEN_AFTER_S = 3.0 * BEAT_INTERVAL_S

#: Most rows of one job. Where all of them fail, an error for each has to fit into memory.
MAX_JOB_ROWS = 100_000
#: An array of msgpack has fewer items than this.
MAX_ROW_INDEX = 2**32 - 1


class Kind(enum.IntEnum):
    """What a job asks for and how its result looks."""

    #: One call with its argument array; the result is the finished reply event.
    CALL = 0
    #: Rows of a batch; the result is their packed predictions in a row, and the errors.
    ROWS = 1
    #: Rows of a stream; the result is one packed stream item for each.
    ITEMS = 2


class Outcome(enum.IntEnum):
    """How a job ended."""

    OK = 0
    #: A CALL that was answered with an error event.
    ERROR = 1
    #: Not started: the worker drains or was told to cancel it.
    RETURNED = 2


class Job(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Work for one worker. A repeated job keeps its id and has the next attempt number."""

    job_id: int
    attempt: int
    kind: Kind
    model: str
    #: CALL: the packed argument array as the caller sent it. Else a packed array of rows.
    args: bytes
    #: Seconds left until the caller's deadline, at the moment of sending.
    remaining_s: float
    #: CALL: the packed id for `response_to`.
    reply_to: bytes = b""
    #: CALL: the caller's ZeroRPC version, which fixes the form of an error.
    version: int = 0
    #: ITEMS: index of the first row in the caller's array.
    first_index: Annotated[int, Meta(ge=0, le=MAX_ROW_INDEX)] = 0
    rows: Annotated[int, Meta(ge=1, le=MAX_JOB_ROWS)] = 1


class RowError(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Why one row of a ROWS job has no prediction; ``offset`` counts from the job's first row."""

    offset: int
    name: str
    message: str


class Result(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What became of one job."""

    job_id: int
    attempt: int
    outcome: Outcome
    #: CALL: the payload of the reply event. ROWS: the packed predictions, nil where one failed.
    body: bytes = b""
    #: ITEMS: the packed items, in the order of the rows.
    items: tuple[bytes, ...] = ()
    #: ROWS: the rows without prediction.
    errors: tuple[RowError, ...] = ()


class Register(msgspec.Struct, frozen=True, array_like=True, tag="register"):
    """Worker → gateway: here I am. Repeated until a `Welcome` arrives."""

    worker: str
    protocol_version: int
    #: Which of the worker's gateways this is, in the worker's own count; comes back in `Welcome`.
    link: int
    endpoint: str
    #: Most unanswered rows that the worker wants to hold.
    credit: int
    pid: int
    host: str
    models: list[ModelInfo]
    #: Number of the last `Results` that was sent before this; a gateway to which the worker is new
    #: does not wait for any of them.
    last: int = 0
    #: Counts the worker's registrations over this link, and comes back in `Welcome`: one that
    #: answers an earlier connection is of no use any more.
    serial: int = 0


class Results(msgspec.Struct, frozen=True, array_like=True, tag="results"):
    """Worker → gateway: the results of one batch, which took ``busy_s`` for ``rows`` rows."""

    worker: str
    #: The gateway incarnation that sent the jobs: job ids mean nothing to any other.
    gateway: str
    results: list[Result]
    model: str = ""
    rows: int = 0
    busy_s: float = 0.0
    #: Counts what this worker sends to this gateway, from 1: what does not arrive is sent again.
    #: 0: it is not, and the gateway tells nothing of it.
    number: int = 0


class WorkerBeat(msgspec.Struct, frozen=True, array_like=True, tag="beat"):
    """Worker → gateway: alive and idle."""

    worker: str


class Pulse(msgspec.Struct, frozen=True, array_like=True, tag="pulse"):
    """Worker → gateway: whatever comes on this connection from now on is a sign of my life.

    Its PINGs, as a rule: the worker's main thread has nothing to do with them.
    """

    worker: str


class Retire(msgspec.Struct, frozen=True, array_like=True, tag="retire"):
    """Worker → gateway: replace me when it suits you; until your `Drain` I go on working."""

    worker: str
    reason: str


class Draining(msgspec.Struct, frozen=True, array_like=True, tag="draining"):
    """Worker → gateway: send me nothing more; what I have not started comes back."""

    worker: str


class Bye(msgspec.Struct, frozen=True, array_like=True, tag="bye"):
    """Worker → gateway: nothing more will come after the `Results` of number ``last``."""

    worker: str
    last: int = 0


class Welcome(msgspec.Struct, frozen=True, array_like=True, tag="welcome"):
    """Gateway → worker: registered. What is not among the ``seen`` is to be sent again."""

    gateway: str
    protocol_version: int
    link: int
    #: Here and below: number of the `Results` up to which the gateway has seen all.
    seen: int = 0
    #: That of the registration that this answers.
    serial: int = 0


class GatewayBeat(msgspec.Struct, frozen=True, array_like=True, tag="beat"):
    """Gateway → worker: I still know you."""

    gateway: str
    seen: int = 0


class Jobs(msgspec.Struct, frozen=True, array_like=True, tag="jobs"):
    """Gateway → worker: work, in the order in which it should start."""

    gateway: str
    jobs: list[Job]
    seen: int = 0


class Cancel(msgspec.Struct, frozen=True, array_like=True, tag="cancel"):
    """Gateway → worker: nobody waits for these any more; those not started come back."""

    gateway: str
    job_ids: list[int]


class Drain(msgspec.Struct, frozen=True, array_like=True, tag="drain"):
    """Gateway → worker: finish what is running, return the rest, and exit."""

    gateway: str


FromWorker = Register | Results | WorkerBeat | Retire | Draining | Bye
FromGateway = Welcome | GatewayBeat | Jobs | Cancel | Drain

_ENCODER = msgspec.msgpack.Encoder()
_FROM_WORKER = msgspec.msgpack.Decoder(FromWorker)
_FROM_GATEWAY = msgspec.msgpack.Decoder(FromGateway)
_PULSE = msgspec.msgpack.Decoder(Pulse)

#: So begins a `Pulse`, and nothing else: it is for whoever has the connection, and does not get as
#: far as other messages.
PULSE_HEAD = _ENCODER.encode(Pulse(""))[:-1]


def encode(message: FromWorker | Pulse | FromGateway) -> bytes:
    """Encode one message as one frame."""
    return _ENCODER.encode(message)


def decode_from_worker(frame: bytes) -> FromWorker:
    """Decode what arrived on the gateway's worker port.

    Raises:
        ProtocolError: it is no message of this protocol.
    """
    try:
        message: FromWorker = _FROM_WORKER.decode(frame)
    except DECODE_ERRORS as error:
        raise ProtocolError(f"no message from a worker: {error}") from error
    return message


def decode_pulse(frame: bytes) -> Pulse:
    """Decode a frame that begins with `PULSE_HEAD`.

    Raises:
        ProtocolError: the rest of it is wrong.
    """
    try:
        message: Pulse = _PULSE.decode(frame)
    except DECODE_ERRORS as error:
        raise ProtocolError(f"no pulse: {error}") from error
    return message


def decode_from_gateway(frame: bytes) -> FromGateway:
    """Decode what arrived on a worker's port.

    Raises:
        ProtocolError: it is no message of this protocol.
    """
    try:
        message: FromGateway = _FROM_GATEWAY.decode(frame)
    except DECODE_ERRORS as error:
        raise ProtocolError(f"no message from a gateway: {error}") from error
    return message
