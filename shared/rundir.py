"""The runtime directory, which holds the sockets between gateway and workers.

Whoever can open those sockets can feed jobs to the workers and results to the gateway; the
directory's mode is what keeps other users of the machine out.
"""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

from zeropool.shared.errors import ConfigError

PRIVATE_MODE = 0o700

#: Seconds after which a socket that refuses connections is known to be dead.
DEAD_AFTER_S = 60.0

#: Any right of the group or of others.
_FOREIGN_RIGHTS = 0o077


def ensure_private_dir(path: Path) -> None:
    """Create `path` for this user alone, or make sure that it is such a directory.

    Its parent must exist: a missing one would have to be created with somebody's guess of a mode.

    Raises:
        ConfigError: it cannot be created, is not a directory (a symbolic link is none), belongs
            to someone else, or gives rights to others.
    """
    try:
        path.mkdir(mode=PRIVATE_MODE)
    except FileExistsError:
        pass
    except OSError as error:
        raise ConfigError(
            f"runtime directory {path}: cannot be created: {error.strerror}"
        ) from error
    try:
        found = os.lstat(path)
    except OSError as error:
        raise ConfigError(f"runtime directory {path}: cannot be read: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode):
        raise ConfigError(f"runtime directory {path}: is not a directory")
    if found.st_uid != os.geteuid():
        raise ConfigError(
            f"runtime directory {path}: belongs to user {found.st_uid}, expected {os.geteuid()}",
        )
    if found.st_mode & _FOREIGN_RIGHTS:
        raise ConfigError(
            f"runtime directory {path}: mode {stat.S_IMODE(found.st_mode):04o} lets others in, "
            f"expected {PRIVATE_MODE:04o}",
        )


def remove_dead_sockets(path: Path, pattern: str, now: float) -> None:
    """Remove the sockets in `path` that processes left behind when they were killed.

    `now` is wall-clock time, for it is compared with the files'. Young sockets are left alone:
    between its bind and its listen a living one, too, refuses connections.
    """
    for socket_path in path.glob(pattern):
        try:
            is_young = now - socket_path.lstat().st_mtime < DEAD_AFTER_S
        except FileNotFoundError:
            continue
        if not is_young and not is_alive(socket_path):
            socket_path.unlink(missing_ok=True)


def is_alive(path: Path) -> bool:
    """Whether a process listens on a socket in the file system."""
    with socket.socket(socket.AF_UNIX) as probe:
        # A full backlog blocks, and is a sign of life.
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True
        return True
