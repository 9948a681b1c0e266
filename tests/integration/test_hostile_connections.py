"""Connections that flood, stall or never finish a message: bounded, and others are served."""

import contextlib
import socket
import time
from collections.abc import Callable
from typing import Self

import psutil
import pytest
from harness import Service, free_endpoint, model_tables, wait_until
from overload import zmtp
from raw_dealer import RawDealer
from zmtp_peer import COMMAND, GREETING, LAST, ZmtpPeer, frame, is_closed, open_socket

from zeropool.shared.ports.reception import HANDSHAKE_TIMEOUT_S, MAX_DRAIN_BYTES

MIB = 1024 * 1024
ECHO = model_tables("fixture_models.plain.EchoModel")
#: Longest that a call takes here while others misbehave, on a machine that is busy with both.
PROMPT_S = 2.0
MAX_REQUEST_BYTES = 8 * MIB
#: What one peer can make the gateway hold: an unfinished message up to the limit, in pieces and
#: joined, and what is read in one step; the frames of a message may take more than their bytes.
BOUND_BYTES = 3 * MAX_REQUEST_BYTES + 2 * MAX_DRAIN_BYTES + 32 * MIB


@pytest.fixture
def guarded(serve: Callable[..., Service]) -> Service:
    return serve(f"gateway.max_request_bytes = {MAX_REQUEST_BYTES}\n" + ECHO, workers=1).ready()


class Bystander:
    """A client that is served while something happens, and the gateway's size meanwhile."""

    def __init__(self, service: Service) -> None:
        self._process = service.gateway_process()
        self._dealer = RawDealer(service.endpoint)
        self._before = self._process.memory_info().rss
        self.grown_bytes = 0
        self.slowest_s = 0.0
        self.calls = 0

    def call(self) -> None:
        started_at = time.monotonic()
        assert self._dealer.ask("echo_predict", self.calls) == ("OK", [self.calls])
        self.slowest_s = max(self.slowest_s, time.monotonic() - started_at)
        self.calls += 1
        self.grown_bytes = max(self.grown_bytes, self._process.memory_info().rss - self._before)

    def call_until(self, is_true: Callable[[], object], what: str, timeout_s: float = 30.0) -> None:
        def is_over() -> object:
            self.call()
            return is_true()

        wait_until(is_over, what, timeout_s)

    def __enter__(self) -> Self:
        self.call()
        return self

    def __exit__(self, *_: object) -> None:
        self._dealer.__exit__()


def dropped(service: Service, reason: str) -> int:
    return int(service.call("get_status")["dropped"].get(reason, 0))


def pids(dealer: RawDealer) -> list[int]:
    """The workers that are ready, asked for on a connection that is there already."""
    _, (status,) = dealer.ask("get_status")
    return [worker["pid"] for worker in status["workers"] if worker["state"] == "ready"]


def descriptors(process: psutil.Process) -> int:
    return process.num_fds()


# Messages without end

ENDLESS = {
    "large frames": frame(b"x" * MIB),
    "small frames": frame(b"x" * 100),
    "empty frames": frame(b""),
}


@pytest.mark.parametrize("part", ENDLESS.values(), ids=ENDLESS)
def test_a_message_of_endless_parts_is_cut_off(guarded, part):
    with Bystander(guarded) as other, ZmtpPeer(guarded.endpoint) as hostile:
        hostile.flood(part)
        other.call_until(hostile.is_cut_off, "it is cut off")
        assert other.grown_bytes < BOUND_BYTES
        assert other.slowest_s < PROMPT_S
        drops = guarded.call("get_status")["dropped"]
    assert sum(n for reason, n in drops.items() if reason.startswith("unfinished")) == 1
    assert "client shut out peer=127.0.0.1" in guarded.output


def test_several_peers_with_endless_messages_are_all_cut_off(guarded):
    with contextlib.ExitStack() as stack:
        other = stack.enter_context(Bystander(guarded))
        hostile = [stack.enter_context(ZmtpPeer(guarded.endpoint)) for _ in range(8)]
        for peer in hostile:
            peer.flood(frame(b"x" * 1000))
        other.call_until(lambda: all(peer.is_cut_off() for peer in hostile), "they are cut off")
        assert other.grown_bytes < BOUND_BYTES
        assert other.slowest_s < PROMPT_S


def test_a_large_frame_that_trickles_in_is_no_offence(guarded):
    body = b"x" * (MAX_REQUEST_BYTES - 1000)
    whole = frame(b"") + frame(body, LAST)
    with Bystander(guarded) as other, ZmtpPeer(guarded.endpoint) as slow:
        for begin in range(0, len(whole), MIB // 2):
            slow.send(whole[begin : begin + MIB // 2])
            other.call()
        # It is garbage, but it has arrived.
        other.call_until(lambda: dropped(guarded, "malformed"), "the whole message was taken")
        assert not is_closed(slow.socket)


def test_a_client_that_sends_one_large_request_after_the_other_is_no_offender(guarded):
    text = "x" * (MAX_REQUEST_BYTES - 1000)
    with RawDealer(guarded.endpoint) as dealer:
        # 240 MiB on one connection, as fast as they are answered.
        for _ in range(30):
            assert dealer.ask("echo_predict", text) == ("OK", [text])


def test_a_finished_message_of_very_many_parts_is_thrown_away(guarded):
    with Bystander(guarded) as other, ZmtpPeer(guarded.endpoint) as hostile:
        hostile.send(frame(b"") * 50_000, frame(b"", LAST))
        other.call_until(lambda: dropped(guarded, "route_too_long"), "it was dropped")
        assert not is_closed(hostile.socket)
        assert other.slowest_s < PROMPT_S


# Floods of connections


def test_connections_that_say_nothing_are_gone_after_the_handshakes_time(guarded):
    gateway = guarded.gateway_process()
    with Bystander(guarded) as other:
        before = descriptors(gateway)
        silent = [open_socket(guarded.endpoint) for _ in range(200)]
        for half in silent[100:]:
            half.sendall(GREETING[:32])
        other.call_until(lambda: descriptors(gateway) >= before + 200, "they are connected")
        other.call_until(
            lambda: all(map(is_closed, silent)), "they are gone", HANDSHAKE_TIMEOUT_S + 10
        )
        other.call_until(lambda: descriptors(gateway) <= before, "their descriptors are free")
        assert other.slowest_s < PROMPT_S
    for peer in silent:
        peer.close()


HANDSHAKES = {
    # Each in pieces, as a client answers what it was told.
    "ZMTP 3": [GREETING[:10], GREETING[10:], zmtp.ready(b"DEALER")],
    "ZMTP 2": [GREETING[:10], b"\x01\x05", zmtp.frame(b"")],
    "ZMTP 1": [b"\x01\x00"],
}


def test_clients_that_have_shaken_hands_may_say_nothing_for_as_long_as_they_like(guarded):
    with contextlib.ExitStack() as stack:
        quiet = [stack.enter_context(open_socket(guarded.endpoint)) for _ in HANDSHAKES]
        for client, pieces in zip(quiet, HANDSHAKES.values(), strict=True):
            for piece in pieces:
                client.sendall(piece)
                # Each piece is to arrive by itself.
                with RawDealer(guarded.endpoint) as other:
                    other.ask("_zerorpc_ping")
        # That nothing happens can only be seen by waiting for it.
        time.sleep(HANDSHAKE_TIMEOUT_S + 1.0)
        assert not any(map(is_closed, quiet))


def test_connections_beyond_the_cap_are_closed_and_those_below_go_on(serve):
    service = serve("gateway.max_connections = 20\n" + ECHO, workers=1).ready()
    with contextlib.ExitStack() as stack:
        dealer = stack.enter_context(RawDealer(service.endpoint))
        assert dealer.ask("echo_predict", 1) == ("OK", [1])
        peers = [stack.enter_context(open_socket(service.endpoint)) for _ in range(60)]
        wait_until(lambda: sum(map(is_closed, peers)) == 41, "41 of 60 are closed")
        assert dealer.ask("echo_predict", 2) == ("OK", [2])
        name, (status,) = dealer.ask("get_status")
        assert (name, status["dropped"]["connection_too_many"]) == ("OK", 41)
    wait_until(lambda: service.call("echo_predict", 3) == 3, "there is room again")
    # A bounded number of lines, however many connections.
    assert 0 < service.output.count("connection_too_many") < 60


def test_one_address_can_be_given_less_than_all(serve):
    service = serve("gateway.max_connections_per_address = 5\n" + ECHO, workers=1).ready()
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(open_socket(service.endpoint)) for _ in range(8)]
        wait_until(lambda: sum(map(is_closed, peers)) == 3, "three are closed")
        host, _, port = service.endpoint.removeprefix("tcp://").rpartition(":")
        elsewhere = stack.enter_context(
            socket.create_connection((host, int(port)), source_address=("127.0.0.2", 0))
        )
        elsewhere.settimeout(10)
        elsewhere.sendall(GREETING)
        assert elsewhere.recv(10)[:1] == b"\xff"


def test_workers_can_register_while_clients_take_all_that_they_may(serve):
    # Far fewer descriptors than connections: the cap is what is left beside the workers'.
    service = serve(
        "gateway.max_connections = 100000\ngateway.max_workers = 8\n" + ECHO,
        workers=1,
        max_descriptors=512,
    ).ready()
    gateway = service.gateway_process()
    with contextlib.ExitStack() as stack:
        dealer = stack.enter_context(RawDealer(service.endpoint))
        assert dealer.ask("echo_predict", 1) == ("OK", [1])
        for _ in range(700):
            stack.enter_context(open_socket(service.endpoint))
        assert dealer.ask("echo_predict", 2) == ("OK", [2])
        (before,) = pids(dealer)
        psutil.Process(before).kill()
        wait_until(lambda: pids(dealer) not in ([], [before]), "another has registered")
        assert dealer.ask("echo_predict", 3) == ("OK", [3])
        assert descriptors(gateway) < 512
        # No loop spins on what cannot be accepted.
        wait_until(lambda: gateway.cpu_percent(0.5) < 50, "the gateway is at rest")
    assert "too few file descriptors for max_connections" in service.output


# The worker port


def test_a_worker_port_that_is_flooded_goes_on(serve):
    workers_bind = free_endpoint()
    service = serve(f'gateway.workers_bind = "{workers_bind}"\n' + ECHO, workers=1).ready()
    with contextlib.ExitStack() as stack:
        other = stack.enter_context(Bystander(service))
        hostile = stack.enter_context(ZmtpPeer(workers_bind, "PUSH"))
        hostile.flood(frame(b""))
        other.call_until(hostile.is_cut_off, "it is cut off")
        many = stack.enter_context(ZmtpPeer(workers_bind, "PUSH"))
        many.send((frame(b"garbage") * 5 + frame(b"", LAST)) * 1000)
        other.call_until(lambda: dropped(service, "worker_malformed") == 1000, "all were dropped")
        assert other.slowest_s < PROMPT_S
        assert not is_closed(many.socket)


def test_who_is_no_worker_is_turned_away_from_the_worker_port_and_told_of(serve):
    workers_bind = free_endpoint()
    service = serve(f'gateway.workers_bind = "{workers_bind}"\n' + ECHO, workers=1).ready()
    with ZmtpPeer(workers_bind, "DEALER") as client:
        wait_until(lambda: is_closed(client.socket), "it is hung up on")
    with open_socket(workers_bind) as browser:
        browser.sendall(
            b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"PLAIN".ljust(20, b"\0") + bytes(32)
        )
        wait_until(lambda: is_closed(browser), "it is hung up on")
    assert dropped(service, "worker_no_zmtp") == 2
    assert "its socket is a DEALER, which nobody answers" in service.output
    assert service.call("echo_predict", 1) == 1


def test_who_asks_the_worker_port_for_signs_of_life_without_reading_them_is_hung_up_on(serve):
    workers_bind = free_endpoint()
    service = serve(f'gateway.workers_bind = "{workers_bind}"\n' + ECHO, workers=1).ready()
    ping = frame(b"\x04PING\x00\x00" + b"x" * 16, COMMAND)
    with Bystander(service) as other, ZmtpPeer(workers_bind, "PUSH") as hostile:
        hostile.flood(ping)
        other.call_until(lambda: dropped(service, "worker_unread"), "it is hung up on")
        assert other.slowest_s < PROMPT_S
        assert other.grown_bytes < BOUND_BYTES
