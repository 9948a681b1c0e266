"""Sockets for endpoints of which nothing has to be looked up."""

import socket

import pytest

from zeropool.shared.endpoints import parse
from zeropool.shared.sockets import endpoint_of, peer_endpoint, reason_of, socket_for


@pytest.mark.parametrize(
    ("endpoint", "family", "address"),
    [
        ("tcp://127.0.0.1:4000", socket.AF_INET, ("127.0.0.1", 4000)),
        ("tcp://[::1]:4000", socket.AF_INET6, ("::1", 4000, 0, 0)),
        ("ipc:///run/a", socket.AF_UNIX, "/run/a"),
    ],
)
def test_a_socket_is_of_its_addresss_family(endpoint, family, address):
    made, where = socket_for(parse(endpoint))
    with made:
        assert (made.family, where) == (family, address)


@pytest.mark.parametrize("host", ["a.name", "a..name", "[fe80::1%a..b]"])
def test_what_is_no_address_is_an_error(host):
    with pytest.raises(socket.gaierror):
        socket_for(parse(f"tcp://{host}:4000"))


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_an_endpoint_says_where_a_socket_is_and_where_it_leads(host):
    listening, where = socket_for(parse(f"tcp://{host}:0"))
    with listening, socket.socket(listening.family) as made:
        listening.bind(where)
        listening.listen()
        made.connect(listening.getsockname())
        expected = f"tcp://{host}:{listening.getsockname()[1]}"

        assert endpoint_of(listening) == peer_endpoint(made) == expected


def test_a_path_is_an_endpoint_as_it_was_bound(tmp_path):
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{tmp_path}/a")

        assert endpoint_of(listening) == f"ipc://{tmp_path}/a"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "Connection refused"),
        (TimeoutError("timed out"), "timed out"),
        (ValueError("no host"), "no host"),
    ],
)
def test_why_there_is_no_connection_is_told_in_the_systems_words_if_it_has_any(error, reason):
    assert reason_of(error) == reason
