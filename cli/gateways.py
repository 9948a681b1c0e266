"""The gateways of `zeropool serve`: what each is called, and where it listens beside the others.

Clients come to all of them by one port. Everything else that a gateway binds is its own: the first
one has the configured endpoint, each further one the next port, or the same path with its number.
No I/O.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from zeropool.shared import endpoints
from zeropool.shared.config import Config
from zeropool.shared.endpoints import Endpoint, Ipc
from zeropool.shared.errors import ConfigError


def gateway_names(count: int) -> list[str]:
    """What they are called, in the log too."""
    return ["gateway"] if count == 1 else [f"gateway-{index}" for index in range(count)]


def gateway_config(config: Config, index: int) -> Config:
    """The configuration with which gateway ``index`` is started.

    Raises:
        ConfigError: there is no port left for it.
    """
    bind = config.http.bind
    if not bind:
        return config
    moved = _moved(endpoints.parse_http(bind), index, "http.bind", bind).removeprefix("tcp://")
    return msgspec.structs.replace(config, http=msgspec.structs.replace(config.http, bind=moved))


def workers_endpoints(config: Config, runtime_dir: Path) -> list[str]:
    """Where workers report to each gateway.

    Raises:
        ConfigError: there is no port left for one.
    """
    count = config.serve.gateways
    configured = config.gateway.workers_bind
    if not configured:
        return [f"ipc://{runtime_dir}/{name}.ipc" for name in gateway_names(count)]
    endpoint = endpoints.parse(configured)
    return [_moved(endpoint, index, "gateway.workers_bind", configured) for index in range(count)]


def kept_as_running(new: Config, running: Config) -> Config:
    """A new configuration as far as it takes effect while the gateways go on."""
    serve = msgspec.structs.replace(new.serve, gateways=running.serve.gateways)
    return msgspec.structs.replace(new, gateway=running.gateway, http=running.http, serve=serve)


def _moved(endpoint: Endpoint, index: int, key: str, configured: str) -> str:
    """The endpoint for gateway ``index``."""
    if isinstance(endpoint, Ipc):
        return f"ipc://{endpoint.path}.{index}" if index else configured
    port = endpoint.port + index
    if port > endpoints.MAX_PORT:
        raise ConfigError(f"{key} = {configured!r}: gateway {index} would need port {port}")
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    return f"tcp://{host}:{port}"
