"""What real peers do with bytes: zerorpc-python's own msgpack settings, and the golden captures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgpack
from hypothesis import strategies as st

CAPTURES = Path(__file__).parents[2] / "captures"

#: Every value that ZeroRPC carries; NaN is left out because it does not equal itself.
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=40)
    | st.binary(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=10), inner, max_size=5)
    ),
    max_leaves=20,
)
#: Ids as bin (Python), str (Node) or integer (others).
IDS = (
    st.binary(min_size=1, max_size=64)
    | st.text(min_size=1, max_size=40)
    | st.integers(1, 2**64 - 1)
)


def parts(event: Any) -> tuple[Any, ...]:
    """What an event says, to be compared."""
    return (
        *(event.message_id, event.response_to, event.version),
        *(event.name, event.args, event.timeout_s),
    )


def packed(value: Any) -> bytes:
    return msgpack.packb(value, use_bin_type=True)


def unpacked(payload: bytes) -> Any:
    unpacker = msgpack.Unpacker(raw=False, strict_map_key=True)
    unpacker.feed(payload)
    return unpacker.unpack()


def request(message_id: Any, name: str = "predict", args: Any = (), **header: Any) -> bytes:
    return packed([{"message_id": message_id, "v": 3} | header, name, args])


def event_on(channel_id: Any, name: str, args: Any, **header: Any) -> bytes:
    entries = {"message_id": b"peer", "v": 3, "response_to": channel_id}
    return packed([entries | header, name, args])


def beat(channel_id: Any, slots: Any = 0, **header: Any) -> bytes:
    return event_on(channel_id, "_zpc_hb", [slots], **header)


def more(channel_id: Any, slots: Any, **header: Any) -> bytes:
    return event_on(channel_id, "_zpc_more", [slots], **header)


def told(outgoing: list[tuple[Any, bytes]]) -> list[tuple[str, Any]]:
    """Names and arguments of what a session has to send."""
    return [tuple(unpacked(payload)[1:]) for _route, payload in outgoing]


def names(outgoing: list[tuple[Any, bytes]]) -> list[str]:
    return [name for name, _args in told(outgoing)]


def captured(*files: str) -> list[tuple[str, dict[str, Any]]]:
    """Entries of capture files, all by default, each with a name for the test report."""
    paths = [CAPTURES / file for file in files] or sorted(CAPTURES.glob("*.json"))
    return [
        (f"{path.stem}: {entry['name']}", entry)
        for path in paths
        for entry in json.loads(path.read_text(encoding="ascii"))
    ]


def json_safe(value: Any) -> Any:
    """The form that the captures use for what JSON cannot say."""
    match value:
        case bytes():
            return {"$bytes": value.hex()}
        case msgpack.ExtType(code, data):
            return {"$ext": [code, data.hex()]}
        case list():
            return [json_safe(item) for item in value]
        case dict():
            return {key: json_safe(item) for key, item in value.items()}
    return value
