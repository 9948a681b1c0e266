"""Frames are the same in pieces; later headers name what the first request put in the table."""

import http2
from http2 import Frame, Kind


def test_frames_are_taken_off_as_they_become_complete():
    packed = http2.frame(Kind.DATA, 0, 5, b"abc") + http2.frame(Kind.PING, 1, 0, b"12345678")
    received = bytearray()
    taken = []
    for byte in packed:
        received.append(byte)
        taken += http2.frames(received)
    assert taken == [Frame(Kind.DATA, 0, 5, b"abc"), Frame(Kind.PING, 1, 0, b"12345678")]
    assert not received


def test_a_long_frame_says_its_length_in_three_bytes():
    payload = bytes(70_000)
    assert list(http2.frames(bytearray(http2.frame(Kind.DATA, 0, 1, payload)))) == [
        Frame(Kind.DATA, 0, 1, payload)
    ]


def test_a_call_is_headers_and_a_message_that_ends_the_stream():
    headers, data = http2.frames(bytearray(http2.call(3, b"HH", b"body")))
    assert headers == Frame(Kind.HEADERS, http2.END_HEADERS, 3, b"HH")
    assert data == Frame(Kind.DATA, http2.END_STREAM, 3, b"\0\0\0\0\x04body")


def test_later_calls_name_the_four_headers_of_the_first():
    # RFC 7541, 6.1: an index is one byte with its highest bit set; 65 is the oldest of four.
    assert http2.first_headers("a", "/p").count(b"\x40\x02te") == 1
    oldest_first = bytes([0x83, 0x86, 0x80 + 65, 0x80 + 64, 0x80 + 63, 0x80 + 62])
    assert oldest_first == http2.LATER_HEADERS
