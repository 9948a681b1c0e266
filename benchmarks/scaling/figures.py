"""What the scaling benchmarks found: the file, the tables, and what must hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
from large_batch import RowsFigures
from machine import Machine
from many_clients import ClientsFigures
from payloads import PayloadFigures
from sleeping import WorkersFigures

#: Least share of the ideal throughput, by number of workers, and most p99 in times of the model's.
LEAST_OF_IDEAL = {16: 0.95, 64: 0.90}
MOST_P99_SHARE = 3.0
#: Of the calls that a few clients make, what a thousand make at least.
LEAST_OF_FEW = 0.8
#: Growth of the gateway's CPU time up to 10 KB.
MOST_GROWTH = 2.0
GROWTH_BYTES = 10_000
LEAST_ROWS_SHARE = 0.6


class Claim(msgspec.Struct, frozen=True):
    """Something that must hold."""

    text: str
    found: float
    holds: bool


class Report(msgspec.Struct):
    """Everything; what was not measured is empty."""

    machine: Machine
    bare_call_ms: float = 0.0
    workers: list[WorkersFigures] = []
    clients: list[ClientsFigures] = []
    gateways: list[ClientsFigures] = []
    payloads: list[PayloadFigures] = []
    rows: RowsFigures | None = None

    def claims(self) -> list[Claim]:
        """What must hold, as far as it was measured."""
        return [*self._of_workers(), *self._of_clients(), *self._of_payloads(), *self._of_rows()]

    def _of_workers(self) -> Iterator[Claim]:
        for each in self.workers:
            least = LEAST_OF_IDEAL.get(each.workers)
            if least is None:
                continue
            text = f"{each.workers} workers reach {least:.0%} of the bare model's throughput"
            yield Claim(text, each.of_bare, each.of_bare >= least)
            text = f"p99 of {each.workers} workers at half load is below {MOST_P99_SHARE:g} x 5 ms"
            share = each.half_load_p99_share
            yield Claim(text, share, share <= MOST_P99_SHARE)
        if self.workers:
            failed = sum(each.failed for each in self.workers)
            yield Claim("calls of sleeping models that failed", failed, not failed)

    def _of_clients(self) -> Iterator[Claim]:
        if self.clients:
            few, many = self.clients
            share = many.median_calls_per_s / few.median_calls_per_s
            text = f"{many.clients} clients reach {LEAST_OF_FEW:.0%} of the calls of {few.clients}"
            yield Claim(text, share, share >= LEAST_OF_FEW)
        failed = sum(each.failed for each in (*self.clients, *self.gateways))
        if self.clients or self.gateways:
            yield Claim("calls of many clients that failed", failed, not failed)

    def _of_payloads(self) -> Iterator[Claim]:
        for each in self.payloads:
            if each.size_bytes == GROWTH_BYTES:
                text = f"the gateway's CPU time for 10 KB is below {MOST_GROWTH:g} x that for 100 B"
                yield Claim(text, each.gateway_growth, each.gateway_growth < MOST_GROWTH)

    def _of_rows(self) -> Iterator[Claim]:
        if self.rows is not None:
            text = f"a batch of {self.rows.rows:,} rows reaches {LEAST_ROWS_SHARE:.0%} of the bare"
            yield Claim(text, self.rows.share, self.rows.share >= LEAST_ROWS_SHARE)


def markdown(report: Report) -> str:
    """All tables, and the claims."""
    parts = [_workers(report), _clients(report), _payloads(report), _rows(report), _claims(report)]
    return "\n".join(part for part in parts if part)


def _table(head: tuple[str, ...], lines: Sequence[tuple[str, ...]]) -> str:
    rows = [head, tuple("---" for _ in head), *lines]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _workers(report: Report) -> str:
    if not report.workers:
        return ""
    head: tuple[str, ...] = (
        "workers",
        "calls/s",
        "of N / 5 ms",
        "of the bare model",
        "gateway µs/call",
    )
    head += ("workers µs/call", "p50 ms at half load", "p99 ms", "p99 / 5 ms")
    lines = [
        (
            f"{each.workers}",
            f"{each.calls_per_s:,.0f}",
            f"{each.of_nominal:.3f}",
            f"{each.of_bare:.3f}",
            f"{each.gateway_us:.0f}",
            f"{each.worker_us:.0f}",
            f"{each.half_load_p50_ms:.1f}",
            f"{each.half_load_p99_ms:.1f}",
            f"{each.half_load_p99_share:.1f}",
        )
        for each in report.workers
    ]
    bare = f"The bare model takes {report.bare_call_ms:.2f} ms for a call.\n"
    return f"{_table(head, lines)}\n{bare}"


def _clients(report: Report) -> str:
    found = [*report.clients, *report.gateways]
    if not found:
        return ""
    head: tuple[str, ...] = (
        "gateways",
        "clients",
        "in flight",
        "calls/s",
        "range",
        "gateways µs/call",
    )
    head += ("p99 ms", "RSS MiB of a gateway")
    lines = [
        (
            f"{each.gateways}",
            f"{each.clients:,}",
            f"{each.in_flight:,}",
            f"{each.median_calls_per_s:,.0f}",
            f"{min(each.calls_per_s):,.0f} to {max(each.calls_per_s):,.0f}",
            f"{sorted(each.gateway_us)[len(each.gateway_us) // 2]:.1f}",
            f"{sorted(each.p99_ms)[len(each.p99_ms) // 2]:.0f}",
            f"{each.gateway_rss_mib:.0f}",
        )
        for each in found
    ]
    return _table(head, lines)


def _payloads(report: Report) -> str:
    if not report.payloads:
        return ""
    head: tuple[str, ...] = (
        "payload bytes",
        "in flight",
        "calls/s",
        "MB/s each way",
        "gateway µs/call",
    )
    head += ("x 100 bytes", "workers µs/call")
    lines = [
        (
            f"{each.size_bytes:,}",
            f"{each.in_flight}",
            f"{each.calls_per_s:,.0f}",
            f"{each.megabytes_per_s:,.1f}",
            f"{each.gateway_us:,.1f}",
            f"{each.gateway_growth:.2f}",
            f"{each.worker_us:,.1f}",
        )
        for each in report.payloads
    ]
    return _table(head, lines)


def _rows(report: Report) -> str:
    found = report.rows
    if found is None:
        return ""
    head: tuple[str, ...] = ("what", "rows/s", "µs/row")
    bare = [
        (f"bare model, {found.cores} processes, {size} rows a call", f"{rate:,.0f}", "")
        for size, rate in found.bare_rows_per_s.items()
    ]
    lines = [
        *bare,
        ("bare model, given arrays", f"{found.bare_columns_rows_per_s:,.0f}", ""),
        (f"one call of {found.rows:,} rows", f"{found.pool_rows_per_s:,.0f}", ""),
        ("the same, of rows that are not alike", f"{found.unlike_rows_per_s:,.0f}", ""),
        ("one call with the client's own work", f"{found.with_client_rows_per_s:,.0f}", ""),
        ("CPU: gateway, split and merge", "", f"{found.gateway_us:.3f}"),
        ("CPU: workers, decode, predict, encode", "", f"{found.workers_us:.3f}"),
        ("CPU: client, encode", "", f"{found.client_encoding_us:.3f}"),
        ("CPU: client, decode and compare", "", f"{found.client_decoding_us:.3f}"),
    ]
    return _table(head, lines)


def _claims(report: Report) -> str:
    lines = [
        (claim.text, f"{claim.found:.3g}", "yes" if claim.holds else "NO")
        for claim in report.claims()
    ]
    return _table(("what must hold", "found", "holds"), lines)
