"""Our codec against bytes that real peers put on the wire."""

from __future__ import annotations

import msgpack
import pytest
from wire_peer import captured, json_safe, unpacked

from zeropool.shared.wire.event import decode_event, encode_reply, encode_request


def entries(*files):
    return [pytest.param(entry, id=name) for name, entry in captured(*files)]


def encoded_again(event):
    if event.response_to:
        return encode_reply(event.message_id, event.response_to, event.name, event.args)
    return encode_request(event.message_id, event.name, event.args)


@pytest.mark.parametrize("entry", entries())
def test_every_capture_decodes_to_the_values_that_msgpack_reads(entry):
    event = decode_event(bytes.fromhex(entry["payload"]))
    header = entry["decoded"]["header"]
    assert json_safe(unpacked(event.message_id)) == header["message_id"]
    if "response_to" in header:
        assert json_safe(unpacked(event.response_to)) == header["response_to"]
    else:
        assert event.response_to == b""
    assert event.version == header.get("v", 1)
    assert event.name == entry["decoded"]["name"]
    assert repr(json_safe(unpacked(event.args))) == repr(entry["decoded"]["args"])
    assert event.timeout_s is None


@pytest.mark.parametrize("entry", entries())
def test_what_we_encode_for_a_capture_is_read_by_msgpack_as_the_capture_is(entry):
    again = encoded_again(decode_event(bytes.fromhex(entry["payload"])))
    header, name, args = unpacked(again)
    assert json_safe(header) == entry["decoded"]["header"] | {"v": 3}
    assert name == entry["decoded"]["name"]
    assert repr(json_safe(args)) == repr(entry["decoded"]["args"])


@pytest.mark.parametrize("entry", entries("python_server.json", "python_client.json"))
def test_our_bytes_are_the_very_bytes_of_zerorpc_python(entry):
    payload = bytes.fromhex(entry["payload"])
    assert encoded_again(decode_event(payload)) == payload


@pytest.mark.parametrize("entry", entries())
def test_captured_ids_keep_their_bytes(entry):
    payload = bytes.fromhex(entry["payload"])
    event = decode_event(payload)
    assert b"\xaamessage_id" + event.message_id in payload
    if event.response_to:
        assert b"\xabresponse_to" + event.response_to in payload


def test_there_are_captures_of_every_peer():
    peers = {entry["peer"] for _name, entry in captured()}
    assert peers == {
        "crafted",
        "zerorpc-node Client",
        "zerorpc-python Client",
        "zerorpc-python Server",
    }
    assert msgpack.version >= (1, 0, 8)
