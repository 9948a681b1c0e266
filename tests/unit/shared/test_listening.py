"""The clients' port: who gets it, what its name means, and who is told that it is taken."""

from __future__ import annotations

import contextlib
import math
import socket
import stat

import pytest
from scarce import Listening

from zeropool.shared.errors import ConfigError
from zeropool.shared.ports.connections import ACCEPT_BURST
from zeropool.shared.ports.listening import Listener, Port, listen, reserve

KEY = "gateway.bind"
ANY_PORT = "tcp://127.0.0.1:*"
TAKEN = "Address already in use"


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


@pytest.fixture
def opened():
    """Sockets are closed at the end, by whom else."""
    with contextlib.ExitStack() as stack:
        yield stack.enter_context


@pytest.fixture
def taken(opened):
    """An endpoint on which somebody listens."""
    return endpoint_of(opened(listen(ANY_PORT, KEY)))


@pytest.fixture
def free(opened):
    """An endpoint on which nobody listens any more."""
    with listen(ANY_PORT, KEY) as sock:
        return endpoint_of(sock)


def endpoint_of(sock):
    return f"tcp://127.0.0.1:{sock.getsockname()[1]}"


def can_connect(address, family=socket.AF_INET):
    with socket.socket(family) as probe:
        return probe.connect_ex(address) == 0


def refusal(call, endpoint, *more):
    """What whoever cannot have an endpoint is told."""
    with pytest.raises(ConfigError) as error:
        call(endpoint, KEY, *more)
    return str(error.value)


# A port of one's own


def test_who_connects_is_accepted(opened):
    sock = opened(listen(ANY_PORT, KEY))
    opened(socket.create_connection(sock.getsockname()))
    connection, _ = sock.accept()
    opened(connection)


@pytest.mark.parametrize("endpoint", [ANY_PORT, "ipc://{}/z.ipc"])
def test_the_socket_does_not_block(endpoint, tmp_path, opened):
    sock = opened(listen(endpoint.format(tmp_path), KEY))
    with pytest.raises(BlockingIOError):
        sock.accept()


def test_a_port_that_is_taken_is_refused_with_key_and_endpoint(taken):
    assert refusal(listen, taken) == f"gateway.bind = '{taken}': cannot bind: {TAKEN}"


def test_a_port_is_free_again_when_its_socket_is_closed(free, opened):
    sock = opened(listen(free, KEY))
    assert endpoint_of(sock) == free


def test_connections_of_the_past_do_not_keep_a_port(opened):
    with listen(ANY_PORT, KEY) as sock:
        endpoint = endpoint_of(sock)
        client = opened(socket.create_connection(sock.getsockname()))
        # Who hangs up first has to remember it.
        sock.accept()[0].close()
        assert client.recv(1) == b""
        client.close()
    assert endpoint_of(opened(listen(endpoint, KEY))) == endpoint


# What a host means


@pytest.mark.parametrize("host", ["lo", "localhost", "127.0.0.1"])
def test_interface_and_host_name_of_this_machine_are_its_loopback(host, opened):
    if host not in ("localhost", "127.0.0.1", *(name for _, name in socket.if_nameindex())):
        pytest.skip(f"this machine has no interface {host}")
    sock = opened(listen(f"tcp://{host}:*", KEY))
    assert sock.getsockname()[0] == "127.0.0.1"


@needs_ipv6
def test_ipv6_stands_in_brackets(opened):
    sock = opened(listen("tcp://[::1]:*", KEY))
    assert sock.getsockname()[0] == "::1"
    assert can_connect(sock.getsockname(), socket.AF_INET6)


def test_the_wildcard_takes_ipv4(opened):
    port = opened(listen("tcp://*:*", KEY)).getsockname()[1]
    assert can_connect(("127.0.0.1", port))


@needs_ipv6
@pytest.mark.parametrize("host", ["*", "[::]"])
def test_a_wildcard_takes_both(host, opened):
    port = opened(listen(f"tcp://{host}:*", KEY)).getsockname()[1]
    assert can_connect(("127.0.0.1", port))
    assert can_connect(("::1", port), socket.AF_INET6)


@pytest.mark.parametrize(
    "host", ["no-such-host.invalid", "a..b", "x" * 64, "203.0.113.1"], ids=lambda host: host[:8]
)
@pytest.mark.parametrize("call", [listen, reserve])
def test_a_host_that_is_not_here_is_refused_with_key_and_endpoint(call, host):
    endpoint = f"tcp://{host}:4242"
    assert refusal(call, endpoint).startswith(f"gateway.bind = '{endpoint}': cannot bind: ")


# A path


def test_an_ipc_path_is_bound(tmp_path, opened):
    path = tmp_path / "z.ipc"
    opened(listen(f"ipc://{path}", KEY))
    assert stat.S_ISSOCK(path.stat().st_mode)
    assert can_connect(str(path), socket.AF_UNIX)


def test_the_path_of_a_living_process_is_refused_and_left_alone(tmp_path, opened):
    path = tmp_path / "z.ipc"
    sock = opened(listen(f"ipc://{path}", KEY))
    assert refusal(listen, f"ipc://{path}") == (
        f"gateway.bind = 'ipc://{path}': another process listens there"
    )
    opened(socket.socket(socket.AF_UNIX)).connect(str(path))
    opened(sock.accept()[0])


def test_the_path_of_a_dead_process_is_taken_over(tmp_path, opened):
    path = tmp_path / "z.ipc"
    listen(f"ipc://{path}", KEY).close()
    assert path.exists()
    assert not can_connect(str(path), socket.AF_UNIX)
    opened(listen(f"ipc://{path}", KEY))
    assert can_connect(str(path), socket.AF_UNIX)


def test_a_path_in_no_directory_is_refused(tmp_path):
    endpoint = f"ipc://{tmp_path}/missing/z.ipc"
    assert refusal(listen, endpoint) == (
        f"gateway.bind = '{endpoint}': cannot bind: No such file or directory"
    )


# A port of several gateways


def test_several_listen_on_a_port_that_is_reserved_for_them(free, opened):
    opened(reserve(free, KEY))
    gateways = [opened(listen(free, KEY, Port.SHARED)) for _ in range(3)]
    assert [endpoint_of(sock) for sock in gateways] == [free] * 3


def test_a_reservation_takes_no_connections_from_those_who_listen(free, opened):
    reservation = opened(reserve(free, KEY))
    assert not can_connect(reservation.getsockname())
    sock = opened(listen(free, KEY, Port.SHARED))
    for _ in range(20):
        opened(socket.create_connection(sock.getsockname()))
        opened(sock.accept()[0])


def test_a_shared_port_stays_reserved_when_those_who_listen_are_gone(free, opened):
    opened(reserve(free, KEY))
    listen(free, KEY, Port.SHARED).close()
    assert refusal(listen, free) == f"gateway.bind = '{free}': cannot bind: {TAKEN}"
    opened(listen(free, KEY, Port.SHARED))


@pytest.mark.parametrize("call", [listen, reserve])
@pytest.mark.parametrize("listens", [False, True], ids=["reserved", "shared"])
def test_a_service_of_others_cannot_join_a_reserved_port(call, listens, free, opened):
    opened(reserve(free, KEY))
    if listens:
        opened(listen(free, KEY, Port.SHARED))
    assert refusal(call, free) == f"gateway.bind = '{free}': cannot bind: {TAKEN}"


def test_a_port_that_is_taken_cannot_be_reserved(taken):
    assert refusal(reserve, taken) == f"gateway.bind = '{taken}': cannot bind: {TAKEN}"


def test_a_port_that_is_taken_cannot_be_shared(taken):
    assert refusal(listen, taken, Port.SHARED) == f"gateway.bind = '{taken}': cannot bind: {TAKEN}"


def test_a_path_cannot_be_reserved(tmp_path):
    endpoint = f"ipc://{tmp_path}/z.ipc"
    assert refusal(reserve, endpoint) == (
        f"gateway.bind = '{endpoint}': several gateways can only share a tcp:// endpoint"
    )
    assert list(tmp_path.iterdir()) == []


# Who connects


@pytest.fixture
def sock(opened):
    sock = opened(Listening(fileno=listen(ANY_PORT, KEY).detach()))
    sock.setblocking(False)
    return sock


@pytest.fixture
def listener(sock):
    listener = Listener(sock)
    yield listener
    listener.close()


def test_those_who_connect_come_with_their_addresses_some_at_a_time(listener, sock, opened):
    count = ACCEPT_BURST + 1
    peers = [opened(socket.create_connection(sock.getsockname())) for _ in range(count)]
    accepted = listener.accept()
    rest = listener.accept()
    for connection, _ in accepted + rest:
        opened(connection)

    assert [len(accepted), len(rest)] == [ACCEPT_BURST, 1]
    assert [connection.getpeername() for connection, _ in accepted + rest] == [
        peer.getsockname() for peer in peers
    ]
    assert {address for _, address in accepted} == {"127.0.0.1"}
    assert listener.accept() == []
    assert (listener.failure, listener.is_stuck) == ("", False)


def test_who_comes_by_a_path_has_no_address(tmp_path, opened):
    listener = Listener(listen(f"ipc://{tmp_path}/z.ipc", KEY))
    with contextlib.closing(listener):
        opened(socket.socket(socket.AF_UNIX)).connect(f"{tmp_path}/z.ipc")
        ((connection, address),) = listener.accept()
        opened(connection)

    assert address == ""


def test_a_listener_is_stuck_where_who_waits_cannot_even_be_turned_away(listener, sock, opened):
    opened(socket.create_connection(sock.getsockname()))
    sock.failures = math.inf
    assert listener.accept() == []
    assert (listener.failure, listener.is_stuck) == ("No buffer space available", True)

    sock.failures = 0
    ((connection, _),) = listener.accept()
    opened(connection)
    assert (listener.failure, listener.is_stuck) == ("", False)


def test_a_listener_is_not_stuck_when_who_waits_is_turned_away(listener, sock, opened):
    peer = opened(socket.create_connection(sock.getsockname()))
    sock.failures = 1
    assert listener.accept() == []

    assert (listener.failure, listener.is_stuck) == ("No buffer space available", False)
    assert peer.recv(1) == b""


def test_a_listener_is_not_stuck_when_who_waited_has_left(listener, sock):
    sock.failures = 1
    assert listener.accept() == []

    assert (listener.failure, listener.is_stuck) == ("No buffer space available", False)
