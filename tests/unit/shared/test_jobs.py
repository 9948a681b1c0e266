"""The worker protocol's bytes: golden frames, round trips, and frames that are no message."""

from __future__ import annotations

import tracemalloc

import msgpack
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from zeropool.shared.errors import ProtocolError
from zeropool.shared.jobs import (
    MAX_JOB_ROWS,
    MAX_ROW_INDEX,
    PULSE_HEAD,
    Bye,
    Cancel,
    Drain,
    Draining,
    GatewayBeat,
    Job,
    Jobs,
    Kind,
    Outcome,
    Pulse,
    Register,
    Result,
    Results,
    Retire,
    RowError,
    Welcome,
    WorkerBeat,
    decode_from_gateway,
    decode_from_worker,
    decode_pulse,
    encode,
)
from zeropool.shared.model import ModelInfo

IRIS = ModelInfo(
    qualified_name="iris",
    display_name="Iris",
    description="d",
    major_version=1,
    minor_version=2,
    input_schema={"type": "object"},
    output_schema={},
)
FROM_WORKER = {
    "register": (
        Register("w1", 2, 0, "ipc:///run/w1", 8, 42, "h", [IRIS], 9, 2),
        (
            "9b a87265676973746572 a27731 02 00 ad6970633a2f2f2f72756e2f7731 08 2a a168 91"
            "8d ae7175616c69666965645f6e616d65 a469726973 ac646973706c61795f6e616d65 a449726973"
            "ab6465736372697074696f6e a164 ad6d616a6f725f76657273696f6e 01"
            "ad6d696e6f725f76657273696f6e 02 ac696e7075745f736368656d61 81a474797065a66f626a656374"
            "ad6f75747075745f736368656d61 80 aa72657472795f73616665 c3"
            "ae6d61785f62617463685f73697a65 40"
            "a762617463686573 c3 aa6d61785f776169745f73 cb0000000000000000"
            "a974696d656f75745f73 cb4072c00000000000"
            "a96d61785f7175657565 cd2710 09 02"
        ),
    ),
    "register without models": (
        Register("w1", 1, 3, "ipc:///run/w1", 8, 42, "h", []),
        "9b a87265676973746572 a27731 01 03 ad6970633a2f2f2f72756e2f7731 08 2a a168 90 00 00",
    ),
    "results of a call": (
        Results("w1", "g1", [Result(7, 1, Outcome.OK, b"\x93")], "iris", 1, 0.5, 300),
        (
            "98 a7726573756c7473 a27731 a26731 91 96 07 01 00 c40193 90 90"
            "a469726973 01 cb3fe0000000000000 cd012c"
        ),
    ),
    "results of rows, of items, and a job given back": (
        Results(
            "w1",
            "g1",
            [
                Result(8, 2, Outcome.OK, b"\x01\xc0", (), (RowError(1, "ValueError", "no"),)),
                Result(9, 1, Outcome.ERROR, b"", (b"\x01", b"\x02")),
                Result(10, 1, Outcome.RETURNED),
            ],
        ),
        (
            "98 a7726573756c7473 a27731 a26731 93"
            "96 08 02 00 c40201c0 90 91 93 01 aa56616c75654572726f72 a26e6f"
            "96 09 01 01 c400 92 c40101 c40102 90"
            "96 0a 01 02 c400 90 90"
            "a0 00 cb0000000000000000 00"
        ),
    ),
    "beat": (WorkerBeat("w1"), "92 a462656174 a27731"),
    "retire": (Retire("w1", "old"), "93 a6726574697265 a27731 a36f6c64"),
    "draining": (Draining("w1"), "92 a8647261696e696e67 a27731"),
    "bye": (Bye("w1", 4), "93 a3627965 a27731 04"),
}
FROM_GATEWAY = {
    "welcome": (Welcome("g1", 1, 3, 5, 2), "96 a777656c636f6d65 a26731 01 03 05 02"),
    "beat": (GatewayBeat("g1", 6), "93 a462656174 a26731 06"),
    "a call": (
        Jobs("g1", [Job(7, 1, Kind.CALL, "iris", b"\x90", 2.5, b"\xc4\x01x", 3)], 7),
        (
            "94 a46a6f6273 a26731 91"
            "9a 07 01 00 a469726973 c40190 cb4004000000000000 c403c40178 03 00 01 07"
        ),
    ),
    "rows and items": (
        Jobs(
            "g1",
            [
                Job(8, 2, Kind.ROWS, "iris", b"\x92\x01\x02", 0.0, rows=2),
                Job(9, 1, Kind.ITEMS, "iris", b"\x91\x01", 0.0, first_index=64),
            ],
        ),
        (
            "94 a46a6f6273 a26731 92"
            "9a 08 02 01 a469726973 c403920102 cb0000000000000000 c400 00 00 02"
            "9a 09 01 02 a469726973 c4029101 cb0000000000000000 c400 00 40 01 00"
        ),
    ),
    "cancel": (Cancel("g1", [7, 8]), "93 a663616e63656c a26731 92 07 08"),
    "drain": (Drain("g1"), "92 a5647261696e a26731"),
}


def parameters(table):
    return [
        pytest.param(message, bytes.fromhex(text), id=key) for key, (message, text) in table.items()
    ]


@pytest.mark.parametrize(("message", "frame"), parameters(FROM_WORKER))
def test_what_a_worker_says_has_these_bytes(message, frame):
    assert encode(message) == frame
    assert decode_from_worker(frame) == message


def test_a_pulse_has_these_bytes_and_no_other_message_begins_like_it():
    frame = encode(Pulse("w1"))
    assert frame == bytes.fromhex("92 a570756c7365 a27731")
    assert decode_pulse(frame) == Pulse("w1")
    assert frame.startswith(PULSE_HEAD)
    assert not any(encode(said).startswith(PULSE_HEAD) for said, _ in FROM_WORKER.values())
    # It is for the shell, which has the connection.
    with pytest.raises(ProtocolError):
        decode_from_worker(frame)


@pytest.mark.parametrize("rest", [b"", b"\x01", b"\xa2w", b"\xa2w1 and more"])
def test_what_begins_like_a_pulse_and_is_none_is_a_protocol_error(rest):
    with pytest.raises(ProtocolError):
        decode_pulse(PULSE_HEAD + rest)


@pytest.mark.parametrize(("message", "frame"), parameters(FROM_GATEWAY))
def test_what_a_gateway_says_has_these_bytes(message, frame):
    assert encode(message) == frame
    assert decode_from_gateway(frame) == message


TEXT = st.text(max_size=20)
NUMBERS = st.integers(0, 2**63 - 1)
SECONDS = st.floats(0, 1e9)
FROM_WORKER_MESSAGES = st.one_of(
    st.builds(
        Register,
        TEXT,
        NUMBERS,
        NUMBERS,
        TEXT,
        NUMBERS,
        NUMBERS,
        TEXT,
        st.lists(
            st.builds(
                ModelInfo,
                qualified_name=TEXT,
                display_name=TEXT,
                description=TEXT,
                major_version=NUMBERS,
                minor_version=NUMBERS,
                input_schema=st.dictionaries(TEXT, st.none() | TEXT | NUMBERS, max_size=3),
                output_schema=st.dictionaries(TEXT, st.lists(st.booleans()), max_size=3),
            ),
            max_size=2,
        ),
    ),
    st.builds(
        Results,
        TEXT,
        TEXT,
        st.lists(
            st.builds(
                Result,
                NUMBERS,
                NUMBERS,
                st.sampled_from(Outcome),
                st.binary(max_size=20),
                st.lists(st.binary(max_size=9), max_size=3).map(tuple),
                st.lists(st.builds(RowError, NUMBERS, TEXT, TEXT), max_size=3).map(tuple),
            ),
            max_size=3,
        ),
        TEXT,
        NUMBERS,
        SECONDS,
    ),
    st.builds(WorkerBeat, TEXT),
    st.builds(Retire, TEXT, TEXT),
    st.builds(Draining, TEXT),
    st.builds(Bye, TEXT),
)
FROM_GATEWAY_MESSAGES = st.one_of(
    st.builds(Welcome, TEXT, NUMBERS, NUMBERS),
    st.builds(GatewayBeat, TEXT),
    st.builds(
        Jobs,
        TEXT,
        st.lists(
            st.builds(
                Job,
                NUMBERS,
                NUMBERS,
                st.sampled_from(Kind),
                TEXT,
                st.binary(max_size=20),
                SECONDS,
                st.binary(max_size=20),
                NUMBERS,
                st.integers(0, MAX_ROW_INDEX),
                st.integers(1, MAX_JOB_ROWS),
            ),
            max_size=3,
        ),
    ),
    st.builds(Cancel, TEXT, st.lists(NUMBERS, max_size=5)),
    st.builds(Drain, TEXT),
)


@given(FROM_WORKER_MESSAGES)
@settings(deadline=None)
def test_what_a_worker_says_comes_back(message):
    assert decode_from_worker(encode(message)) == message


@given(FROM_GATEWAY_MESSAGES)
@settings(deadline=None)
def test_what_a_gateway_says_comes_back(message):
    assert decode_from_gateway(encode(message)) == message


CLAIMS_4G_ENTRIES = b"\xdd\xff\xff\xff\xff"
NO_MESSAGE = {
    "empty": b"",
    "not msgpack": b"\xc1",
    "a map": b"\x80",
    "no tag": b"\x90",
    "unknown tag": bytes.fromhex("92 a46e6f6e65 a27731"),
    "number as tag": bytes.fromhex("92 07 a27731"),
    "too few elements": bytes.fromhex("91 a462656174"),
    "number for text": bytes.fromhex("92 a462656174 07"),
    "bad UTF-8": bytes.fromhex("92 a462656174 a1ff"),
    "cut off": bytes.fromhex("92 a462656174 a277"),
    "two messages": bytes.fromhex("92 a462656174 a27731") * 2,
}


@pytest.mark.parametrize("frame", NO_MESSAGE.values(), ids=NO_MESSAGE.keys())
def test_a_frame_that_is_no_message_is_a_protocol_error(frame):
    with pytest.raises(ProtocolError, match="no message from a worker"):
        decode_from_worker(frame)
    with pytest.raises(ProtocolError, match="no message from a gateway"):
        decode_from_gateway(frame)


def test_messages_of_the_other_side_are_refused():
    with pytest.raises(ProtocolError):
        decode_from_worker(encode(Drain("g1")))
    with pytest.raises(ProtocolError):
        decode_from_gateway(encode(Bye("w1")))


def test_an_unknown_kind_of_job_is_refused():
    frame = encode(Jobs("g1", [Job(7, 1, Kind.CALL, "iris", b"\x90", 2.5)]))
    with pytest.raises(ProtocolError, match="9"):
        decode_from_gateway(frame.replace(b"\x9a\x07\x01\x00", b"\x9a\x07\x01\x09"))


@pytest.mark.parametrize(
    "changes", [{"rows": 0}, {"rows": MAX_JOB_ROWS + 1}, {"rows": -1}, {"first_index": 2**32}]
)
def test_a_job_of_more_rows_than_one_message_may_have_is_refused(changes):
    with pytest.raises(ProtocolError, match="Expected `int`"):
        decode_from_gateway(
            encode(Jobs("g1", [Job(7, 1, Kind.ROWS, "iris", b"\x90", 2.5, **changes)]))
        )


def test_elements_that_a_later_version_adds_are_ignored():
    assert decode_from_worker(msgpack.packb(["beat", "w1", "new"])) == WorkerBeat("w1")


def test_elements_that_an_earlier_version_left_out_have_defaults():
    frame = msgpack.packb(["results", "w1", "g1", [[7, 1, 0, b"\x93"]]])
    assert decode_from_worker(frame) == Results("w1", "g1", [Result(7, 1, Outcome.OK, b"\x93")])


@pytest.mark.parametrize(
    "frame",
    [
        b"\x94\xa7results\xa1w\xa1g" + CLAIMS_4G_ENTRIES * 100,
        b"\x94\xa7results\xa1w\xa1g\xdd\x02\x00\x00\x00",
        b"\x93\xa4jobs\xa1g" + CLAIMS_4G_ENTRIES * 100,
        b"\x93\xa6cancel\xa1g\xdd\x02\x00\x00\x00",
        b"\x93\xa4jobs\xa1g\x91\x96\x07\x01\x00\xa1m\xc6\xff\xff\xff\xff",
        b"\x99\xa8register\xa1w\x01\x00\xa1e\x08\x2a\xa1h\x91\x81\xacinput_schema\x81\xa1a"
        + CLAIMS_4G_ENTRIES,
    ],
)
def test_a_few_bytes_that_claim_gigabytes_cost_almost_nothing(frame):
    tracemalloc.start()
    try:
        for decode in (decode_from_worker, decode_from_gateway):
            with pytest.raises(ProtocolError):
                decode(frame)
        _now, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 1_000_000


FRAMES = [
    bytes.fromhex(text) for table in (FROM_WORKER, FROM_GATEWAY) for _, text in table.values()
]


@st.composite
def damaged_frames(draw):
    frame = bytearray(draw(st.sampled_from(FRAMES)))
    for _ in range(draw(st.integers(1, 4))):
        frame[draw(st.integers(0, len(frame) - 1))] = draw(st.integers(0, 255))
    return bytes(frame[: draw(st.integers(0, len(frame)))] if draw(st.booleans()) else frame)


@given(st.binary(max_size=100) | damaged_frames())
@settings(deadline=None, max_examples=500)
@example(b"\x99\xa8register" + b"\x91" * 100_000)
@example(encode(Register("w", 1, 0, "e", 8, 42, "h", []))[:-1] + b"\x91" * 100_000)
def test_any_bytes_are_a_message_or_a_protocol_error(frame):
    for decode in (decode_from_worker, decode_from_gateway):
        try:
            message = decode(frame)
        except ProtocolError:
            continue
        assert decode(encode(message)) == message or b"nan" in repr(message).encode()
