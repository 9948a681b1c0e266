"""A server for the tests of the clients: our own session on a real ROUTER, in a thread.

It answers a few methods by name. Waits are bounded by `PATIENCE_S`.
"""

import queue
import sys
import threading
import time
import traceback
from collections import deque

import msgspec
import zmq

from zeropool.shared.wire import event as wire
from zeropool.shared.wire.records import RemoteFailure
from zeropool.shared.wire.requested import Requested
from zeropool.shared.wire.session import Role, Session
from zeropool.shared.wire.signals import Granted

#: Nothing in these tests takes so long, unless it is broken.
PATIENCE_S = 10.0
TERM_S = 1.0
#: Short, so that a silent server is lost soon.
HEARTBEAT_S = 0.2
pack = msgspec.msgpack.encode


class Server:
    """A ROUTER with a server's session, served by one thread; None in `commands` ends it."""

    def __init__(self, endpoint="tcp://127.0.0.1:*"):
        self.commands = queue.Queue()
        self.is_mute = threading.Event()
        self.asked = queue.Queue()
        self.beats = queue.Queue()
        self.credit = queue.Queue()
        self.session = Session(Role.SERVER, beat_interval_s=HEARTBEAT_S)
        self.context = zmq.Context()
        self.router = self.context.socket(zmq.ROUTER)
        # A ROUTER drops what is above its mark, and the streams of many threads may be.
        self.router.setsockopt(zmq.SNDHWM, 0)
        self.router.bind(endpoint)
        self.endpoint = self.router.getsockopt_string(zmq.LAST_ENDPOINT)
        self.failures = deque()
        self.silent = None
        #: Answers that are due later: when, on which channel, and which.
        self.later = []
        #: Most calls of a model that were open at a time.
        self.most_open = 0
        self.limits = queue.Queue()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        try:
            while self.commands.empty():
                self.step()
        finally:
            self.router.close(linger=0)
            # As a rule it ends at once; where a client has just hung up, libzmq 4.3.5 has been seen
            # to wait for ever, with all sockets closed.
            ending = threading.Thread(target=self.context.term, daemon=True)
            ending.start()
            ending.join(TERM_S)

    def step(self):
        self.router.poll(10)
        now = time.monotonic()
        while self.router.poll(0):
            *route, payload = self.router.recv_multipart()
            self.note(payload)
            self.obey(self.session.receive(tuple(route), payload, now))
        for due in [due for due in self.later if due[0] <= now]:
            self.later.remove(due)
            self.session.answer(due[1], pack(due[2]))
        self.session.tick(now)
        for route, payload in self.session.take_outgoing():
            if not self.is_mute.is_set():
                self.router.send_multipart([*route, payload])

    def note(self, payload):
        event = wire.decode_event(payload)
        if event.name == wire.MORE:
            self.credit.put(wire.decode_credit(event.args))
        if event.name == wire.HEARTBEAT:
            self.beats.put(event.response_to)

    def obey(self, signal):
        if not isinstance(signal, Requested):
            assert signal is None or isinstance(signal, Granted)
            return
        args = msgspec.msgpack.decode(signal.event.args)
        self.asked.put((signal.event.name, args))
        self.limits.put(signal.event.timeout_s)
        getattr(self, signal.event.name)(signal.channel, *args)

    def stop(self):
        self.commands.put(None)
        self.thread.join(PATIENCE_S)
        if self.thread.is_alive():
            stack = traceback.format_stack(sys._current_frames()[self.thread.ident])
            raise AssertionError(f"the server does not end:\n{''.join(stack)}")

    def stop_after(self, method):
        """Stop as soon as somebody has called this method."""
        while self.asked.get(timeout=PATIENCE_S)[0] != method:
            pass
        self.stop()

    # Methods

    def echo(self, channel, value):
        self.session.answer(channel, pack(value))

    def nothing(self, channel):
        self.session.finish(channel, wire.encode_reply(pack(1), channel.channel_id, "OK", b"\x90"))

    def fail(self, channel, name, message, traceback):
        self.session.fail(channel, RemoteFailure(name, message, traceback))

    def count(self, channel, first, items):
        for number in range(first, first + items):
            self.session.send_item(channel, pack(number))
        self.session.end_stream(channel)

    def count_and_fail(self, channel, items):
        for number in range(items):
            self.session.send_item(channel, pack(number))
        self.session.fail(channel, RemoteFailure("ValueError", "no more", ""))

    def get_status(self, channel, *_):
        """Fail with the next of `failures`; where none is left, answer."""
        if self.failures:
            self.session.fail(channel, RemoteFailure(*self.failures.popleft(), ""))
        else:
            self.session.answer(channel, pack("well"))

    #: A prediction that is repeated, one that is not, and a stream.
    safe_predict = unsafe_predict = safe_predict_stream = get_status

    def one_and_silence(self, channel):
        self.session.send_item(channel, pack("one"))
        self.silent = channel

    def go_on(self, channel, item):
        """One more item of the last stream that fell silent."""
        self.session.send_item(self.silent, pack(item))
        self.session.answer(channel, pack(None))

    def one_and_silence_predict(self, channel, _row):
        self.one_and_silence(channel)

    def double_predict(self, channel, row):
        """Answer twice what a row has for x."""
        self.most_open = max(self.most_open, self.session.open_channels)
        if "x" in row:
            self.session.answer(channel, pack(2 * row["x"]))
        else:
            self.session.fail(channel, RemoteFailure("KeyError", "'x'", ""))

    def double_predict_batch(self, channel, rows):
        """The same for many rows."""
        predictions = [2 * row["x"] if "x" in row else None for row in rows]
        errors = [
            {"index": index, "name": "KeyError", "message": "'x'"}
            for index, row in enumerate(rows)
            if "x" not in row
        ]
        self.session.answer(channel, pack({"predictions": predictions, "errors": errors}))

    def slow_or_not_predict(self, channel, after_s):
        """Answer after so many seconds."""
        self.later.append((time.monotonic() + after_s, channel, after_s))

    def never_predict(self, channel, _row):
        """Keep the channel open; heartbeats go on."""

    def never(self, channel):
        """Keep the channel open; heartbeats go on."""
