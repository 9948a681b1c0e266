"""ZMTP at the end that connects: greeting and handshake, and what is no server of ours."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeropool.shared.errors import MessageTooLarge, ProtocolError
from zeropool.shared.wire.dialer import Dialer
from zeropool.shared.wire.kinds import Kind
from zeropool.shared.wire.zmtp import frame_message

GREETING = b"\xff" + bytes(7) + b"\x01\x7f\x03\x00NULL" + bytes(48)
#: As libzmq before 4.1 fills it: nothing in the signature.
BARE_GREETING = b"\xff" + bytes(8) + GREETING[9:]
OLD_GREETING = b"\xff" + bytes(8) + b"\x7f\x01\x05\x00\x00" + bytes(50)
READY = b"\x04\x06\x05READY"


def dialer(kind=Kind.DEALER, max_message_bytes=10_000):
    return Dialer(kind, max_message_bytes)


def greeted(**limits):
    zmtp = dialer(**limits)
    assert zmtp.receive(GREETING + READY) == []
    zmtp.replies.clear()
    return zmtp


def test_it_greets_first_and_is_ready_when_the_other_is():
    zmtp = dialer()
    assert zmtp.replies == [GREETING]

    zmtp.receive(GREETING)
    assert not zmtp.is_ready
    ready = zmtp.replies[1]
    assert ready == b"\x04\x29\x05READY\x0bSocket-Type\0\0\0\x06DEALER\x08Identity\0\0\0\0"
    zmtp.receive(READY)

    assert zmtp.is_ready


def test_what_stands_in_the_signature_does_not_matter():
    zmtp = dialer()

    assert zmtp.receive(BARE_GREETING + READY + frame_message(b"ab")) == [b"ab"]


@given(st.lists(st.binary(max_size=600), max_size=8), st.data())
def test_the_way_bytes_are_cut_does_not_matter(payloads, data):
    sent = GREETING + READY + b"".join(map(frame_message, payloads))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(sent)), max_size=10)))
    zmtp = dialer()
    received = []
    for begin, end in zip([0, *cuts], [*cuts, len(sent)], strict=True):
        received += zmtp.receive(sent[begin:end])

    assert received == payloads


def test_one_byte_at_a_time_will_do():
    zmtp = dialer()
    received = []
    for byte in GREETING + READY + frame_message(b"ab") + frame_message(b"x" * 300):
        received += zmtp.receive(bytes([byte]))

    assert received == [b"ab", b"x" * 300]


def test_a_ping_is_answered_once():
    zmtp = greeted()

    zmtp.receive(b"\x04\x09\x04PING\x00\x0aab")
    zmtp.receive(frame_message(b"ab"))

    assert zmtp.replies == [b"\x04\x07\x04PONGab"]


def test_other_commands_mean_nothing_here():
    zmtp = greeted()

    assert zmtp.receive(b"\x04\x05\x04PONG" + frame_message(b"ab")) == [b"ab"]
    assert zmtp.replies == []


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "the server does not speak ZMTP"),
        (b"HTTP/1.1 400 Bad Request\r\n" * 3, "the server does not speak ZMTP"),
        (b"\xff" + bytes(8) + b"\x00", "the server does not speak ZMTP"),
        (OLD_GREETING, "the server speaks ZMTP 1, which is too old"),
        (
            GREETING.replace(b"NULL\0", b"CURVE"),
            "the server wants the security mechanism CURVE",
        ),
        (
            GREETING + b"\x04\x0e\x05ERROR\x07go away",
            "the peer refuses the connection: go away",
        ),
        (GREETING + frame_message(b"ab"), "the server sent a message before it was ready"),
        (GREETING + READY + b"\x08\x00", "frame with unknown flags 0x8"),
        (
            GREETING + READY + b"\x06" + struct.pack(">Q", 9000),
            "command of 9000 bytes exceeds 8192",
        ),
    ],
)
def test_what_is_no_server_of_ours_is_named(said, complaint):
    with pytest.raises(ProtocolError) as error:
        dialer().receive(said)

    assert str(error.value) == complaint


def test_a_message_that_nobody_would_send_ends_the_connection_before_it_has_come():
    with pytest.raises(MessageTooLarge, match=r"^message of 1001 bytes exceeds 1000$"):
        greeted(max_message_bytes=1000).receive(b"\x02" + struct.pack(">Q", 1001))
