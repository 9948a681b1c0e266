"""The lines from which a job's way can be read."""

from __future__ import annotations

import logging

import pytest

from zeropool.shared import jobs
from zeropool.shared.jobs import Job, Kind, Outcome, Result
from zeropool.shared.trail import log_to_gateway, log_to_worker

log = logging.getLogger("zeropool.test_trail")


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.DEBUG)
    return lambda: [
        (record.levelname, record.getMessage(), record.fields) for record in caplog.records
    ]


def test_a_job_has_the_same_id_and_attempt_on_its_way_there_and_back(lines):
    job = Job(7, 2, Kind.CALL, "double", b"\x91\x01", 1.0, b"\xa2id", 3)
    log_to_worker(log, "job given", jobs.encode(jobs.Jobs("gw", [job])), "w1")
    result = Result(7, 2, Outcome.OK, b"reply")
    log_to_gateway(log, "result taken", jobs.encode(jobs.Results("w1", "gw", [result], "double")))
    assert lines() == [
        (
            "DEBUG",
            "job given",
            {"job": 7, "attempt": 2, "model": "double", "worker": "w1", "rows": 1, "call": "id"},
        ),
        (
            "DEBUG",
            "result taken",
            {"job": 7, "attempt": 2, "outcome": "OK", "model": "double", "worker": "w1"},
        ),
    ]


def test_every_job_of_a_message_has_its_line(lines):
    several = [Job(number, 1, Kind.ROWS, "double", b"\x90", 1.0) for number in range(3)]
    log_to_worker(log, "job given", jobs.encode(jobs.Jobs("gw", several)), "w1")
    assert [fields["job"] for _, _, fields in lines()] == [0, 1, 2]


def test_a_cancelled_job_has_its_line(lines):
    log_to_worker(log, "job given", jobs.encode(jobs.Cancel("gw", [7])), "w1")
    assert lines() == [("DEBUG", "job cancelled", {"job": 7, "worker": "w1"})]


@pytest.mark.parametrize("frame", [b"", b"garbage", jobs.encode(jobs.GatewayBeat("gw"))])
def test_what_carries_no_job_has_no_line(lines, frame):
    log_to_worker(log, "job given", frame, "w1")
    log_to_gateway(log, "result taken", frame)
    assert lines() == []


def test_an_id_that_cannot_be_read_is_shown_as_it_is(lines):
    job = Job(7, 2, Kind.CALL, "double", b"\x91\x01", 1.0, b"\xc1", 3)
    log_to_worker(log, "job given", jobs.encode(jobs.Jobs("gw", [job])), "w1")
    assert lines()[0][2]["call"] == b"\xc1"
