"""A zerorpc.Server whose answers record.py stores.

peer_python_server.py ENDPOINT HEARTBEAT_S
"""

import logging
import re
import signal
import sys

import gevent.event
import zerorpc

LIFE_S = 60


class ShortPaths:
    """A middleware which leaves bare file names in tracebacks: no machine's own folders."""

    def server_inspect_exception(self, _request, reply, _task_context, _exc_infos):
        reply._args = tuple(re.sub(r'"/[^"]*/', '"', text) for text in reply.args)


class Recorded:
    def __init__(self):
        self._released = gevent.event.Event()

    def echo(self, value):
        """Returns what it was given.

        A second paragraph.
        """
        return value

    def undocumented(self):
        return None

    def pair(self):
        """Returns a tuple."""
        return (1, "two")

    def fail(self, text):
        """Raises a ValueError."""
        raise ValueError(text)

    def a_set(self):
        """Returns what msgpack cannot carry."""
        return {1}

    def wait(self):
        """Answers when someone calls release."""
        self._released.wait()
        return "released"

    def release(self):
        """Lets wait answer."""
        self._released.set()

    @zerorpc.stream
    def count(self, number):
        """Streams 0, 1, …"""
        return iter(range(number))

    @zerorpc.stream
    def count_and_fail(self, number):
        """Streams, then raises."""
        yield from range(number)
        raise RuntimeError("midway")


endpoint, heartbeat = sys.argv[1:]
signal.alarm(LIFE_S)
logging.disable()  # the errors it is asked for are no news
context = zerorpc.Context()
context.register_middleware(ShortPaths())
server = zerorpc.Server(Recorded(), name="recorded", context=context, heartbeat=float(heartbeat))
server.bind(endpoint)
server.run()
