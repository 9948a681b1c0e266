"""The runtime directory is this user's alone, or it is refused."""

from __future__ import annotations

import socket
import stat
import time

import pytest

from zeropool.shared.errors import ConfigError
from zeropool.shared.rundir import ensure_private_dir, remove_dead_sockets


def test_a_missing_directory_is_created_for_this_user_alone(tmp_path):
    ensure_private_dir(tmp_path / "zeropool")
    assert stat.S_IMODE((tmp_path / "zeropool").stat().st_mode) == 0o700


def test_a_private_directory_is_used_again(tmp_path):
    ensure_private_dir(tmp_path / "zeropool")
    ensure_private_dir(tmp_path / "zeropool")


@pytest.mark.parametrize("mode", [0o710, 0o701, 0o755, 0o777])
def test_a_directory_that_lets_others_in_is_refused(tmp_path, mode):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(mode)
    with pytest.raises(ConfigError, match=f"mode {mode:04o} lets others in, expected 0700"):
        ensure_private_dir(tmp_path / "open")


def test_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch(0o600)
    with pytest.raises(ConfigError, match="is not a directory"):
        ensure_private_dir(tmp_path / "file")


def test_a_symbolic_link_is_refused(tmp_path):
    (tmp_path / "real").mkdir(0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(ConfigError, match="is not a directory"):
        ensure_private_dir(tmp_path / "link")


def test_the_directory_of_another_user_is_refused(tmp_path, monkeypatch):
    (tmp_path / "theirs").mkdir(0o700)
    owner = (tmp_path / "theirs").stat().st_uid
    monkeypatch.setattr("os.geteuid", lambda: owner + 1)
    with pytest.raises(ConfigError, match=f"belongs to user {owner}, expected {owner + 1}"):
        ensure_private_dir(tmp_path / "theirs")


def test_a_missing_parent_is_named(tmp_path):
    with pytest.raises(ConfigError, match="cannot be created: No such file or directory"):
        ensure_private_dir(tmp_path / "missing" / "zeropool")


def bound(path):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    return listener


def test_the_sockets_of_dead_processes_are_removed(tmp_path):
    bound(tmp_path / "worker-1.ipc").close()

    remove_dead_sockets(tmp_path, "worker-*.ipc", time.time() + 61.0)

    assert list(tmp_path.iterdir()) == []


def test_a_socket_that_may_be_about_to_listen_is_left(tmp_path):
    bound(tmp_path / "worker-1.ipc").close()

    remove_dead_sockets(tmp_path, "worker-*.ipc", time.time() + 1.0)

    assert [path.name for path in tmp_path.iterdir()] == ["worker-1.ipc"]


def test_a_living_socket_and_those_of_others_are_left(tmp_path):
    bound(tmp_path / "gateway.ipc").close()
    with bound(tmp_path / "worker-1.ipc"):
        remove_dead_sockets(tmp_path, "worker-*.ipc", time.time() + 61.0)

    assert {path.name for path in tmp_path.iterdir()} == {"gateway.ipc", "worker-1.ipc"}
