"""The workers' port with its core, on real sockets: workers are libzmq's, or speak by hand."""

import contextlib
import select
import socket
from pathlib import Path

import pytest
import zmq
from gateway_world import LIMITS, model_info
from scarce import Watches

from zeropool.gateway.commands import Connect, Disconnect, Log, Note, Tell
from zeropool.gateway.core import Gateway
from zeropool.gateway.fleet import WorkerState
from zeropool.gateway.limits import Limits
from zeropool.gateway.worker_port import (
    WORKER_PING_INTERVAL_S,
    WORKER_PINGS,
    WorkerPort,
)
from zeropool.shared import jobs
from zeropool.shared.ports.connections import Connections
from zeropool.shared.ports.reception import HANDSHAKE_TIMEOUT_S
from zeropool.shared.push import MAX_UNREAD_BYTES
from zeropool.shared.wire.answerer import Answerer
from zeropool.shared.wire.kinds import Kind
from zeropool.shared.wire.zmtp import COMMAND, GREETING, MORE, frame, frame_head, ready_command

#: Takes no time as a rule; a wait only where something is wrong.
PATIENCE_S = 10.0
PATIENCE_MS = 10_000
READ_BYTES = 1024 * 1024
#: What the kernel keeps at most for who does not read.
PIPE_BYTES = 16 * 1024 * 1024
MAX_MESSAGE_BYTES = 100_000_000
MAX_REPLY_BYTES = 1_000_000
PING = frame(b"\x04PING\x00\x00", COMMAND)
PONG = frame(b"\x04PONG", COMMAND)
PULSE = frame(jobs.encode(jobs.Pulse("w1")))
HELLO = GREETING + ready_command(b"PUSH")


class World:
    """A port with its core, whose steps the test takes."""

    def __init__(self, folder):
        self.endpoint = f"ipc://{folder}/gateway"
        self.reports = []
        self.notes = []
        self.core = Gateway("zeropool", "1.0", "gw1", Limits(**LIMITS), now=0.0)
        self.port = WorkerPort(
            self.endpoint,
            self.core,
            Connections(max_connections=10, max_per_address=0),
            self._report,
            max_reply_bytes=MAX_REPLY_BYTES,
            max_held_bytes=1_000_000,
        )
        self._folder = folder
        self._is_open = False
        self._stack = contextlib.ExitStack()
        self.epoll = select.epoll()
        self._stack.callback(self.epoll.close)

    def open(self):
        self.port.open(self.epoll)
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

    def step(self, now=0.0, *, patience_s=PATIENCE_S):
        """One look at the sockets, and what comes of it."""
        ready = [fd for fd, _ in self.epoll.poll(patience_s)]
        assert ready or not patience_s, "nothing happens"
        self.port.step(ready, now)
        self.carry_out(now)

    def carry_out(self, now=0.0):
        for command in self.core.take_commands(now):
            match command:
                case Connect():
                    self.port.connect(command.worker_id, command.endpoint)
                case Tell():
                    self.port.tell(command.worker_id, command.frame)
                case Disconnect():
                    self.port.disconnect(command.worker_id)
                case Log():
                    self.notes.append(command.note)
        self.port.flush(now)
        if self.core.has_news:
            self.core.has_news = False
            self.carry_out(now)

    def until(self, is_true, now=0.0):
        while not is_true():
            self.step(now)

    def rest(self, now=0.0):
        """Steps until nothing is to be done."""
        while self.epoll.poll(0):
            self.step(now)

    def tick(self, now):
        """The port's time passes, and what comes of it is carried out."""
        self.port.tick(now)
        self.port.flush(now)
        self.carry_out(now)

    # Who is there

    def state(self, worker_id="w1"):
        worker = self.core.fleet.get(worker_id)
        return None if worker is None else worker.state

    def register(self, worker_id, endpoint):
        """The core hears of a worker; whichever way that came."""
        models = [model_info()]
        message = jobs.Register(worker_id, jobs.PROTOCOL_VERSION, 3, endpoint, 10, 7, "h", models)
        self.core.worker_message(jobs.encode(message), 0.0)
        self.carry_out()

    def path(self, name):
        return f"{self._folder}/{name}"

    def listen(self, name):
        """A socket to which the port can connect."""
        sock = self._stack.enter_context(socket.socket(socket.AF_UNIX))
        sock.bind(self.path(name))
        sock.listen(1)
        sock.settimeout(PATIENCE_S)
        return sock

    def accept(self, sock):
        accepted = self._stack.enter_context(sock.accept()[0])
        accepted.setblocking(False)
        return accepted

    def worker(self, worker_id="w1"):
        """A worker that has shaken hands, whose end the test moves."""
        sock = self.listen(worker_id)
        self.register(worker_id, f"ipc://{self.path(worker_id)}")
        pull = Pull(self.accept(sock))
        while not (pull.peer.is_ready and self.state(worker_id) is WorkerState.READY):
            pull.read()
            pull.speak()
            self.step()
            pull.read()
        self.rest()
        pull.read()
        return pull

    def connect(self, now=0.0):
        """Who has said nothing on the port yet."""
        sock = self._stack.enter_context(socket.socket(socket.AF_UNIX))
        sock.connect(self.endpoint.removeprefix("ipc://"))
        sock.setblocking(False)
        self.step(now)
        return sock

    def peer(self):
        """Who says something on the port by hand."""
        sock = self.connect()
        sock.sendall(HELLO)
        self.rest()
        sock.recv(READ_BYTES)
        return sock


class Pull:
    """A worker's end of the gateway's link. It answers only when it is told to."""

    def __init__(self, sock):
        self.sock = sock
        self.peer = Answerer(Kind.PULL, MAX_MESSAGE_BYTES)

    def read(self, most=READ_BYTES):
        """The messages that have come."""
        messages = []
        with contextlib.suppress(BlockingIOError):
            while data := self.sock.recv(most):
                messages += self.peer.receive(data)
        return messages

    def take_replies(self):
        """What the protocol would answer; it is not sent then."""
        replies, self.peer.replies[:] = self.peer.replies[:], []
        return replies

    def speak(self):
        self.sock.sendall(b"".join(self.take_replies()))

    @property
    def is_hung_up_on(self):
        try:
            while self.sock.recv(READ_BYTES):
                pass
        except BlockingIOError:
            return False
        return True


@pytest.fixture
def make_world(tmp_path):
    with contextlib.ExitStack() as stack:

        def make_world():
            world = World(tmp_path)
            stack.callback(world.core.check_invariants)
            stack.callback(world.close)
            world.open()
            return world

        yield make_world


@pytest.fixture
def world(make_world):
    return make_world()


@pytest.fixture
def context():
    with zmq.Context() as context:
        context.linger = PATIENCE_MS
        yield context


def pull_of(context, endpoint):
    pull = context.socket(zmq.PULL)
    pull.rcvtimeo = PATIENCE_MS
    pull.bind(endpoint)
    return pull, pull.last_endpoint.decode()


# A worker's life


@pytest.mark.parametrize("endpoint", ["tcp://127.0.0.1:*", "ipc://{}/worker"])
def test_a_worker_of_libzmq_registers_is_welcomed_and_is_told_what_is_said_in_order(
    endpoint, world, context, tmp_path
):
    with contextlib.ExitStack() as stack:
        pull, bound = pull_of(context, endpoint.format(tmp_path))
        push = stack.enter_context(context.socket(zmq.PUSH))
        stack.enter_context(pull)
        push.connect(world.endpoint)
        models = [model_info()]
        push.send(
            jobs.encode(jobs.Register("w1", jobs.PROTOCOL_VERSION, 3, bound, 10, 7, "h", models))
        )
        world.until(lambda: world.state() is WorkerState.READY)
        assert isinstance(jobs.decode_from_gateway(pull.recv()), jobs.Welcome)

        messages = [b"", b"first", b"x" * 100_000, b"last"]
        for message in messages:
            world.port.tell("w1", message)
        world.port.flush(0.0)
        assert [pull.recv() for _ in messages] == messages
        push.send(jobs.encode(jobs.Bye("w1")))
        world.until(lambda: world.state() is None)

    assert world.notes == [Note.WORKER_READY, Note.WORKER_GONE]
    assert not world.reports
    assert not world.core.dropped


def test_a_worker_is_ready_only_when_its_handshake_is_over(world):
    sock = world.listen("w1")
    world.register("w1", f"ipc://{world.path('w1')}")
    pull = Pull(world.accept(sock))
    world.rest()
    assert world.state() is WorkerState.CONNECTING

    pull.sock.sendall(GREETING)
    world.rest()
    assert world.state() is WorkerState.CONNECTING
    pull.sock.sendall(ready_command(b"PULL"))
    world.rest()
    assert world.state() is WorkerState.READY


def test_what_is_told_to_nobody_harms_nobody(world):
    world.port.tell("w7", b"hello")
    world.port.disconnect("w7")
    world.port.flush(0.0)
    world.tick(0.0)

    assert world.port.next_deadline() == float("inf")


def test_what_is_told_leaves_when_it_is_flushed(world):
    pull = world.worker()
    world.port.tell("w1", b"hello")
    assert pull.read() == []
    world.port.flush(0.0)

    assert pull.read() == [b"hello"]


def test_the_last_words_to_a_worker_leave_before_its_link_is_closed(world):
    pull = world.worker()
    world.port.tell("w1", b"last words")
    world.port.disconnect("w1")

    assert pull.read() == [b"last words"]
    assert pull.is_hung_up_on
    # Nobody is told any more, nor asked for signs of life.
    world.port.tell("w1", b"more")
    world.port.flush(0.0)
    assert world.port.next_deadline() == float("inf")


def test_last_words_to_a_worker_that_has_gone_do_no_harm(world):
    world.worker().sock.close()
    world.port.tell("w1", b"last words")
    world.port.disconnect("w1")
    world.port.flush(0.0)

    assert not world.reports


# Workers that cannot be reached, or are lost


@pytest.mark.parametrize("kind", ["ipc", "ipc-left-behind", "tcp"])
def test_a_worker_that_is_not_there_is_reported_with_the_reason_and_lost(world, kind):
    if kind == "tcp":
        with socket.create_server(("127.0.0.1", 0)) as gone:
            endpoint = f"tcp://127.0.0.1:{gone.getsockname()[1]}"
    else:
        endpoint = f"ipc://{world.path('w1')}"
        if kind == "ipc-left-behind":
            world.listen("w1").close()
    world.register("w1", endpoint)
    world.until(lambda: world.state() is None)

    error = "No such file or directory" if kind == "ipc" else "Connection refused"
    about = {"worker": "w1", "error": f"{endpoint}: {error}"}
    assert world.reports == [("worker_unreachable", "worker cannot be reached", about)]
    assert world.notes == [Note.WORKER_LOST]
    assert world.port.next_deadline() == float("inf")


def test_an_endpoint_that_is_none_is_reported_with_the_reason(world):
    world.port.connect("w1", "nowhere")
    ((reason, _, about),) = world.reports

    assert reason == "worker_unreachable"
    assert about["worker"] == "w1"
    assert about["error"].startswith("nowhere: ")


def test_who_is_no_pull_is_reported_with_the_reason_and_lost(world, context):
    with context.socket(zmq.ROUTER) as router:
        endpoint = f"ipc://{world.path('w1')}"
        router.bind(endpoint)
        world.register("w1", endpoint)
        world.until(lambda: world.state() is None)

    error = f"{endpoint}: the server is a ROUTER, with which no PUSH can talk"
    about = {"worker": "w1", "error": error}
    assert world.reports == [("worker_unreachable", "worker cannot be reached", about)]
    assert world.notes == [Note.WORKER_LOST]


def test_who_speaks_no_zmtp_is_reported_with_the_reason_and_lost(world):
    sock = world.listen("w1")
    endpoint = f"ipc://{world.path('w1')}"
    world.register("w1", endpoint)
    peer = world.accept(sock)
    peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    world.until(lambda: world.state() is None)

    about = {"worker": "w1", "error": f"{endpoint}: the server does not speak ZMTP"}
    assert world.reports == [("worker_unreachable", "worker cannot be reached", about)]
    assert Pull(peer).is_hung_up_on


def test_a_worker_that_ends_is_lost_at_once(world):
    pull, other = world.worker("w1"), world.worker("w2")
    pull.sock.close()
    world.step()

    assert world.state("w1") is None
    assert world.notes[-1] is Note.WORKER_LOST
    assert world.state("w2") is WorkerState.READY
    world.port.tell("w2", b"hello")
    world.port.flush(0.0)
    assert other.read() == [b"hello"]
    assert not world.reports


def test_a_worker_that_is_found_gone_as_it_is_told_something_is_lost_once(world):
    pull = world.worker()
    pull.sock.close()
    world.port.tell("w1", b"hello")
    world.port.flush(0.0)
    world.carry_out()
    assert world.state() is None
    world.step(patience_s=0)

    assert world.notes == [Note.WORKER_READY, Note.WORKER_LOST]


# Signs of life


def pings(pull):
    """How often a worker was asked; it does not answer."""
    pull.read()
    return pull.take_replies().count(PONG)


def test_workers_are_asked_for_a_sign_of_life_at_equal_intervals(world):
    pulls = [world.worker("w1"), world.worker("w2")]
    world.tick(100.0)
    for turn in (1, 2, 3):
        assert [pings(pull) for pull in pulls] == [1, 1]
        for pull in pulls:
            pull.sock.sendall(PONG)
        world.rest()
        due_at = 100.0 + turn * WORKER_PING_INTERVAL_S
        assert world.port.next_deadline() == due_at
        world.tick(due_at - 0.001)
        assert [pings(pull) for pull in pulls] == [0, 0]
        world.tick(due_at)


def test_a_worker_of_libzmq_answers_whatever_the_process_does(world, context):
    pull, bound = pull_of(context, f"ipc://{world.path('w1')}")
    with pull:
        world.register("w1", bound)
        world.until(lambda: world.state() is WorkerState.READY)
        for turn in range(3 * WORKER_PINGS):
            world.tick(turn * WORKER_PING_INTERVAL_S)
            world.step()

        assert world.state() is WorkerState.READY


def test_a_worker_that_answers_none_of_so_many_questions_is_lost(world):
    silent, alive = world.worker("w1"), world.worker("w2")
    for turn in range(WORKER_PINGS):
        world.tick(turn * WORKER_PING_INTERVAL_S)
        assert world.state("w1") is WorkerState.READY
        alive.sock.sendall(PONG)
        world.rest()
    world.tick(WORKER_PINGS * WORKER_PING_INTERVAL_S)

    assert world.state("w1") is None
    assert world.notes[-1] is Note.WORKER_LOST
    assert silent.is_hung_up_on
    assert world.state("w2") is WorkerState.READY


def test_one_answer_is_enough_to_be_alive(world):
    pull = world.worker()
    for turn in range(3 * WORKER_PINGS):
        world.tick(turn * WORKER_PING_INTERVAL_S)
        if turn % WORKER_PINGS == WORKER_PINGS - 1:
            pull.sock.sendall(PONG)
            world.rest()

    assert world.state() is WorkerState.READY


def test_after_a_pause_of_the_gateway_alone_nobody_is_lost(world):
    world.worker()
    world.tick(0.0)
    world.tick(1000.0)
    assert world.state() is WorkerState.READY
    # It is asked as often as ever, and not at once for all that was missed.
    assert world.port.next_deadline() == 1000.0 + WORKER_PING_INTERVAL_S


def test_a_worker_with_a_pulse_is_not_asked_and_lives_as_long_as_it_beats(world):
    pull = world.worker()
    pulse = world.peer()
    pulse.sendall(PULSE)
    world.step()
    for turn in range(3 * WORKER_PINGS):
        world.tick(turn * WORKER_PING_INTERVAL_S)
        pulse.sendall(PING)
        world.rest()
    assert world.state() is WorkerState.READY
    assert pings(pull) == 0

    for turn in range(3 * WORKER_PINGS, 4 * WORKER_PINGS):
        world.tick(turn * WORKER_PING_INTERVAL_S)
        assert world.state() is WorkerState.READY
    world.tick(4 * WORKER_PINGS * WORKER_PING_INTERVAL_S)
    assert world.state() is None
    assert world.notes[-1] is Note.WORKER_LOST


def test_a_worker_whose_pulse_has_ended_is_asked_again(world):
    pull = world.worker()
    pulse = world.peer()
    pulse.sendall(PULSE)
    world.step()
    world.tick(0.0)
    assert pings(pull) == 0

    pulse.close()
    world.step()
    pulse = world.peer()
    pulse.sendall(frame(jobs.encode(jobs.Pulse("w2"))))
    world.step()
    pull.sock.sendall(PONG)
    world.rest()
    world.tick(WORKER_PING_INTERVAL_S)
    assert pings(pull) == 1


def test_a_worker_whose_pulse_ends_between_two_beats_has_its_time_to_answer(world):
    pull = world.worker()
    pulse = world.peer()
    pulse.sendall(PULSE)
    world.step()
    # It is waited for; no beat has come since.
    world.tick(0.0)
    pulse.close()
    world.step()
    world.tick(WORKER_PING_INTERVAL_S)
    assert pings(pull) == 1
    for turn in range(2, WORKER_PINGS):
        world.tick(turn * WORKER_PING_INTERVAL_S)
    pull.sock.sendall(PONG)
    world.rest()
    for turn in range(WORKER_PINGS, 2 * WORKER_PINGS):
        world.tick(turn * WORKER_PING_INTERVAL_S)

    assert world.state() is WorkerState.READY


def test_a_pulse_counts_whether_it_or_the_registration_comes_first(world):
    pulse = world.peer()
    pulse.sendall(PULSE)
    world.step()
    pull = world.worker()
    world.tick(0.0)

    assert pings(pull) == 0


def test_of_two_pulses_of_one_worker_one_is_enough(world):
    pull = world.worker()
    pulses = [world.peer(), world.peer()]
    for pulse in pulses:
        pulse.sendall(PULSE + PULSE)
        world.step()
    pulses[0].close()
    world.step()
    world.tick(0.0)
    assert pings(pull) == 0

    pulses[1].close()
    world.step()
    world.tick(WORKER_PING_INTERVAL_S)
    assert pings(pull) == 1


def test_a_worker_that_is_not_ready_is_not_asked(world):
    sock = world.listen("w1")
    world.register("w1", f"ipc://{world.path('w1')}")
    peer = world.accept(sock)
    world.rest()
    for turn in range(2 * WORKER_PINGS):
        world.tick(turn * WORKER_PING_INTERVAL_S)

    # How long the handshake may take is the core's to decide.
    assert world.state() is WorkerState.CONNECTING
    assert peer.recv(READ_BYTES) == GREETING


def test_a_worker_that_asks_for_a_sign_of_life_is_answered(world):
    pull = world.worker()
    pull.sock.sendall(frame(b"\x04PING\0\0context", COMMAND))
    world.step()

    assert pull.sock.recv(READ_BYTES) == frame(b"\x04PONGcontext", COMMAND)


def test_handshakes_end_in_time_whenever_workers_are_asked(world):
    world.worker()
    # The next question is due half a second later.
    world.tick(100.0)
    stranger = world.connect(now=95.2)
    assert world.port.next_deadline() == 95.2 + HANDSHAKE_TIMEOUT_S
    world.tick(95.2 + HANDSHAKE_TIMEOUT_S)

    assert Pull(stranger).is_hung_up_on
    assert world.port.next_deadline() == 100.0 + WORKER_PING_INTERVAL_S


# Workers that do not read


def test_what_a_worker_does_not_read_counts_until_it_reads(world):
    pull = world.worker()
    messages = [b"%d" % place * 3_000_000 for place in range(4)]
    for message in messages:
        world.port.tell("w1", message)
    world.port.flush(0.0)
    unsent_bytes = world.port.unsent_bytes
    assert 0 < unsent_bytes < 12_000_000
    # It is not polled for in vain.
    assert not world.epoll.poll(0)
    world.port.tell("w1", b"last")
    world.port.flush(0.0)
    assert world.port.unsent_bytes == unsent_bytes + len(frame(b"last"))

    taken = pull.read()
    while world.port.unsent_bytes:
        world.step()
        taken += pull.read()
    assert taken == [*messages, b"last"]
    # Now that there is room, the poll tells of it no longer.
    assert not world.epoll.poll(0)
    world.port.tell("w1", b"again")
    world.port.flush(0.0)
    assert pull.read() == [b"again"]


@pytest.mark.parametrize("end", ["lost", "disconnected"])
def test_what_a_worker_did_not_read_counts_no_longer_when_it_is_gone(world, end):
    pull = world.worker()
    world.port.tell("w1", b"x" * 10_000_000)
    world.port.flush(0.0)
    assert world.port.unsent_bytes
    if end == "lost":
        pull.sock.close()
        world.rest()
    else:
        world.port.disconnect("w1")

    assert world.port.unsent_bytes == 0


def test_who_takes_no_more_is_not_told_last_words(world):
    pull = world.worker()
    world.port.tell("w1", b"x" * 10_000_000)
    world.port.flush(0.0)
    world.port.tell("w1", b"last words")
    world.port.disconnect("w1")

    assert pull.read() == []
    assert pull.is_hung_up_on


def test_a_worker_that_does_not_read_is_lost_when_it_answers_nothing(world):
    world.worker()
    world.port.tell("w1", b"x" * 10_000_000)
    world.port.flush(0.0)
    for turn in range(WORKER_PINGS + 1):
        world.tick(turn * WORKER_PING_INTERVAL_S)

    assert world.state() is None
    assert world.port.unsent_bytes == 0


# What comes


BEAT = jobs.encode(jobs.WorkerBeat("w7"))


@pytest.mark.parametrize(
    "said",
    [
        frame(b"garbage"),
        frame(b""),
        frame(b"hop", MORE) + frame(b"", MORE) + frame(BEAT),
        frame(b"no delimiter", MORE) + frame(BEAT),
        frame(jobs.PULSE_HEAD),
        frame(b"\x92\xd9\x05pulse\xa2w1"),
    ],
    ids=["garbage", "empty", "hops", "two-frames", "pulse-of-nobody", "long-form-of-a-pulse"],
)
def test_what_is_no_message_of_a_worker_is_counted_and_nobody_is_shut_out(world, said):
    peer = world.peer()
    peer.sendall(said)
    world.step()
    assert world.core.dropped == {"worker_malformed": 1}

    peer.sendall(frame(BEAT) + said)
    world.step()
    assert world.core.dropped == {"worker_malformed": 2}
    assert not world.reports


def test_messages_around_a_malformed_one_are_taken(world):
    peer = world.peer()
    world.worker()
    bye = jobs.encode(jobs.Bye("w1"))
    peer.sendall(frame(BEAT) + frame(b"hop", MORE) + frame(b"", MORE) + frame(BEAT) + frame(bye))
    world.step()

    assert world.core.dropped == {"worker_malformed": 1}
    assert world.state() is None


def test_an_empty_frame_before_a_message_does_no_harm(world):
    peer = world.peer()
    peer.sendall(frame(b"", MORE) + frame(BEAT))
    world.step()

    assert not world.core.dropped


def test_a_message_larger_than_any_batch_of_results_ends_the_connection(world):
    limit_bytes = 4 * MAX_REPLY_BYTES + 64 * 1024 * 1024
    peer = world.peer()
    peer.sendall(frame(b"x" * 10) + frame_head(limit_bytes))
    world.step()
    assert not world.reports
    other = world.peer()
    other.sendall(frame_head(limit_bytes + 1))
    world.step()

    reason = "worker_unfinished_message_too_large"
    assert world.reports == [(reason, "worker shut out", {"peer": "local"})]


def test_who_asks_for_signs_of_life_and_reads_none_is_shut_out(world):
    peer = world.peer()
    question = frame(b"\x04PING\0\0" + b"c" * 16, COMMAND)
    answer = frame(b"\x04PONG" + b"c" * 16, COMMAND)
    answered_bytes = 0
    while not world.reports:
        assert answered_bytes < PIPE_BYTES, "it may ask without end"
        peer.sendall(question * 200)
        world.step()
        answered_bytes += 200 * len(answer)

    assert world.reports == [("worker_unread", "worker shut out", {"peer": "local"})]
    # What the kernel keeps costs the gateway nothing.
    kept_bytes = 0
    while data := peer.recv(READ_BYTES):
        kept_bytes += len(data)
    assert answered_bytes - kept_bytes > MAX_UNREAD_BYTES
    assert answered_bytes - kept_bytes < MAX_UNREAD_BYTES + 10_000


def test_who_asks_for_signs_of_life_and_reads_them_may_go_on(world):
    peer = world.peer()
    question = frame(b"\x04PING\0\0" + b"c" * 16, COMMAND)
    for _ in range(100):
        peer.sendall(question * 200)
        world.rest()
        with contextlib.suppress(BlockingIOError):
            while peer.recv(READ_BYTES):
                pass

    assert not world.reports


# The end, and what the operating system has no more of


def descriptors():
    return {file.name for file in Path("/proc/self/fd").iterdir()}


def test_closing_leaves_no_descriptor_and_no_socket_in_the_file_system(make_world, tmp_path):
    before = descriptors()
    world = make_world()
    pull, peer = world.worker(), world.peer()
    world.port.tell("w1", b"x" * 10_000_000)
    world.port.flush(0.0)
    world.hang_up()

    pull.read()
    assert pull.is_hung_up_on
    assert Pull(peer).is_hung_up_on
    assert not (tmp_path / "gateway").exists()
    world.close()
    assert descriptors() == before


def test_a_worker_that_cannot_be_watched_is_reported_and_lost_and_others_stay(
    make_world, monkeypatch
):
    watches = Watches()
    monkeypatch.setattr(select, "epoll", watches.epoll)
    world = make_world()
    pull = world.worker("w1")
    world.listen("w2")
    before = descriptors()
    watches.left = 0
    world.register("w2", f"ipc://{world.path('w2')}")

    error = f"ipc://{world.path('w2')}: epoll: No space left on device"
    about = {"worker": "w2", "error": error}
    assert world.reports == [("worker_unreachable", "worker cannot be reached", about)]
    assert world.state("w2") is None
    assert descriptors() == before
    world.port.tell("w1", b"hello")
    world.port.flush(0.0)
    assert pull.read() == [b"hello"]
    watches.left = 1
    world.register("w2", f"ipc://{world.path('w2')}")
    assert world.state("w2") is WorkerState.CONNECTING
