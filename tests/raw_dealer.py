"""One DEALER socket that speaks ZeroRPC event by event, for calls that overlap.

It grants nothing and beats nothing by itself, keeps what arrives for other channels, and can put
anything into a header. Every wait is bounded.
"""

import time
from collections import defaultdict, deque
from typing import Any, Self
from uuid import uuid4

import msgpack
import zmq

WAIT_S = 15.0
TERMINAL = frozenset({"OK", "ERR", "STREAM_DONE"})
Answer = tuple[str, Any]


class RawDealer:
    def __init__(self, endpoint: str, *, receive_high_water: int = 0) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.linger = 0
        self._socket.sndhwm = 0
        self._socket.rcvhwm = receive_high_water
        self._socket.connect(endpoint)
        self._arrived: dict[bytes | str, deque[Answer]] = defaultdict(deque)
        #: Heartbeats that came, over all channels.
        self.beats = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._context.term()

    def request(self, name: str, *args: object, **header: object) -> Any:
        """Open a channel, with these entries in its header too; return its id."""
        channel = header.pop("message_id", None) or uuid4().hex.encode()
        self._send([{"message_id": channel, "v": 3, **header}, name, args])
        return channel

    def respond(self, channel: bytes | str, name: str, args: object) -> None:
        """Send one more event on an open channel."""
        header = {"message_id": uuid4().hex.encode(), "v": 3, "response_to": channel}
        self._send([header, name, args])

    def grant(self, channel: bytes | str, events: int) -> None:
        self.respond(channel, "_zpc_more", [events])

    def send_payload(self, payload: bytes) -> None:
        """Send a payload that was encoded elsewhere."""
        self._socket.send_multipart([b"", payload])

    def receive(self, channel: bytes | str, timeout_s: float = WAIT_S) -> Answer:
        """The next event on ``channel`` that is no heartbeat: its name and args.

        Raises:
            TimeoutError: none came in time.
        """
        give_up_at = time.monotonic() + timeout_s
        while not self._arrived[channel]:
            left_s = give_up_at - time.monotonic()
            if left_s <= 0 or not self._socket.poll(left_s * 1000):
                raise TimeoutError(f"nothing on channel {channel!r} within {timeout_s} s")
            self._take()
        return self._arrived[channel].popleft()

    def receive_to_the_end(self, channel: bytes | str) -> list[Answer]:
        """All events up to the one which closes the channel, that one included."""
        events = [self.receive(channel)]
        while events[-1][0] not in TERMINAL:
            events.append(self.receive(channel))
        return events

    def ask(self, name: str, *args: object, **header: object) -> Answer:
        """One call and its answer."""
        return self.receive(self.request(name, *args, **header))

    def _take(self) -> None:
        header, name, args = msgpack.unpackb(self._socket.recv_multipart()[-1])
        if name == "_zpc_hb":
            self.beats += 1
        else:
            self._arrived[header["response_to"]].append((name, args))

    def _send(self, event: list[object]) -> None:
        self.send_payload(msgpack.packb(event))
