"""The clients' port on sockets in the file system, which hold at once what is sent."""

import select
import socket

import gateway_world
import pytest
from gateway_world import model_info, unpack

from zeropool.gateway.clients import ClientPort
from zeropool.gateway.commands import Tell
from zeropool.gateway.head_start import LEAST_CALLS
from zeropool.gateway.reply import Reply
from zeropool.shared import jobs
from zeropool.shared.config import GatewaySettings
from zeropool.shared.ports.connections import Connections
from zeropool.shared.ports.listening import Port
from zeropool.shared.ports.reception import MAX_DRAIN
from zeropool.shared.wire import zmtp
from zeropool.shared.wire.dialer import Dialer
from zeropool.shared.wire.event import MessageIds, encode_request
from zeropool.shared.wire.kinds import Kind

#: Takes no time as a rule; a wait only where something is wrong.
PATIENCE_S = 10.0
READ_BYTES = 1024 * 1024


class World:
    """A port with its core, whose steps the test takes."""

    def __init__(self, path):
        settings = GatewaySettings(bind=f"ipc://{path}")
        connections = Connections(max_connections=10, max_per_address=10)
        self.pool = gateway_world.World()
        self.core = self.pool.gateway
        self.port = ClientPort(
            settings, self.core, connections, self.report, Port.OWN, self.carry_out
        )
        self.epoll = select.epoll()
        self.port.open(self.epoll)
        self.path = str(path)
        self.callers = []
        #: The arguments of each message with jobs.
        self.given = []

    def worker_up(self):
        """A worker is there whose model is known as fast."""
        self.pool.worker_up(models=[model_info(batches=True)])
        self.pool.call("double_predict", 1)
        self.pool.answer(busy_s=0.000_01)

    def answer(self):
        """The worker answers all that it was given."""
        self.pool.answer(busy_s=0.000_01)

    def report(self, reason, text, about):
        raise AssertionError(f"{text}: {reason} {about}")

    def caller(self):
        caller = Caller(self, self.path)
        self.callers.append(caller)
        return caller

    def step(self):
        """One look at the sockets, and what comes of it."""
        self.port.step([fd for fd, _ in self.epoll.poll(PATIENCE_S)], 0.0)
        self.carry_out()

    def carry_out(self):
        for command in self.core.take_commands(0.0):
            if isinstance(command, Reply):
                self.port.reply(command.route, command.payload)
            elif isinstance(command, Tell):
                message = jobs.decode_from_gateway(command.frame)
                self.pool.hear(command.worker_id, message)
                if isinstance(message, jobs.Jobs):
                    self.given.append([unpack(job.args)[0] for job in message.jobs])
        self.port.flush(0.0)


class Caller:
    """A client whose handshake is made."""

    def __init__(self, world, path):
        self._ids = MessageIds()
        self._dialer = Dialer(Kind.DEALER, READ_BYTES)
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)
        self.sock.settimeout(PATIENCE_S)
        while not self._dialer.is_ready:
            for reply in self._dialer.replies:
                self.sock.sendall(reply)
            self._dialer.replies.clear()
            world.step()
            self._dialer.receive(self.sock.recv(READ_BYTES))
        for reply in self._dialer.replies:
            self.sock.sendall(reply)
        world.step()
        self.sock.settimeout(None)

    def ask(self, count):
        self._send([encode_request(self._ids(), "_zerorpc_ping", []) for _ in range(count)])

    def predict(self, numbers):
        self._send([encode_request(self._ids(), "double_predict", [each]) for each in numbers])

    def predict_through(self, device, numbers):
        """As a device does that forwards: each request behind the name of its caller there."""
        messages = [
            zmtp.frame(device, zmtp.MORE)
            + zmtp.frame(b"", zmtp.MORE)
            + zmtp.frame(encode_request(self._ids(), "double_predict", [each]))
            for each in numbers
        ]
        self.sock.sendall(b"".join(messages))

    def _send(self, requests):
        self.sock.sendall(b"".join(map(zmtp.frame_message, requests)))

    def answers(self):
        """How many have come."""
        try:
            return len(self._dialer.receive(self.sock.recv(READ_BYTES, socket.MSG_DONTWAIT)))
        except BlockingIOError:
            return 0


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path / "socket")
    yield world
    for caller in world.callers:
        caller.sock.close()
    world.port.close(lambda: 0.0)
    world.epoll.close()


def test_requests_are_answered(world):
    caller = world.caller()
    caller.ask(3)
    world.step()

    assert caller.answers() == 3


def test_who_asks_without_a_pause_does_not_keep_another_from_being_heard(world):
    callers = [world.caller(), world.caller()]
    for caller in callers:
        caller.ask(2 * MAX_DRAIN)
    world.step()
    (other,) = [caller for caller in callers if not caller.answers()]
    for caller in callers:
        caller.ask(2 * MAX_DRAIN)
    world.step()

    assert other.answers()


def test_the_end_of_a_connection_that_was_found_but_not_looked_at_harms_nobody(world):
    greedy, gone = world.caller(), world.caller()
    greedy.ask(2 * MAX_DRAIN)
    gone.ask(1)
    world.step()
    gone.sock.close()
    world.step()
    successor = world.caller()
    successor.ask(1)
    world.step()

    assert successor.answers() == 1


def test_an_idle_worker_begins_with_half_of_what_came_together(world):
    world.worker_up()
    world.caller().predict(range(2 * LEAST_CALLS))
    world.step()

    assert world.given == [[*range(LEAST_CALLS)], [*range(LEAST_CALLS, 2 * LEAST_CALLS)]]


def test_a_busy_worker_gets_the_next_calls_in_one(world):
    world.worker_up()
    caller = world.caller()
    caller.predict([0])
    world.step()
    caller.predict(range(2 * LEAST_CALLS))
    world.step()

    assert world.given == [[0], [*range(2 * LEAST_CALLS)]]


def test_who_waits_for_all_answers_is_not_parted_each_time(world):
    world.worker_up()
    caller = world.caller()
    for _ in range(3):
        caller.predict(range(2 * LEAST_CALLS))
        world.step()
        world.answer()

    half = LEAST_CALLS
    assert [len(numbers) for numbers in world.given] == [half, half, 2 * half, half, half]


def test_the_second_half_comes_through_its_devices_too(world):
    world.worker_up()
    caller = world.caller()
    caller.predict_through(b"device", range(2 * LEAST_CALLS))
    world.step()

    world.answer()
    routes = [route[1:] for route, _ in world.pool.received]
    assert routes.count((b"device",)) == 2 * LEAST_CALLS


def test_of_a_caller_that_is_gone_halfway_no_more_is_taken(world):
    world.worker_up()
    caller = world.caller()
    caller.ask(1)
    caller.predict(range(2 * LEAST_CALLS + 2))
    caller.sock.close()
    world.step()

    assert world.given == [[*range(LEAST_CALLS)]]
    assert not world.core.dispatcher.open_calls
