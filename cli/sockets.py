"""Where the processes of one `zeropool serve` find each other, and clients all of its gateways.

Part of the shell: a private directory, and the reservation of a port that gateways share.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

from zeropool.cli.gateways import gateway_config, workers_endpoints
from zeropool.shared import endpoints
from zeropool.shared.config import Config
from zeropool.shared.errors import ConfigError
from zeropool.shared.ports.listening import reserve

#: Workers name their sockets by their ids.
WORKER_ID_CHARS = 16


class Sockets:
    """The places of all sockets; it is there while `serve` is."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._held = contextlib.ExitStack()

    def open(self) -> None:
        """Make the directory, and reserve the port where gateways share it.

        Raises:
            ConfigError: sockets cannot be as configured.
        """
        directory = tempfile.TemporaryDirectory(prefix="zeropool-", ignore_cleanup_errors=True)
        self.runtime_dir = Path(self._held.enter_context(directory))
        self._check_paths()
        count = self._config.serve.gateways
        #: Where workers report to each gateway.
        self.endpoints = workers_endpoints(self._config, self.runtime_dir)
        # Refused now, and not when it is started.
        gateway_config(self._config, count - 1)
        if count > 1:
            # Kept for the gateways, whoever of them is dead.
            self._held.enter_context(reserve(self._config.gateway.bind, "gateway.bind"))

    def close(self) -> None:
        """Remove the directory, give the port back."""
        self._held.close()

    def _check_paths(self) -> None:
        longest = f"ipc://{self.runtime_dir}/worker-{'0' * WORKER_ID_CHARS}.ipc"
        try:
            endpoints.check(longest, endpoints.Use.BIND)
        except ValueError as error:
            raise ConfigError(
                f"temporary directory {self.runtime_dir}: too long for sockets in it ({error}); "
                "set TMPDIR to a shorter one"
            ) from error
