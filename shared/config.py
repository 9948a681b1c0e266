"""Every setting of Zeropool, in one frozen object that is right or was never made.

`load` reads, each over the one before: the defaults below, the shipped profile that `APP_SETTINGS`
names, `zeropool.toml`, the table `[profiles.NAME]` of that file, the environment
(`ZEROPOOL_GATEWAY_BIND`), and the command line. What somebody wrote thus beats what ships, and
what is nearer to the start of the process beats what is farther. A configuration that names no
`[[models]]` at all, with or without a file, hosts the iris model.

Units are in the names: `_s` seconds, `_ms` milliseconds, `_bytes` bytes. Refuses to know how a
value is parsed or quoted in an error (`layers`), and opens nothing but the file.
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from zeropool.shared import endpoints, layers, native, profiles
from zeropool.shared.endpoints import Use
from zeropool.shared.errors import ConfigError

CONFIG_VARIABLE = "ZEROPOOL_CONFIG"
PROFILE_VARIABLE = "APP_SETTINGS"
DEFAULT_FILE = Path("zeropool.toml")

#: Variables of the test suite and the build, which configure no process.
FOREIGN_PREFIXES = ("ZEROPOOL_TEST_", "ZEROPOOL_REQUIRE_")

MIB = 1024 * 1024

DEFAULT_BIND = "tcp://127.0.0.1:4242"
DEFAULT_MAX_QUEUE = 10_000
DEFAULT_MAX_REQUEST_BYTES = 64 * MIB
#: msgpack-python's default `max_buffer_size`: a Python client cannot decode more.
DEFAULT_MAX_REPLY_BYTES = 100 * MIB
DEFAULT_MAX_UNREAD_BYTES = 64 * MIB
DEFAULT_MAX_HELD_BYTES = 1024 * MIB
#: A client that is suspended, for instance in a debugger, may go on within this time.
DEFAULT_MAX_UNREAD_S = 60.0
DEFAULT_MAX_ATTEMPTS = 3
DEFAULT_MAX_WORKERS = 1024
DEFAULT_DRAIN_S = 30.0
#: A worker imports numpy and loads its models in this time, or the caller may as well know.
DEFAULT_STARTUP_GRACE_S = 10.0
DEFAULT_STREAM_IDLE_S = 300.0
#: The pool's processes are the parallelism; BLAS threads on top of them fight for the cores.
DEFAULT_THREADS = 1
DEFAULT_MAX_BATCH_SIZE = 64
DEFAULT_TIMEOUT_S = 300.0
#: Models of some gigabytes are read and warmed up in this time.
DEFAULT_READY_TIMEOUT_S = 60.0
#: More than any machine has use for: each is connected to every worker.
MAX_GATEWAYS = 64

#: A week. Every span ends up in a poll timeout, which is a 32-bit count of milliseconds.
MAX_SPAN_S = 7 * 24 * 3600.0
#: A row that waits longer for others than this is not batched but forgotten.
MAX_WAIT_MS = 60_000.0
#: The longest str or bin of msgpack.
MAX_MESSAGE_BYTES = 2**32 - 1
#: An error with its traceback fits, and a heartbeat does.
MIN_MESSAGE_BYTES = 4096
MAX_ROWS = 2**31 - 1
MAX_PROCESSES = 1024
#: Linux's most for one process, without a kernel setting of its own (fs.nr_open).
MAX_CONNECTIONS = 2**20
#: 16 TiB.
MAX_MEBIBYTES = 2**24

Bytes = Annotated[int, Meta(ge=MIN_MESSAGE_BYTES, le=MAX_MESSAGE_BYTES)]
Rows = Annotated[int, Meta(ge=1, le=MAX_ROWS)]
RowsOrZero = Annotated[int, Meta(ge=0, le=MAX_ROWS)]
MebibytesOrZero = Annotated[int, Meta(ge=0, le=MAX_MEBIBYTES)]
Processes = Annotated[int, Meta(ge=1, le=MAX_PROCESSES)]
ProcessesOrZero = Annotated[int, Meta(ge=0, le=MAX_PROCESSES)]
Span = Annotated[float, Meta(gt=0, le=MAX_SPAN_S)]
SpanOrZero = Annotated[float, Meta(ge=0, le=MAX_SPAN_S)]
Connections = Annotated[int, Meta(ge=0, le=MAX_CONNECTIONS)]
Gateways = Annotated[int, Meta(ge=1, le=MAX_GATEWAYS)]
Attempts = Annotated[int, Meta(ge=1, le=100)]
Wait = Annotated[float, Meta(ge=0, le=MAX_WAIT_MS)]
ServiceName = Annotated[
    str,
    Meta(
        pattern=r"\A\w[\w .:-]{0,99}\Z",
        description="1 to 100 letters, digits, spaces and any of _.:- after a letter or digit",
    ),
]
ModuleName = Annotated[
    str,
    Meta(
        pattern=r"\A[^\W\d]\w*(\.[^\W\d]\w*)*\Z",
        description="a module's dotted name, as in an import statement",
    ),
]
ClassName = Annotated[
    str, Meta(pattern=r"\A[^\W\d]\w*\Z", description="the name of a class in the module")
]
Level = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


class GatewaySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[gateway]`: where clients come in, and what they may ask of the service."""

    #: The service's name, as `_zerorpc_name` answers it.
    name: ServiceName = "zeropool"
    #: Endpoint for ZeroRPC clients.
    bind: str = DEFAULT_BIND
    #: Endpoint to which workers report; "": see `workers_endpoint`.
    workers_bind: str = ""
    #: Whether endpoints may be reachable from other hosts, though nothing is encrypted.
    insecure_public: bool = False
    #: Most calls that wait for one model; above them the caller gets `Overloaded`.
    max_queue: Rows = DEFAULT_MAX_QUEUE
    #: Largest request; above it the caller gets `PayloadTooLarge`.
    max_request_bytes: Bytes = DEFAULT_MAX_REQUEST_BYTES
    #: Largest reply; above it the caller gets `PayloadTooLarge` instead.
    max_reply_bytes: Bytes = DEFAULT_MAX_REPLY_BYTES
    #: Most bytes of replies that one client has not read.
    max_unread_bytes: Bytes = DEFAULT_MAX_UNREAD_BYTES
    #: How long a client may read none of the replies that wait for it.
    max_unread_s: Span = DEFAULT_MAX_UNREAD_S
    #: Most clients connected at a time; 0: as descriptors allow, at most 10,000.
    max_connections: Connections = 0
    #: Most connections from one address; 0: no limit of its own.
    max_connections_per_address: Connections = 0
    #: Most workers registered at a time.
    max_workers: Processes = DEFAULT_MAX_WORKERS
    #: Most bytes that accepted calls and unsent replies hold; above them callers get `Overloaded`.
    max_held_bytes: Bytes = DEFAULT_MAX_HELD_BYTES
    #: How many workers a call may cost before its caller gets `WorkerLost`.
    max_attempts: Attempts = DEFAULT_MAX_ATTEMPTS
    #: How long SIGTERM waits for accepted calls to end.
    drain_s: SpanOrZero = DEFAULT_DRAIN_S
    #: How long after the gateway's start a call waits for a model that no worker has registered.
    startup_grace_s: SpanOrZero = DEFAULT_STARTUP_GRACE_S
    #: A stream whose caller has granted no credit for so long is ended.
    stream_idle_s: Span = DEFAULT_STREAM_IDLE_S


class WorkerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[worker]`: the processes that hold the models."""

    #: Number of workers in the embedded fleet; 0: one per core.
    count: ProcessesOrZero = 0
    #: Endpoints of the gateways to report to; none: the `workers_endpoint` of this configuration.
    gateways: tuple[str, ...] = ()
    #: Endpoint for jobs, `*` or 0 for any port; "": ipc beside an ipc gateway, else loopback tcp.
    bind: str = ""
    #: BLAS and OpenMP threads of one worker.
    threads: Processes = DEFAULT_THREADS
    #: How long SIGTERM waits for running predictions to end.
    drain_s: SpanOrZero = DEFAULT_DRAIN_S
    #: A worker that has answered so many jobs is replaced, up to a tenth later; 0: never.
    max_requests: RowsOrZero = 0
    #: A worker that takes up more memory is replaced; 0: never.
    max_rss_mb: MebibytesOrZero = 0

    def effective_count(self, cores: int) -> int:
        """The number of workers on a machine with `cores` cores."""
        return self.count or max(1, cores)


class ServeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[serve]`: the embedded fleet."""

    #: Number of gateways, which share the clients' port.
    gateways: Gateways = 1
    #: How long a rolling reload waits for a new worker to be ready before it stops.
    ready_timeout_s: Span = DEFAULT_READY_TIMEOUT_S


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[models]]` table: a model to host and its limits."""

    #: The module that is imported, and the class in it that is instantiated without arguments.
    module_name: ModuleName
    class_name: ClassName
    #: Most rows that one `predict_batch` call is given.
    max_batch_size: Rows = DEFAULT_MAX_BATCH_SIZE
    #: How long the first row of a batch waits for others; 0: only what is there.
    max_wait_ms: Wait = 0.0
    #: Time for queueing and execution of one call.
    timeout_s: Span = DEFAULT_TIMEOUT_S
    #: How many workers hold the model; 0: all.
    workers: ProcessesOrZero = 0
    #: Most calls that wait for this model; 0: `gateway.max_queue`.
    max_queue: RowsOrZero = 0


class HttpSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[http]`: what a gateway tells monitoring systems."""

    #: HOST:PORT for metrics and health; "": none.
    bind: str = ""


class LogSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[log]`: what is written to standard error."""

    level: Level = "INFO"


DEFAULT_MODELS = (ModelSettings(module_name="iris_model.iris_predict", class_name="IrisModel"),)


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole configuration. Only `load` checks endpoints; a test may build one directly."""

    gateway: GatewaySettings = msgspec.field(default_factory=GatewaySettings)
    worker: WorkerSettings = msgspec.field(default_factory=WorkerSettings)
    serve: ServeSettings = msgspec.field(default_factory=ServeSettings)
    models: tuple[ModelSettings, ...] = DEFAULT_MODELS
    http: HttpSettings = msgspec.field(default_factory=HttpSettings)
    log: LogSettings = msgspec.field(default_factory=LogSettings)


_BINDS = {
    "gateway.bind": Use.BIND,
    "gateway.workers_bind": Use.BIND,
    "worker.bind": Use.BIND_ANY_PORT,
}
_SCHEMA = layers.Schema(
    sections={
        "gateway": GatewaySettings,
        "worker": WorkerSettings,
        "serve": ServeSettings,
        "http": HttpSettings,
        "log": LogSettings,
    },
    arrays={"models": ModelSettings},
    checks={
        key: partial(endpoints.check, use=use)
        for key, use in (_BINDS | {"worker.gateways": Use.CONNECT}).items()
    }
    | {"http.bind": endpoints.parse_http},
)
_NO_NAMES: Mapping[str, str] = MappingProxyType({})


def load(
    path: Path | None,
    environ: Mapping[str, str],
    flags: Mapping[str, object],
    option_names: Mapping[str, str] = _NO_NAMES,
    *,
    cwd: Path = Path(),
) -> Config:
    """The configuration of this process.

    `path` is the file, else the variable `ZEROPOOL_CONFIG` names it, else it is `zeropool.toml`
    in `cwd` if that exists. `flags` are values by dotted key ("gateway.bind"), None for an option
    that was not given; `option_names` are the options by dotted key ("--bind"), for messages.

    Raises:
        ConfigError: the message names source, key, value and what is allowed.
    """
    tables, source = _read(path, environ.get(CONFIG_VARIABLE, ""), cwd)
    profile = environ.get(PROFILE_VARIABLE, "")
    merged = (
        _shipped_profile(profile)
        | _SCHEMA.from_tables(tables, source, apart=("profiles",))
        | _file_profile(profile, tables.get("profiles", {}), source)
        | _SCHEMA.from_environ(environ, ignored=_is_foreign)
        | _SCHEMA.from_flags(flags, option_names)
    )
    config = Config(
        gateway=_SCHEMA.build("gateway", merged),
        worker=_SCHEMA.build("worker", merged),
        serve=_SCHEMA.build("serve", merged),
        models=merged["models"].value if "models" in merged else DEFAULT_MODELS,
        http=_SCHEMA.build("http", merged),
        log=_SCHEMA.build("log", merged),
    )
    if not config.gateway.insecure_public:
        _refuse_public(merged)
    return config


def workers_endpoint(config: Config, runtime_dir: Path) -> str:
    """Where workers report to the gateway of this configuration.

    Without `gateway.workers_bind`, a socket in the runtime directory whose name follows from
    `gateway.bind`: `gateway-4242.ipc` for port 4242 of 127.0.0.1, a hash for any other endpoint.
    Two gateways must not share one, for ZeroMQ lets the second take an ipc path from the first.

    Raises:
        ConfigError: the path is too long for a socket.
    """
    if config.gateway.workers_bind:
        return config.gateway.workers_bind
    bind = config.gateway.bind
    match endpoints.parse(bind):
        case endpoints.Tcp(host="127.0.0.1", port=port):
            name = str(port)
        case _:
            name = hashlib.sha256(bind.encode()).hexdigest()[:12]
    endpoint = f"ipc://{runtime_dir}/gateway-{name}.ipc"
    try:
        endpoints.check(endpoint, Use.BIND)
    except ValueError as error:
        raise ConfigError(
            f"runtime directory: {layers.shown(endpoint)}: {error}; "
            "set gateway.workers_bind or XDG_RUNTIME_DIR",
        ) from None
    return endpoint


def runtime_dir(environ: Mapping[str, str]) -> Path:
    """Where this user's sockets belong; `rundir.ensure_private_dir` creates and checks it."""
    base = Path(environ.get("XDG_RUNTIME_DIR", ""))
    # The XDG base directory specification: a relative path is invalid and ignored.
    if base.is_absolute():
        return base / "zeropool"
    return Path(f"/tmp/zeropool-{os.getuid()}")  # noqa: S108 - owner and mode are checked


def client_endpoint(config: Config) -> str:
    """Where a client on this machine finds the gateway of this configuration."""
    bind = config.gateway.bind
    match endpoints.parse(bind):
        case endpoints.Tcp(host=host, port=port) if endpoints.is_wildcard(host):
            return f"tcp://127.0.0.1:{port}"
    return bind


def _read(path: Path | None, named: str, cwd: Path) -> tuple[dict[str, Any], str]:
    """The tables of the configuration file, and its name for messages."""
    chosen = path or (Path(named) if named else None)
    source = str(chosen or DEFAULT_FILE)
    by = f" (named by {CONFIG_VARIABLE})" if path is None and named else ""
    try:
        text = (cwd / source).read_bytes().decode()
    except FileNotFoundError as error:
        if chosen is None:
            return {}, source
        raise ConfigError(f"{source}: no such file{by}") from error
    except OSError as error:
        raise ConfigError(f"{source}: cannot be read: {error.strerror}{by}") from error
    except ValueError as error:
        raise ConfigError(f"{source}: not a text file in UTF-8: {error}{by}") from error
    try:
        return tomllib.loads(text), source
    except ValueError as error:
        raise ConfigError(f"{source}: not TOML: {error}") from error
    except RecursionError as error:
        raise ConfigError(f"{source}: not usable TOML: nested too deeply") from error


def _shipped_profile(profile: str) -> layers.Layer:
    tables = profiles.SHIPPED.get(profile, {})
    return _SCHEMA.from_tables(tables, "shipped profile", f"profiles.{profile}.")


def _file_profile(profile: str, tables: object, source: str) -> layers.Layer:
    """The chosen profile of the file; the others are checked too, so that no mistake waits."""
    if not isinstance(tables, dict):
        raise layers.wrong(f"{source}: profiles", tables, "expected tables, [profiles.NAME]")
    read = {}
    for name, table in tables.items():
        prefix = f"profiles.{layers.bare_key(name)}"
        if not isinstance(table, dict):
            raise layers.wrong(f"{source}: {prefix}", table, f"expected tables, [{prefix}.…]")
        read[name] = _SCHEMA.from_tables(table, source, f"{prefix}.")
    if profile and profile not in read and profile not in profiles.SHIPPED:
        where = f"environment variable {PROFILE_VARIABLE} = {layers.shown(profile)}"
        raise layers.unknown(where, "profile", profile, {*read, *profiles.SHIPPED})
    return read.get(profile, {})


def _is_foreign(variable: str) -> bool:
    return variable in {CONFIG_VARIABLE, native.PURE} or variable.startswith(FOREIGN_PREFIXES)


def _refuse_public(merged: layers.Layer) -> None:
    for key in (*_BINDS, "http.bind"):
        found = merged.get(key)
        parse = endpoints.parse_http if key == "http.bind" else endpoints.parse
        if found and found.value and endpoints.is_public(parse(found.value)):
            raise layers.wrong(
                found.where,
                found.value,
                "binds to a public address; set gateway.insecure_public = true "
                "or --insecure-public to do so without encryption",
            )
