"""Good inputs from which broken ones are made: captured events, and frames of our own protocol."""

from __future__ import annotations

import json
from pathlib import Path

import msgpack

from zeropool.shared import jobs
from zeropool.shared.jobs import Job, Kind, Outcome, Result, RowError
from zeropool.shared.model import ModelInfo
from zeropool.shared.wire import event as wire
from zeropool.shared.wire.records import NIL

CAPTURES = Path(__file__).parents[1] / "captures"

MODEL = ModelInfo(
    qualified_name="double",
    display_name="Doubles",
    description="Doubles a number.",
    major_version=1,
    minor_version=2,
    input_schema={"type": "object", "properties": {"x": {"type": "number"}}},
    output_schema={"type": "number"},
)
ROW = {"petal_length": 1.4, "petal_width": 0.2, "sepal_length": 5.1, "sepal_width": 3.5}


def pack(value: object) -> bytes:
    return bytes(msgpack.packb(value))


def captured() -> list[bytes]:
    """Every payload that a real peer was seen to send."""
    return [
        bytes.fromhex(entry["payload"])
        for path in sorted(CAPTURES.glob("*.json"))
        for entry in json.loads(path.read_text(encoding="ascii"))
    ]


def crafted_events(channel: bytes = b"\xa11") -> list[bytes]:
    """Requests for every kind of method, and everything that may follow on ``channel``."""
    ask = wire.encode_request
    methods = ("get_models", "get_status", "_zerorpc_inspect", "_zerorpc_ping", "no_such_method")
    return [
        *(ask(pack(str(at)), name, []) for at, name in enumerate(methods, 10)),
        ask(pack("1"), "get_model_metadata", ["double"]),
        ask(pack("2"), "double_predict", [1]),
        ask(pack(b"3"), "double_predict_batch", [[1, 2, "x"]]),
        ask(pack(4), "double_predict_stream", [[1, 2, 3]], 1.5),
        ask(channel, "double_predict_stream", [list(range(300))]),
        wire.encode_beat(b"\xa1b", channel),
        wire.encode_more(b"\xa1m", channel, 100),
        wire.encode_more(b"\xa1m", pack(4), 10),
        wire.encode_ok(b"\xa1o", channel, pack({"a": [1, 2]})),
        wire.encode_reply(b"\xa1s", channel, wire.STREAM, pack(5)),
        wire.encode_reply(b"\xa1d", channel, wire.STREAM_DONE, NIL),
        wire.encode_reply(b"\xa1e", channel, wire.ERR, pack(["A", "b", "c"])),
    ]


EVENTS = [*captured(), *crafted_events()]

RESULTS = [
    Result(1, 1, Outcome.OK, wire.encode_ok(b"\xa1r", b"\xa12", b"\x02")),
    Result(2, 1, Outcome.ERROR, wire.encode_reply(b"\xa1r", b"\xa12", wire.ERR, pack(["A"] * 3))),
    Result(3, 1, Outcome.OK, b"\x02\x04\xc0", (), (RowError(2, "TypeError", "no number"),)),
    Result(4, 2, Outcome.OK, b"", (pack({"index": 0, "prediction": 2}),) * 3),
    Result(5, 1, Outcome.RETURNED),
]
FROM_WORKER = [
    jobs.encode(message)
    for message in (
        jobs.Register("w1", jobs.PROTOCOL_VERSION, 0, "ipc:///tmp/w1.ipc", 8, 42, "host", [MODEL]),
        jobs.Register("w9", jobs.PROTOCOL_VERSION, 0, "tcp://127.0.0.1:9", 8, 42, "host", []),
        jobs.Results("w1", "gw1", RESULTS, "double", 5, 0.01),
        jobs.Results("w1", "gw1", RESULTS[:1], "double", 1, 0.0001),
        jobs.Results("w9", "other", RESULTS, "nothing", 1, 0.5),
        jobs.WorkerBeat("w1"),
        jobs.Draining("w1"),
        jobs.Bye("w1"),
    )
]
JOBS = [
    Job(1, 1, Kind.CALL, "double", pack([1]), 2.5, b"\xa12", 3),
    Job(2, 1, Kind.CALL, "double", pack([ROW]), 60.0, b"\xc4\x01x", 1),
    Job(3, 2, Kind.ROWS, "double", pack([1, 2, "x"]), 60.0, rows=3),
    Job(4, 1, Kind.ITEMS, "double", pack([1, 2]), 60.0, first_index=64, rows=2),
    Job(5, 1, Kind.CALL, "unknown", pack([1]), 0.0, b"\xa15", 3),
]
FROM_GATEWAY = [
    jobs.encode(message)
    for message in (
        jobs.Welcome("gw1", 1, 0),
        jobs.GatewayBeat("gw1"),
        jobs.Jobs("gw1", JOBS),
        jobs.Jobs("gw1", JOBS[:1]),
        jobs.Jobs("gw1", JOBS[2:4]),
        jobs.Cancel("gw1", [1, 2, 3]),
        jobs.Drain("gw1"),
    )
]
ARGUMENTS = [
    pack(args)
    for args in (
        *([], [1], ["double"], [1, 2, 3], [None], "ab", b"x", {"a": 1}, 7),
        *([ROW], [[ROW, ROW]], [[1, 2, 3]], [[]], [list(range(100))], [["a", [1, {"b": 2}]]]),
        *([{"price": 2.5, "count": 3}], [{"x": 1.0, "y": 2}], [2**64 - 1], [1.5]),
    )
]
TOML = [
    text.encode()
    for text in (
        "",
        '[gateway]\nbind = "tcp://127.0.0.1:4242"\nmax_queue = 100\nmax_held_bytes = 1_000_000\n',
        '[worker]\ncount = 2\ngateways = ["tcp://127.0.0.1:4243"]\nthreads = 1\ndrain_s = 2.5\n',
        '[log]\nlevel = "DEBUG"\n[[models]]\nmodule_name = "a.b"\nclass_name = "C"\n',
        '[[models]]\nmodule_name = "m"\nclass_name = "C"\ntimeout_s = 1e3\nmax_batch_size = 64\n',
        '[[models]]\nmodule_name = "n"\nclass_name = "D"\nworkers = 1\nmax_wait_ms = 7\n',
        'gateway.name = "x"\n[profiles.Fast]\nworker.count = 1\n[profiles.Slow.gateway]\n',
    )
]
