"""A ZeroRPC peer without manners: one DEALER socket and msgpack.

It sends whatever it is told and applies no flow control and no heartbeat, which no
real client library would let a test do. Every wait is bounded.
Source: docs of the wire format, captured in tests/captures.
"""

import time
from typing import Any, Self
from uuid import uuid4

import msgpack
import zmq

WAIT_S = 10.0  # longer than any answer takes here, shorter than a peer's process may live
TERMINAL = frozenset({"OK", "ERR", "STREAM_DONE"})


def new_id() -> bytes:
    """Like zerorpc-python's: 32 hexadecimal characters, as bytes."""
    return uuid4().hex.encode()


class BareDealer:
    def __init__(self, endpoint: str) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.linger = 0
        self._socket.connect(endpoint)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()
        self._context.term()

    def request(self, name: str, *args: object, message_id: bytes | str | None = None) -> Any:
        """Opens a channel; returns its id."""
        channel = message_id or new_id()
        self._send([{"message_id": channel, "v": 3}, name, args])
        return channel

    def respond(self, channel: bytes | str, name: str, args: object) -> None:
        """Sends one more event on an open channel."""
        self._send([{"message_id": new_id(), "v": 3, "response_to": channel}, name, args])

    def grant(self, channel: bytes | str, events: int) -> None:
        self.respond(channel, "_zpc_more", [events])

    def receive(self, channel: bytes | str) -> tuple[str, Any]:
        """The next event on `channel` which is no heartbeat: its name and args.

        Raises:
            TimeoutError: nothing of that kind came within WAIT_S.
        """
        give_up_at = time.monotonic() + WAIT_S
        while (left_s := give_up_at - time.monotonic()) > 0:
            if not self._socket.poll(left_s * 1000):
                break
            header, name, args = msgpack.unpackb(self._socket.recv_multipart()[-1])
            if header["response_to"] == channel and name != "_zpc_hb":
                return name, args
        raise TimeoutError(f"nothing on channel {channel!r} within {WAIT_S} s")

    def receive_to_the_end(self, channel: bytes | str) -> list[tuple[str, Any]]:
        """All events up to the one which closes the channel, that one included."""
        events = [self.receive(channel)]
        while events[-1][0] not in TERMINAL:
            events.append(self.receive(channel))
        return events

    def _send(self, event: list[object]) -> None:
        self._socket.send_multipart([b"", msgpack.packb(event)])
