"""The trail of each job through the logs of gateway and workers, at DEBUG: one line for each step.

    2026-11-23T10:00:00.123Z DEBUG gateway: job given job=7 attempt=1 model=iris_model …

The same `job` and `attempt` stand in the worker's log. Frames are decoded once more for this, so
the shells ask for it only where DEBUG is on. Refuses to know payloads.
"""

from __future__ import annotations

import logging

import msgspec

from zeropool.shared import jobs
from zeropool.shared.errors import ProtocolError
from zeropool.shared.logs import fields


def log_to_worker(log: logging.Logger, step: str, frame: bytes, worker: str) -> None:
    """What a gateway sends to a worker: jobs, for which ``step`` is the line, or cancellations."""
    try:
        message = jobs.decode_from_gateway(frame)
    except ProtocolError:
        # Who takes it says so.
        return
    if isinstance(message, jobs.Jobs):
        for job in message.jobs:
            log.debug(
                step,
                extra=fields(
                    job=job.job_id,
                    attempt=job.attempt,
                    model=job.model,
                    worker=worker,
                    rows=job.rows,
                    call=_call_id(job.reply_to),
                ),
            )
    elif isinstance(message, jobs.Cancel):
        for job_id in message.job_ids:
            log.debug("job cancelled", extra=fields(job=job_id, worker=worker))


def log_to_gateway(log: logging.Logger, step: str, frame: bytes) -> None:
    """What a worker sends to a gateway: results, for which ``step`` is the line."""
    try:
        message = jobs.decode_from_worker(frame)
    except ProtocolError:
        return
    if isinstance(message, jobs.Results):
        for result in message.results:
            log.debug(
                step,
                extra=fields(
                    job=result.job_id,
                    attempt=result.attempt,
                    outcome=result.outcome.name,
                    model=message.model,
                    worker=message.worker,
                ),
            )


def _call_id(reply_to: bytes) -> object:
    """The id of the request, as the caller's own log has it; "" for a part of a call."""
    try:
        return msgspec.msgpack.decode(reply_to) if reply_to else ""
    except msgspec.DecodeError:
        return reply_to
