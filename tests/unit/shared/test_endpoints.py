"""Which endpoints are accepted for which use, and which of them are public."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zeropool.shared.endpoints import MAX_IPC_PATH_BYTES, Ipc, Tcp, Use, check, is_public, parse


def test_a_tcp_endpoint_has_host_and_port():
    assert parse("tcp://127.0.0.1:4242") == Tcp("127.0.0.1", 4242)


def test_an_ipv6_host_loses_its_brackets():
    assert parse("tcp://[::1]:4242") == Tcp("::1", 4242)


def test_an_ipc_endpoint_has_a_path():
    assert parse("ipc:///run/zeropool/a b.ipc") == Ipc("/run/zeropool/a b.ipc")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4242",
        "127.0.0.1:4242",
        "inproc://x",
        "tcp://",
        "tcp://127.0.0.1",
        "tcp://:4242",
        "tcp://::1:4242",
        "tcp://[127.0.0.1]:4242",
        "tcp://a b:4242",
        "tcp://a;b:4242",
        "tcp://127.0.0.1:port",
        "tcp://127.0.0.1:65536",
        "tcp://127.0.0.1:-1",
        "tcp://127.0.0.1:4242\n",
        "tcp://127.0.0.1:٤٢",
        "ipc://",
        "ipc://*",
        "ipc://@abstract",
        "ipc:///run/a\0b",
        "ipc:///run/a\nb",
    ],
)
def test_what_is_no_endpoint_is_refused(text):
    with pytest.raises(ValueError, match="expected"):
        parse(text)


def test_an_ipc_path_fits_a_socket_address():
    longest = "/" + "a" * (MAX_IPC_PATH_BYTES - 1)
    assert parse(f"ipc://{longest}") == Ipc(longest)
    with pytest.raises(ValueError, match="path of 108 bytes, expected at most 107 bytes"):
        parse(f"ipc://{longest}a")


def test_an_ipc_path_is_measured_in_bytes():
    with pytest.raises(ValueError, match="path of 121 bytes"):
        parse("ipc:///" + "ä" * 60)


@pytest.mark.parametrize("port", ["*", "0"])
def test_only_an_endpoint_that_is_advertised_may_leave_its_port_open(port):
    check(f"tcp://127.0.0.1:{port}", Use.BIND_ANY_PORT)
    for use in (Use.BIND, Use.CONNECT):
        with pytest.raises(ValueError, match="expected a fixed port from 1 to 65535"):
            check(f"tcp://127.0.0.1:{port}", use)


@pytest.mark.parametrize("host", ["*", "0.0.0.0", "[::]"])  # noqa: S104
def test_nobody_connects_to_a_wildcard(host):
    check(f"tcp://{host}:4242", Use.BIND)
    with pytest.raises(ValueError, match="expected the host of a peer"):
        check(f"tcp://{host}:4242", Use.CONNECT)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "[::1]", "localhost", "LOCALHOST"])
def test_loopback_is_not_public(host):
    assert not is_public(parse(f"tcp://{host}:4242"))


def test_a_socket_in_the_file_system_is_not_public():
    assert not is_public(parse("ipc:///run/zeropool/gateway.ipc"))


@pytest.mark.parametrize(
    "host",
    ["*", "0.0.0.0", "[::]", "10.0.0.1", "eth0", "models.example.org", "127.1", "[fe80::1%eth0]"],  # noqa: S104
)
def test_what_is_not_surely_loopback_is_public(host):
    assert is_public(parse(f"tcp://{host}:4242"))


@given(st.one_of(st.text(), st.text().map("tcp://".__add__), st.text().map("ipc://".__add__)))
@example("tcp://h:" + "9" * 5000)
def test_any_text_is_an_endpoint_or_a_value_error(text):
    with contextlib.suppress(ValueError):
        is_public(parse(text))
