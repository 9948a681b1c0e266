"""The gateway's state as one page for people: plain HTML, without scripts and other files.

No I/O, no clock. It shows what `get_status` answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Any

from zeropool.gateway.metrics import Snapshot
from zeropool.gateway.tally import OK

#: Seconds after which a browser asks again.
REFRESH_S = 5
#: Workers that are listed; the others are counted.
MAX_WORKERS = 200

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
h1 { font-size: 1.3rem; margin: 0; } h2 { font-size: 1rem; margin: 1.8rem 0 .3rem; }
p { margin: .3rem 0; } .bad { color: #c2410c; font-weight: 600; } .good { color: #15803d; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid #8884; }
th { font-weight: 600; font-size: .85rem; } .wide { overflow-x: auto; }
"""

_MODEL_HEADS = ("model", "workers", "waiting", "ms per row", "answered", "failed", "how")
_WORKER_HEADS = ("worker", "state", "pid", "host", "in flight", "rows", "busy s", "silent s")


def page(snapshot: Snapshot) -> bytes:
    """The page."""
    return "".join(_parts(snapshot)).encode("utf-8", "replace")


def _parts(snapshot: Snapshot) -> Iterator[str]:
    status = snapshot.status
    title = f"{status['name']} · Zeropool {status['version']}"
    yield '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    yield f"<title>{escape(title)}</title>"
    yield '<meta name="viewport" content="width=device-width">'
    yield f'<meta http-equiv="refresh" content="{REFRESH_S}"><style>{_STYLE}</style></head><body>'
    yield f"<h1>{escape(title)}</h1>"
    if snapshot.unready:
        yield f'<p class="bad">not ready: {escape("; ".join(snapshot.unready))}</p>'
    else:
        yield '<p class="good">ready</p>'
    memory = snapshot.memory
    yield (
        f"<p>up {_span(status['uptime_s'])} · {status['calls_per_s']} calls/s · "
        f"{snapshot.connections} connections · {status['open_calls']} open calls · "
        f"{_size(memory.held_bytes)} of {_size(memory.max_held_bytes)} held · "
        f"{status['redispatched']} redispatched</p>"
    )
    yield _table("Models", _MODEL_HEADS, map(_model_row, status["models"]))
    workers = status["workers"]
    yield _table("Workers", _WORKER_HEADS, map(_worker_row, workers[:MAX_WORKERS]))
    if len(workers) > MAX_WORKERS:
        yield f"<p>and {len(workers) - MAX_WORKERS} more</p>"
    yield _counts("Workers since the start", snapshot.worker_events)
    yield _counts("Refused at once", snapshot.refused)
    yield _counts("Dropped", status["dropped"])
    yield '<p><a href="metrics">metrics</a> · <a href="readyz">readyz</a></p></body></html>'


def _model_row(model: dict[str, Any]) -> Sequence[object]:
    outcomes: dict[str, int] = model["outcomes"]
    failed = {name: n for name, n in outcomes.items() if name != OK}
    return (
        model["qualified_name"],
        model["workers"],
        f"{model['waiting']} of {model['max_queue']}",
        "" if model["row_ms"] is None else model["row_ms"],
        outcomes.get(OK, 0),
        sum(failed.values()),
        ", ".join(f"{name} {n}" for name, n in sorted(failed.items(), key=lambda item: -item[1])),
    )


def _worker_row(worker: dict[str, Any]) -> Sequence[object]:
    keys = ("worker", "state", "pid", "host", "in_flight", "answered_rows", "busy_s", "silent_s")
    return [worker[key] for key in keys]


def _table(title: str, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows
    )
    if not body:
        body = f'<tr><td colspan="{len(heads)}">none</td></tr>'
    return f'<h2>{escape(title)}</h2><div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def _counts(title: str, counts: dict[str, int]) -> str:
    if not counts:
        return ""
    text = " · ".join(f"{name} {n}" for name, n in counts.items())
    return f"<h2>{escape(title)}</h2><p>{escape(text)}</p>"


def _span(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
