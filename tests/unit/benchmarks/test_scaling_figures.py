"""What the scaling benchmarks say of what they found."""

import pytest
from figures import Report, markdown
from large_batch import RowsFigures
from machine import Machine
from many_clients import ClientsFigures
from page import part
from payloads import PayloadFigures
from sleeping import WorkersFigures
from test_summary import REPOSITORY

MACHINE = Machine(cpu="a CPU", cores=2, system="Linux", python="3.11", libzmq="4", packages={})


def workers(count, of_bare, p99_share=1.5, failed=0):
    return WorkersFigures(
        workers=count,
        calls_per_s=200.0 * count * of_bare,
        of_nominal=of_bare,
        of_bare=of_bare,
        gateway_us=40.0,
        worker_us=100.0,
        half_load_p50_ms=5.5,
        half_load_p99_ms=5 * p99_share,
        half_load_p99_share=p99_share,
        failed=failed,
    )


def clients(count, *calls_per_s):
    return ClientsFigures(
        gateways=1,
        clients=count,
        in_flight=4000,
        calls_per_s=list(calls_per_s),
        gateway_us=[20.0 for _ in calls_per_s],
        p99_ms=[100.0 for _ in calls_per_s],
        gateway_rss_mib=40.0,
        failed=0,
    )


def payload(size, growth):
    return PayloadFigures(
        size_bytes=size,
        in_flight=32,
        calls_per_s=1000.0,
        megabytes_per_s=1.0,
        gateway_us=30.0 * growth,
        worker_us=20.0,
        gateway_growth=growth,
    )


def rows(share):
    return RowsFigures(
        cores=2,
        rows=100_000,
        bare_rows_per_s={"64": 1e6},
        bare_columns_rows_per_s=5e6,
        pool_rows_per_s=share * 1e6,
        unlike_rows_per_s=0.3e6,
        with_client_rows_per_s=0.4e6,
        share=share,
        gateway_us=0.3,
        workers_us=1.0,
        client_encoding_us=0.1,
        client_decoding_us=0.4,
    )


def verdicts(**found):
    return [claim.holds for claim in Report(machine=MACHINE, **found).claims()]


def test_what_was_not_measured_is_not_claimed():
    assert verdicts() == []
    assert markdown(Report(machine=MACHINE)).count("|") == 8


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"workers": [workers(8, 0.5)]}, [True]),
        ({"workers": [workers(16, 0.96), workers(64, 0.91)]}, [True] * 5),
        ({"workers": [workers(16, 0.94)]}, [False, True, True]),
        ({"workers": [workers(64, 0.95, p99_share=3.1)]}, [True, False, True]),
        ({"workers": [workers(16, 0.96, failed=1)]}, [True, True, False]),
        ({"clients": [clients(4, 90, 100, 110), clients(1000, 10, 80, 200)]}, [True, True]),
        ({"clients": [clients(4, 90, 100, 110), clients(1000, 79, 79, 200)]}, [False, True]),
        ({"payloads": [payload(100, 1.0), payload(10_000, 1.99)]}, [True]),
        ({"payloads": [payload(100, 1.0), payload(10_000, 2.0)]}, [False]),
        ({"rows": rows(0.6)}, [True]),
        ({"rows": rows(0.59)}, [False]),
    ],
)
def test_what_must_hold_is_judged_by_the_limits(found, expected):
    assert verdicts(**found) == expected


def test_a_claim_that_does_not_hold_stands_out_in_the_table():
    text = markdown(Report(machine=MACHINE, rows=rows(0.5)))
    assert "| a batch of 100,000 rows reaches 60% of the bare | 0.5 | NO |" in text


@pytest.mark.parametrize("name", ["scaling", "footprint"])
def test_the_page_has_a_place_for_the_tables(name):
    part((REPOSITORY / "docs" / "benchmarks.md").read_text(), name)
