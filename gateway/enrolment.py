"""Which registrations are accepted. No I/O, no clock.

Whoever reaches the worker port can register: each registration costs a bounded number of sockets
and bounded memory, and the gateway connects only where that cannot hold it up. To look a
host name up would hold everybody up; so tcp endpoints are numeric.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from ipaddress import ip_address

import msgspec

from zeropool.gateway.fleet import Fleet, WorkerState
from zeropool.shared import endpoints, jobs
from zeropool.shared.endpoints import Tcp, Use
from zeropool.shared.model import ModelInfo

#: Workers whose connection is not up yet: a whole machine's may start at once, and each may take
#: `CONNECT_TIMEOUT_S` and a descriptor.
MAX_CONNECTING = 128
#: Methods and metadata of models are kept for good.
MAX_MODELS = 1_024
#: The schemas and descriptions of dozens of models fit.
MAX_REGISTER_BYTES = 1024 * 1024
#: Of an id, a host or a model's name.
MAX_NAME_CHARACTERS = 255
#: Of maps and arrays in a schema, one in the other; real ones have a dozen. What can just be
#: decoded cannot be encoded again, with an answer around it.
MAX_SCHEMA_DEPTH = 100


class Refused(msgspec.Struct, frozen=True):
    """Why a registration is not accepted: a word to count it by, and a sentence."""

    reason: str
    text: str


def refusal(
    message: jobs.Register,
    size_bytes: int,
    fleet: Fleet,
    known_models: Collection[str],
    max_workers: int,
) -> Refused | None:
    """Why a worker that the fleet does not hold is refused; None: it is not.

    ``size_bytes`` is what the registration takes.
    """
    version = message.protocol_version
    new_models = {info.qualified_name for info in message.models}.difference(known_models)
    if version != jobs.PROTOCOL_VERSION:
        ours = jobs.PROTOCOL_VERSION
        refused = Refused("version", f"speaks protocol version {version}, this gateway {ours}")
    elif size_bytes > MAX_REGISTER_BYTES:
        refused = Refused("size", f"{size_bytes} bytes, at most {MAX_REGISTER_BYTES}")
    elif len(fleet) >= max_workers:
        refused = Refused("workers", f"max_workers {max_workers} workers are registered")
    elif fleet.count(WorkerState.CONNECTING) >= MAX_CONNECTING:
        refused = Refused("connecting", f"{MAX_CONNECTING} others are being connected")
    elif len(known_models) + len(new_models) > MAX_MODELS:
        refused = Refused("models", f"more than {MAX_MODELS} models")
    elif not _is_plausible(message):
        refused = Refused("implausible", "a name or a number that no worker has")
    else:
        return _endpoint_refusal(message.endpoint)
    return refused


def _endpoint_refusal(endpoint: str) -> Refused | None:
    try:
        endpoints.check(endpoint, Use.CONNECT)
        parsed = endpoints.parse(endpoint)
        if isinstance(parsed, Tcp):
            ip_address(parsed.host)
    except ValueError as error:
        return Refused("endpoint", f"endpoint: {error}")
    return None


def _is_plausible(message: jobs.Register) -> bool:
    names = [message.worker, message.host, *(info.qualified_name for info in message.models)]
    return (
        all(len(name) <= MAX_NAME_CHARACTERS for name in names)
        and bool(message.worker)
        and message.credit > 0
        and message.last >= 0
        and all(map(_has_plausible_limits, message.models))
        and all(map(_has_shallow_schemas, message.models))
    )


def _has_plausible_limits(info: ModelInfo) -> bool:
    return (
        bool(info.qualified_name)
        and info.max_batch_size > 0
        and info.max_queue >= 0
        and 0 < info.timeout_s < math.inf
        and 0 <= info.max_wait_s < math.inf
    )


def _has_shallow_schemas(info: ModelInfo) -> bool:
    level: list[object] = [info.input_schema, info.output_schema]
    for _ in range(MAX_SCHEMA_DEPTH):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return True
    return False


def _inside(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return (*value.keys(), *value.values())
    # An array that is the key of a map is decoded as a tuple.
    return value if isinstance(value, list | tuple) else ()
