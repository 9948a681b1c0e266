"""A port whose subclass keeps what it is given, on real sockets, step by step."""

import contextlib
import math
import os
import resource
import select
import socket
import struct
from pathlib import Path

import pytest
import zmq
from scarce import Listening, Watches

from zeropool.shared import native
from zeropool.shared.ports.connections import Connections
from zeropool.shared.ports.listening import listen
from zeropool.shared.ports.reception import (
    ACCEPT_PAUSE_S,
    HANDSHAKE_TIMEOUT_S,
    KEEPALIVE_IDLE_S,
    MAX_DRAIN,
    MAX_DRAIN_BYTES,
    Reception,
)
from zeropool.shared.wire.dialer import Dialer
from zeropool.shared.wire.kinds import Kind
from zeropool.shared.wire.zmtp import (
    COMMAND,
    GREETING,
    SIGNATURE,
    frame,
    frame_head,
    ready_command,
)

pytestmark = pytest.mark.skipif(
    native.is_used(), reason="`make check` runs this on the source: nothing compiled has subclasses"
)

#: Takes no time as a rule; a wait only where something is wrong.
PATIENCE_S = 10.0
PATIENCE_MS = 10_000
READ_BYTES = 1024 * 1024
MAX_MESSAGE_BYTES = 10_000_000
#: Whoever says this is hung up on.
HANG_UP = b"hang up on me"
HELLO = GREETING + ready_command(b"PUSH")
#: What a peer may have sent that the port has not read, at least: the kernel takes it at once.
PIPE_BYTES = 150_000


class Recorder(Reception):
    """A port that keeps what it is given."""

    def __init__(self, kind, connections, report, **limits):
        bounds = {"max_message_bytes": MAX_MESSAGE_BYTES, "max_unfinished_bytes": 0} | limits
        super().__init__(kind, connections, report, who="guest", prefix="guest_", **bounds)
        #: Callers and messages, in the order in which they came.
        self.heard = []
        #: For each time that something waited for a caller: whether it had taken anything.
        self.unread = []
        self.gone = []
        #: The time that came with the last of all these.
        self.now = None

    def open(self, sock, epoll):
        self._listen(sock, epoll)

    def close(self):
        self._listener.close()
        self._close()

    def say(self, caller, message):
        caller.outgoing.add(frame(message))
        self._owe(caller)

    def _pass_on(self, caller, payloads, now):
        self.now = now
        self.heard += [(caller, payload) for payload in payloads]
        if HANG_UP in payloads:
            self._hang_up(caller, now)

    def _keep_unread(self, caller, now, *, has_taken):
        self.now = now
        self.unread.append((caller.outgoing.held_bytes > 0, has_taken))

    def _gone(self, caller, now):
        self.now = now
        self.gone.append(caller)


class World:
    """A port, whose steps the test takes."""

    def __init__(self, endpoint, kind=Kind.PULL, *, connections=100, per_address=0, **limits):
        self.reports = []
        self.endpoint = endpoint
        self.connections = Connections(max_connections=connections, max_per_address=per_address)
        self.port = Recorder(kind, self.connections, self._report, **limits)
        self.epoll = select.epoll()
        self._is_open = False
        self._stack = contextlib.ExitStack()
        self._stack.callback(self.epoll.close)

    def open(self):
        self.listening = Listening(fileno=listen(self.endpoint, "key").detach())
        self.listening.setblocking(False)
        self.address = self.listening.getsockname()
        self.port.open(self.listening, self.epoll)
        self._is_open = True
        self._stack.callback(self.hang_up)

    def hang_up(self):
        if self._is_open:
            self._is_open = False
            self.port.close()

    def close(self):
        self._stack.close()

    def _report(self, reason, text, about):
        self.reports.append((reason, text, about))

    @property
    def reasons(self):
        return [reason for reason, _, _ in self.reports]

    @property
    def heard(self):
        return [payload for _, payload in self.port.heard]

    def step(self, now=0.0, *, patience_s=PATIENCE_S):
        """One look at the sockets, and what comes of it."""
        ready = [fd for fd, _ in self.epoll.poll(patience_s)]
        assert ready or not patience_s, "nothing happens"
        self.port.step(ready, now)
        self.port.flush(now)

    def until(self, is_true, now=0.0):
        while not is_true():
            self.step(now)

    def rest(self, now=0.0):
        """Steps until nothing is to be done."""
        while not self.is_quiet:
            self.step(now)

    @property
    def is_quiet(self):
        """The poll tells of nothing."""
        return not self.epoll.poll(0)

    def queue(self, *, source=None):
        """A peer that waits to be accepted."""
        sock = socket.socket(socket.AF_UNIX if isinstance(self.address, str) else socket.AF_INET)
        self._stack.enter_context(sock)
        if source:
            sock.bind((source, 0))
        sock.connect(self.address)
        sock.setblocking(False)
        return Peer(sock)

    def connect(self, now=0.0, *, source=None):
        """A peer that has said nothing yet, and is accepted or shut out."""
        peer = self.queue(source=source)
        self.step(now)
        return peer

    def peer(self, now=0.0):
        """A peer that has shaken hands."""
        peer = self.connect(now)
        peer.send(HELLO)
        self.step(now)
        peer.read()
        assert peer.dialer.is_ready
        return peer


class Peer:
    """The other end of a connection, which speaks by hand."""

    def __init__(self, sock):
        self.sock = sock
        self.dialer = Dialer(Kind.PUSH, MAX_MESSAGE_BYTES)

    def send(self, data):
        assert self.sock.send(data) == len(data), "the kernel does not take it"

    def send_some(self, data):
        """Send what the kernel takes; return how much that is."""
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while sent < len(data):
                sent += self.sock.send(data[sent : sent + READ_BYTES])
        return sent

    def say(self, *messages):
        self.send(b"".join(map(frame, messages)))

    def read(self):
        """The messages that have come."""
        messages = []
        with contextlib.suppress(BlockingIOError):
            while data := self.sock.recv(READ_BYTES):
                messages += self.dialer.receive(data)
        return messages

    @property
    def is_hung_up_on(self):
        try:
            while self.sock.recv(READ_BYTES):
                pass
        except BlockingIOError:
            return False
        except ConnectionResetError:
            # So it is told where something was not read.
            pass
        return True


@pytest.fixture
def make_world():
    with contextlib.ExitStack() as stack:

        def make_world(endpoint, *more, **limits):
            world = World(endpoint, *more, **limits)
            world.open()
            stack.callback(world.close)
            return world

        yield make_world


@pytest.fixture
def make_local(make_world, tmp_path):
    """A port on a socket in the file system, which holds at once what is sent."""

    def make_local(*more, **limits):
        return make_world(f"ipc://{tmp_path}/socket", *more, **limits)

    return make_local


@pytest.fixture
def world(make_local):
    return make_local()


# The handshake


@pytest.mark.parametrize("endpoint", ["tcp://127.0.0.1:*", "ipc://{}/socket"])
def test_messages_of_libzmqs_push_are_heard_in_order(endpoint, make_world, tmp_path):
    world = make_world(endpoint.format(tmp_path))
    messages = [b"", b"short", b"x" * 255, b"y" * 256, b"z" * 2_000_000]
    with zmq.Context() as context, context.socket(zmq.PUSH) as push:
        push.linger = PATIENCE_MS
        push.connect(endpoint_of(world))
        for message in messages:
            push.send(message)
        world.until(lambda: len(world.port.heard) == len(messages))

    assert world.heard == messages


def endpoint_of(world):
    if isinstance(world.address, str):
        return f"ipc://{world.address}"
    return f"tcp://127.0.0.1:{world.address[1]}"


@pytest.mark.parametrize("kind", [Kind.PULL, Kind.ROUTER])
def test_a_peer_is_greeted_with_the_kind_of_the_port(make_local, kind):
    world = make_local(kind)
    peer = world.connect()
    # Who waits for it speaks only then.
    assert peer.sock.recv(READ_BYTES) == SIGNATURE
    peer.send(GREETING)
    world.step()

    assert SIGNATURE + peer.sock.recv(READ_BYTES) == GREETING + ready_command(kind.value)


def test_a_peer_may_say_all_at_once(world):
    peer = world.connect()
    peer.send(HELLO + frame(b"first") + frame(b"second"))
    world.step()

    assert world.heard == [b"first", b"second"]


def test_a_peer_may_say_it_byte_by_byte(world):
    peer = world.connect()
    for place in range(len(HELLO)):
        peer.send(HELLO[place : place + 1])
        world.step()
    for place in range(5):
        assert world.heard == []
        peer.send(frame(b"abc")[place : place + 1])
        world.step()

    assert world.heard == [b"abc"]


def test_who_leaves_the_handshake_unfinished_is_hung_up_on_in_time_and_not_before(world):
    silent, slow = world.connect(now=10.0), world.connect(now=12.0)
    slow.send(GREETING[:20])
    world.step(now=14.0)
    assert world.port.next_deadline() == 10.0 + HANDSHAKE_TIMEOUT_S

    world.port.tick(10.0 + HANDSHAKE_TIMEOUT_S - 0.001)
    assert not silent.is_hung_up_on
    world.port.tick(10.0 + HANDSHAKE_TIMEOUT_S)
    assert silent.is_hung_up_on
    assert not slow.is_hung_up_on

    # Whatever it says meanwhile, it is not waited for any longer.
    assert world.port.next_deadline() == 12.0 + HANDSHAKE_TIMEOUT_S
    world.port.tick(12.0 + HANDSHAKE_TIMEOUT_S)
    assert slow.is_hung_up_on
    assert len(world.port.gone) == 2
    assert len(world.connections) == 0


def test_who_has_shaken_hands_may_be_silent_for_ever(world):
    peer = world.peer()

    assert world.port.next_deadline() == float("inf")
    world.port.tick(1e9)
    assert not peer.is_hung_up_on


def with_mechanism(name):
    return GREETING.replace(b"NULL".ljust(20, b"\0"), name.ljust(20, b"\0"))


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (with_mechanism(b"PLAIN"), "it wants the security mechanism PLAIN"),
        (GREETING + ready_command(b"DEALER"), "its socket is a DEALER, which nobody answers"),
        (GREETING + ready_command(b"PULL"), "its socket is a PULL, which nobody answers"),
        (GREETING + frame(b"early"), "it sent a message before it was ready"),
        (GREETING + frame(b"", 0x80), "frame with unknown flags 0x80"),
        (HELLO + frame(b"\x05ERROR\x02no", COMMAND), "the peer refuses the connection: no"),
        (b"\0" * 20, "frame without flags"),
    ],
    ids=["mechanism", "dealer", "pull", "early", "flags", "error", "zeros"],
)
def test_who_breaks_the_protocol_is_shut_out_with_the_reason(world, said, error):
    peer = world.connect()
    peer.send(said)
    world.step()

    assert world.reports == [("guest_no_zmtp", "guest shut out", {"peer": "local", "error": error})]
    assert peer.is_hung_up_on
    assert len(world.port.gone) == 1


def test_who_speaks_http_is_not_heard_and_not_waited_for(world):
    peer = world.connect()
    peer.send(b"GET / HTTP/1.1\r\nHost: localhost:4242\r\nAccept: */*\r\n\r\n")
    world.step()
    world.port.tick(HANDSHAKE_TIMEOUT_S)

    assert world.heard == []


# How many


def test_all_who_wait_are_accepted_in_one_step(world):
    peers = [world.queue() for _ in range(5)]
    for peer in peers:
        peer.send(HELLO + frame(b"hello"))
    world.step()
    world.step()

    assert world.heard == [b"hello"] * 5


def test_a_connection_too_many_is_shut_out_until_another_one_ends(make_local):
    world = make_local(connections=2)
    first, second, third = world.peer(), world.peer(), world.connect()

    assert world.reports == [("guest_connection_too_many", "guest shut out", {"peer": "local"})]
    assert third.is_hung_up_on
    second.say(b"still here")
    world.step()
    assert world.heard == [b"still here"]
    # It never was there.
    assert world.port.gone == []

    first.sock.close()
    world.step()
    world.peer().say(b"in its place")
    world.step()
    assert world.heard[1:] == [b"in its place"]


def test_a_connection_too_many_of_one_address_is_shut_out_and_others_are_not(make_world):
    world = make_world("tcp://127.0.0.1:*", per_address=2)
    first, second, third = (world.connect(source="127.0.0.1") for _ in range(3))
    other = world.connect(source="127.0.0.2")

    reason = "guest_connection_too_many_of_one_address"
    assert world.reports == [(reason, "guest shut out", {"peer": "127.0.0.1"})]
    assert [peer.is_hung_up_on for peer in (first, second, third, other)] == [0, 0, 1, 0]


def test_a_vanished_host_is_found_out_and_small_messages_leave_at_once(make_world):
    world = make_world("tcp://127.0.0.1:*")
    world.connect().send(HELLO + frame(b"hello"))
    world.until(lambda: world.heard)
    ((caller, _),) = world.port.heard

    assert caller.address == "127.0.0.1"
    assert caller.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    idle_s = caller.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
    assert idle_s == KEEPALIVE_IDLE_S
    assert caller.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


# How much


def test_a_message_up_to_the_limit_is_heard_and_a_larger_one_ends_the_connection(make_local):
    world = make_local(max_message_bytes=1000)
    peer = world.peer()
    peer.say(b"x" * 1000)
    world.step()
    assert world.heard == [b"x" * 1000]

    peer.send(frame_head(1001))
    world.step(now=3.0)
    reason = "guest_unfinished_message_too_large"
    assert world.reports == [(reason, "guest shut out", {"peer": "local"})]
    assert peer.is_hung_up_on
    assert len(world.port.gone) == 1
    assert world.port.now == 3.0


def test_of_too_much_unfinished_together_who_holds_most_is_hung_up_on(make_local):
    world = make_local(max_message_bytes=1000, max_unfinished_bytes=1200)
    few, most, last = world.peer(), world.peer(), world.peer()
    message = b"x" * 1000
    for peer, size in ((few, 300), (most, 600), (last, 301)):
        assert not world.reasons
        peer.send(frame(message)[:size])
        world.step()

    assert world.reasons == ["guest_unfinished_messages_too_large_together"]
    assert most.is_hung_up_on
    # What it held does not count any more, nor does what is complete.
    for peer, size in ((few, 300), (last, 301)):
        peer.send(frame(message)[size:])
        world.step()
    few.send(frame(message)[:999])
    world.step()
    assert world.heard == [message, message]
    assert len(world.reports) == 1


def test_who_is_hung_up_on_while_its_large_message_is_read_is_not_read_on(make_local):
    world = make_local(max_message_bytes=300_000)
    other, most = world.peer(), world.peer()
    for peer, size in ((other, 150_000), (most, 151_000)):
        peer.send(frame(b"x" * 300_000)[:size])
        world.rest()

    assert world.reasons == ["guest_unfinished_messages_too_large_together"]
    assert most.is_hung_up_on
    assert not other.is_hung_up_on
    assert len(world.port.gone) == 1


def test_what_was_unfinished_of_who_is_hung_up_on_as_it_is_heard_does_not_count(make_local):
    world = make_local(max_message_bytes=1000)
    unwelcome, other = world.peer(), world.peer()
    unwelcome.send(frame(HANG_UP) + frame(b"x" * 1000)[:900])
    world.step()
    other.send(frame(b"x" * 1000)[:900])
    world.step()

    assert unwelcome.is_hung_up_on
    assert not other.is_hung_up_on
    assert world.reports == []


def test_one_message_may_be_as_large_as_the_limit_whatever_may_be_unfinished_together(make_local):
    world = make_local(max_message_bytes=1000, max_unfinished_bytes=10)
    peer = world.peer()
    peer.send(frame(b"x" * 1000)[:900])
    world.step()
    peer.send(frame(b"x" * 1000)[900:])
    world.step()

    assert world.heard == [b"x" * 1000]


def test_a_large_message_comes_in_pieces_and_others_are_heard_meanwhile(world):
    large, small = world.peer(), world.peer()
    message = bytes(range(256)) * 20_000
    data = frame(message)
    sent = steps = 0
    while sent < len(data):
        sent += large.send_some(data[sent:])
        small.say(b"hello")
        world.step()
        steps += 1
        assert world.heard.count(b"hello") == steps
    world.rest()

    assert steps > 1
    assert [payload for payload in world.heard if payload != b"hello"] == [message]
    large.say(b"and after it")
    world.step()
    assert world.heard[-1] == b"and after it"


# Turns


def test_a_large_message_that_is_all_there_takes_several_steps(world):
    peer = world.peer()
    data = frame(b"x" * 3_000_000)
    peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * len(data))
    if peer.send_some(data) < len(data):
        pytest.skip("the kernel does not keep so much: net.core.wmem_max")
    steps = 0
    while not world.heard:
        world.step()
        steps += 1

    assert world.heard == [b"x" * 3_000_000]
    # A megabyte each.
    assert steps > 2


def test_what_is_left_of_a_step_is_looked_at_first_in_the_next_one(world):
    peers = [world.peer() for _ in range(5)]
    heard = []
    for _ in peers:
        for peer in peers:
            peer.say(*[b"x"] * MAX_DRAIN)
        world.step()
        (caller,) = {caller for caller, _ in world.port.heard}
        heard.append(caller)
        world.port.heard.clear()

    assert len(set(heard)) == len(peers)


def test_those_who_say_little_are_all_heard_in_one_step(world):
    peers = [world.peer() for _ in range(MAX_DRAIN)]
    for peer in peers:
        peer.say(b"hello")
    world.step()

    assert len(world.heard) == MAX_DRAIN


def test_a_step_reads_so_many_bytes_and_the_next_one_begins_with_the_others(world):
    peers = [world.peer() for _ in range(MAX_DRAIN)]
    data = frame(b"x" * (MAX_MESSAGE_BYTES - 1))
    waiting_bytes = sum(peer.send_some(data[:READ_BYTES]) for peer in peers)
    assert waiting_bytes > MAX_DRAIN_BYTES

    world.step()
    were_read = {peer for peer in peers if peer.send_some(b"x" * PIPE_BYTES)}
    left = set(peers) - were_read
    assert were_read
    assert left
    world.step()
    assert left == {peer for peer in left if peer.send_some(b"x" * PIPE_BYTES)}


def test_the_end_of_a_connection_that_was_left_for_the_next_step_harms_nobody(world):
    greedy, gone = world.peer(), world.peer()
    for peer in (greedy, gone):
        peer.say(*[b"x"] * MAX_DRAIN)
    world.step()
    for peer in (greedy, gone):
        peer.sock.close()
    world.rest()
    world.peer().say(b"successor")
    world.rest()

    assert world.heard == [b"x"] * 2 * MAX_DRAIN + [b"successor"]
    assert len(world.port.gone) == 2


# What is said


def caller_of(world, peer):
    """The port's end of a connection."""
    peer.say(b"who am I?")
    world.step()
    return world.port.heard.pop()[0]


def test_what_is_said_arrives_in_order_when_it_is_flushed(world):
    peer = world.peer()
    caller = caller_of(world, peer)
    world.port.say(caller, b"first")
    world.port.say(caller, b"second")
    assert peer.read() == []
    world.port.flush(0.0)

    assert peer.read() == [b"first", b"second"]
    assert world.port.unread == []
    assert world.is_quiet


def test_what_a_peer_does_not_read_waits_and_goes_on_when_it_reads(world):
    peer = world.peer()
    caller = caller_of(world, peer)
    messages = [b"%d" % place * 100_000 for place in range(10)]
    for message in messages:
        world.port.say(caller, message)
    world.port.flush(0.0)
    assert caller.is_full
    # The port is told that something waits, and it is not polled for in vain.
    assert world.port.unread == [(True, True)]
    assert world.is_quiet

    world.port.say(caller, b"last")
    world.port.flush(0.0)
    assert world.port.unread[1:] == [(True, False)]

    taken = peer.read()
    world.step()
    assert world.port.unread[2:] == [(True, True)]
    while caller.is_full:
        taken += peer.read()
        world.step()
    taken += peer.read()
    assert taken == [*messages, b"last"]
    assert not caller.is_full
    assert world.port.unread[-1] == (False, True)
    # Now that there is room, the poll tells of it no longer.
    assert world.is_quiet
    world.port.say(caller, b"again")
    world.port.flush(0.0)
    assert peer.read() == [b"again"]


def test_a_peer_that_does_not_read_is_heard_all_the_same(world):
    peer = world.peer()
    caller = caller_of(world, peer)
    world.port.say(caller, b"x" * 5_000_000)
    world.port.flush(0.0)
    peer.say(b"I am here")
    world.step()

    assert world.heard == [b"I am here"]


def test_a_question_for_a_sign_of_life_is_answered(world):
    peer = world.peer()
    peer.send(frame(b"\x04PING\0\0context", COMMAND))
    world.step()

    assert peer.sock.recv(READ_BYTES) == frame(b"\x04PONGcontext", COMMAND)
    assert world.heard == []


# The end


def test_who_closes_is_gone_when_all_that_it_said_is_heard(world):
    peer = world.peer()
    caller = caller_of(world, peer)
    peer.say(b"last words")
    peer.sock.close()
    world.rest()

    assert world.heard == [b"last words"]
    assert world.port.gone == [caller]
    assert not caller.is_open
    assert len(world.connections) == 0
    # The port may not know it yet, and says something more.
    world.port.say(caller, b"too late")
    world.port.flush(0.0)
    assert world.port.gone == [caller]
    assert world.reports == []


def test_who_breaks_off_is_gone(make_world):
    world = make_world("tcp://127.0.0.1:*")
    peer = world.connect()
    peer.send(HELLO + frame(b"hello"))
    world.until(lambda: world.heard)
    # What the kernel then sends is a RST.
    peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.sock.close()
    world.step()

    assert len(world.port.gone) == 1
    assert world.reports == []


def test_who_is_found_gone_as_it_is_told_something_is_gone_once(world):
    peer = world.peer()
    caller = caller_of(world, peer)
    peer.sock.close()
    world.port.say(caller, b"are you there?")
    world.port.flush(0.0)

    assert world.port.gone == [caller]
    world.step(patience_s=0)
    assert world.port.gone == [caller]


def descriptors():
    return {file.name for file in Path("/proc/self/fd").iterdir()}


def test_who_does_not_read_and_closes_is_gone_once(world):
    peer = world.peer()
    caller = caller_of(world, peer)
    world.port.say(caller, b"x" * 5_000_000)
    world.port.flush(0.0)
    peer.sock.close()
    world.step(now=7.0)

    assert world.port.gone == [caller]
    assert world.port.now == 7.0
    assert world.is_quiet


def test_closing_hangs_up_on_all_and_leaves_no_descriptor(make_local):
    before = descriptors()
    world = make_local()
    ready, stranger, unread = world.peer(), world.connect(), world.peer()
    ready.send(frame(b"x" * 100)[:50])
    world.step()
    world.port.say(caller_of(world, unread), b"x" * 5_000_000)
    world.port.flush(0.0)
    world.hang_up()

    assert all(peer.is_hung_up_on for peer in (ready, stranger, unread))
    # It was the port that ended it.
    assert world.port.gone == []
    world.close()
    assert descriptors() == before


# What the operating system has no more of


@pytest.fixture
def no_descriptors():
    """No further descriptor is to be had inside."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)

    @contextlib.contextmanager
    def no_descriptors():
        lowest_free = os.open(os.devnull, os.O_RDONLY)
        os.close(lowest_free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)

    yield no_descriptors
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_who_comes_when_there_are_no_descriptors_is_turned_away_and_others_stay(
    world, no_descriptors
):
    old = world.peer()
    waiting = [world.queue() for _ in range(3)]
    with no_descriptors():
        world.rest()
        old.say(b"still here")
        world.step()

    about = {"error": "Too many open files"}
    report = ("guest_connection_no_descriptor", "guest shut out", about)
    assert world.reports == [report] * 3
    assert all(peer.is_hung_up_on for peer in waiting)
    assert world.heard == [b"still here"]
    assert world.port.next_deadline() == float("inf")
    world.peer().say(b"new")
    world.step()
    assert world.heard[1:] == [b"new"]


def test_where_nobody_can_be_accepted_the_port_rests_and_then_accepts_who_has_waited(world):
    world.listening.failures = math.inf
    peer = world.queue()
    world.step(now=10.0)

    about = {"error": "No buffer space available"}
    assert world.reports == [("guest_connection_no_descriptor", "guest shut out", about)]
    # The loop may sleep.
    assert world.is_quiet
    assert world.port.next_deadline() == 10.0 + ACCEPT_PAUSE_S
    world.port.tick(10.0 + ACCEPT_PAUSE_S - 0.001)
    assert world.is_quiet

    world.port.tick(10.0 + ACCEPT_PAUSE_S)
    world.step(now=11.0)
    assert world.reasons == ["guest_connection_no_descriptor"] * 2
    assert world.port.next_deadline() == 11.0 + ACCEPT_PAUSE_S
    assert world.is_quiet

    world.listening.failures = 0
    world.port.tick(12.0)
    peer.send(HELLO + frame(b"at last"))
    world.rest(now=12.0)
    assert world.heard == [b"at last"]
    assert world.port.next_deadline() == float("inf")


def test_while_a_port_rests_handshakes_end_in_time_all_the_same(world):
    stranger = world.connect()
    world.listening.failures = math.inf
    world.queue()
    world.step(now=1.0)
    assert world.port.next_deadline() == 1.0 + ACCEPT_PAUSE_S
    world.port.tick(2.0)
    world.step(now=HANDSHAKE_TIMEOUT_S - 0.1)
    assert world.port.next_deadline() == HANDSHAKE_TIMEOUT_S

    world.port.tick(HANDSHAKE_TIMEOUT_S)
    assert stranger.is_hung_up_on
    assert world.port.next_deadline() == HANDSHAKE_TIMEOUT_S - 0.1 + ACCEPT_PAUSE_S


def test_who_cannot_be_watched_is_shut_out_until_another_one_ends(make_local, monkeypatch):
    watches = Watches()
    monkeypatch.setattr(select, "epoll", watches.epoll)
    world = make_local()
    old = world.peer()
    watches.left = 0
    refused = world.connect()

    about = {"peer": "local", "error": "epoll: No space left on device"}
    assert world.reports == [("guest_connection_not_watched", "guest shut out", about)]
    assert refused.is_hung_up_on
    assert world.is_quiet
    assert len(world.connections) == 1
    # It never was there.
    world.port.tick(HANDSHAKE_TIMEOUT_S)
    assert world.port.gone == []
    old.say(b"still here")
    old.sock.close()
    world.rest()
    world.peer().say(b"in its place")
    world.step()
    assert world.heard == [b"still here", b"in its place"]
