"""Records what real ZeroRPC peers put on the wire, as golden bytes for the codec tests.

Drives zerorpc-python's Client and Server and zerorpc-node's Client, each in its own process,
from raw sockets of this one, and writes the payloads (the last frame of each message) as hex
to JSON files beside this file. The entry's `decoded` form comes from msgpack alone, so that
it can judge Zeropool's own codec. Knows nothing of Zeropool.

Run it from anywhere: `python tests/captures/record.py` (zerorpc-node installed in
tests/interop/node). Ids, versions and line numbers in tracebacks differ at each recording.
"""

import importlib.metadata
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import msgpack
import zmq

HERE = Path(__file__).parent
NODE_RIG = HERE.parent / "interop" / "node"

WAIT_S = 10.0  # for one event; a peer needs about one second to start
EXIT_S = 10.0
SHORT_HEARTBEAT_S = 0.2  # both libraries beat every 5 s by default: too long to wait for
PYTHON_SLOTS = 100  # zerorpc-python, channel.py: inqueue_size
PYTHON_REFILL = 51  # what it grants once fewer than half of the slots are reserved
NODE_CAPACITY = 100  # zerorpc-node, socket.js: CHANNEL_CAPACITY
NODE_BURST = list(range(1, NODE_CAPACITY // 2 + 1))  # what it grants after a full buffer
ATTEMPTS = 10  # the burst needs all 100 items in Node's buffer at once

Direction = Literal["client_to_server", "server_to_client"]
Message = tuple[dict[str, Any], str, Any]


def json_safe(value: Any) -> Any:
    """The value with bytes as {"$bytes": hex} and extension types as {"$ext": [type, hex]}.

    Raises:
        TypeError: a value, or a map key, for which there is no JSON form here.
    """
    match value:
        case None | bool() | int() | float() | str():
            return value
        case bytes():
            return {"$bytes": value.hex()}
        case msgpack.ExtType(code, data):
            return {"$ext": [code, data.hex()]}
        case list():
            return [json_safe(item) for item in value]
        case dict() if all(isinstance(key, str) for key in value):
            return {key: json_safe(item) for key, item in value.items()}
    raise TypeError(f"no JSON form for {value!r}")


@dataclass(slots=True)
class Tape:
    """The entries of one file, in the order in which they were on the wire."""

    peer: str
    versions: dict[str, str]
    entries: list[dict[str, Any]] = field(default_factory=list)

    def store(self, name: str, direction: Direction, payload: bytes) -> None:
        header, event, args = msgpack.unpackb(payload)
        self.entries.append(
            {
                "name": name,
                "direction": direction,
                "peer": self.peer,
                "versions": self.versions,
                "payload": payload.hex(),
                "decoded": json_safe({"header": header, "name": event, "args": args}),
            }
        )

    def write(self, file_name: str) -> None:
        text = json.dumps(self.entries, indent=1, ensure_ascii=True)
        (HERE / file_name).write_text(text + "\n", encoding="ascii")
        sys.stdout.write(f"{file_name}: {len(self.entries)} entries\n")


def python_versions() -> dict[str, str]:
    libraries = ("zerorpc", "msgpack", "pyzmq", "gevent")
    versions = {name: importlib.metadata.version(name) for name in libraries}
    return {"python": platform.python_version(), **versions}


def node_versions() -> dict[str, str]:
    modules = NODE_RIG / "node_modules"
    versions = {"node": run_and_read("node", "--version").lstrip("v")}
    for name, folder in (
        ("zerorpc", "zerorpc"),
        ("msgpack-lite", "msgpack-lite"),
        ("zeromq", "zeromq-6"),
    ):
        package = json.loads((modules / folder / "package.json").read_text(encoding="utf-8"))
        versions[name] = package["version"]
    return versions


def run_and_read(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, check=True, text=True, timeout=EXIT_S)
    return done.stdout.strip()


def new_header(response_to: bytes | str | None = None) -> dict[str, Any]:
    header: dict[str, Any] = {"message_id": uuid4().hex.encode(), "v": 3}
    if response_to is not None:
        header["response_to"] = response_to
    return header


class Wire:
    """A raw socket opposite one peer."""

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self._socket = socket
        self._envelope: list[bytes] = []

    def send(self, header: dict[str, Any], name: str, args: object) -> None:
        payload = msgpack.packb((header, name, args))
        self._socket.send_multipart([*self._envelope, b"", payload])

    def receive(self) -> tuple[Message, bytes]:
        """The next event and its payload.

        Raises:
            TimeoutError: nothing came within WAIT_S.
        """
        if not self._socket.poll(int(WAIT_S * 1000)):
            raise TimeoutError(f"the peer sent nothing within {WAIT_S} s")
        *self._envelope, _, payload = self._socket.recv_multipart()
        return msgpack.unpackb(payload), payload

    def receive_answer(self, message_id: bytes) -> bytes:
        """The payload of the next event on that channel which is no heartbeat."""
        while True:
            (header, name, _), payload = self.receive()
            if header.get("response_to") == message_id and name != "_zpc_hb":
                return payload

    def receive_named(self, wanted: str) -> tuple[Message, bytes]:
        """The next event of that name; others are passed over.

        Raises:
            TimeoutError: it did not come within WAIT_S.
        """
        give_up_at = time.monotonic() + WAIT_S
        while time.monotonic() < give_up_at:
            message, payload = self.receive()
            if message[1] == wanted:
                return message, payload
        raise TimeoutError(f"no {wanted} within {WAIT_S} s")


@contextmanager
def running(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A peer process, which is gone afterwards."""
    with subprocess.Popen(command) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def listening(
    command: Callable[[str], list[str]],
) -> Iterator[tuple[Wire, subprocess.Popen[bytes]]]:
    """A ROUTER, and a client which was told its endpoint."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as socket:
        socket.linger = 0
        port = socket.bind_to_random_port("tcp://127.0.0.1")
        with running(command(f"tcp://127.0.0.1:{port}")) as process:
            yield Wire(socket), process


def ended_well(process: subprocess.Popen[bytes]) -> None:
    code = process.wait(EXIT_S)
    if code != 0:
        raise RuntimeError(f"the peer ended with code {code}")


def record_calls(tape: Tape, wire: Wire, names: list[str]) -> None:
    """Stores one request of each name and answers it."""
    for name in names:
        (header, _, _), payload = wire.receive_named(name)
        tape.store(f"request {name}", "client_to_server", payload)
        wire.send(new_header(header["message_id"]), "OK", [None])


def record_heartbeat(tape: Tape, wire: Wire) -> None:
    """Leaves the call `slow` unanswered until the client has beaten."""
    (header, _, _), _ = wire.receive_named("slow")
    _, payload = wire.receive_named("_zpc_hb")
    tape.store("heartbeat", "client_to_server", payload)
    wire.send(new_header(header["message_id"]), "OK", [None])


def record_python_client() -> None:
    def command(endpoint: str) -> list[str]:
        script = HERE / "peer_python_client.py"
        return [sys.executable, str(script), endpoint, str(SHORT_HEARTBEAT_S)]

    tape = Tape("zerorpc-python Client", python_versions())
    names = ["no_arguments", "numbers", "texts", "bytes", "nested", "iris_model_predict"]
    with listening(command) as (wire, process):
        record_calls(tape, wire, names)
        record_python_credit(tape, wire)
        record_heartbeat(tape, wire)
        record_old_credit(tape, wire)
        ended_well(process)
    tape.write("python_client.json")


def record_python_credit(tape: Tape, wire: Wire) -> None:
    """Streams exactly what was granted: 1, then what each `_zpc_more` adds."""
    (header, _, _), _ = wire.receive_named("stream")
    channel = header["message_id"]
    wire.send(new_header(channel), "STREAM", 0)
    for grant in (PYTHON_SLOTS, PYTHON_REFILL):
        (_, _, args), payload = wire.receive_named("_zpc_more")
        if args != [grant]:
            raise RuntimeError(f"expected a credit of {grant}, got {args}")
        tape.store(f"credit {grant}", "client_to_server", payload)
        for item in range(grant):
            wire.send(new_header(channel), "STREAM", item)
    wire.send(new_header(channel), "STREAM_DONE", None)


def record_old_credit(tape: Tape, wire: Wire) -> None:
    """A first answer of version 2 makes the client put its credit into `_zpc_hb`."""
    (header, _, _), _ = wire.receive_named("stream_of_an_old_server")
    channel = header["message_id"]
    wire.send({**new_header(channel), "v": 2}, "STREAM", 0)
    credit = [0]  # an ordinary heartbeat
    while credit == [0]:
        (_, _, credit), payload = wire.receive_named("_zpc_hb")
    if credit != [PYTHON_SLOTS]:
        raise RuntimeError(f"expected a credit of {PYTHON_SLOTS}, got {credit}")
    tape.store("credit in a heartbeat for a version 2 server", "client_to_server", payload)
    wire.send({**new_header(channel), "v": 2}, "STREAM_DONE", None)


def record_python_server() -> None:
    tape = Tape("zerorpc-python Server", python_versions())
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.linger = 0
        # A free port, held until just before the server wants it.
        with context.socket(zmq.DEALER) as placeholder:
            port = placeholder.bind_to_random_port("tcp://127.0.0.1")
        endpoint = f"tcp://127.0.0.1:{port}"
        script = HERE / "peer_python_server.py"
        with running([sys.executable, str(script), endpoint, str(SHORT_HEARTBEAT_S)]):
            socket.connect(endpoint)
            wire = Wire(socket)
            record_answers(tape, wire)
            record_server_heartbeat(tape, wire)
            record_streams(tape, wire)
    tape.write("python_server.json")


# name of the entry, method, args, header without its id
ANSWERS: list[tuple[str, str, list[Any], dict[str, Any]]] = [
    ("OK text", "echo", ["hi"], {"v": 3}),
    ("OK nothing", "undocumented", [], {"v": 3}),
    ("OK tuple", "pair", [], {"v": 3}),
    ("OK mixed", "echo", [[1.5, b"\x00\xff", "h\u00e9 \u2603", {"a": [None]}, 2**63]], {"v": 3}),
    ("OK to a version 1 client", "echo", ["hi"], {}),
    ("OK to a version 2 client", "echo", ["hi"], {"v": 2}),
    ("ERR ValueError", "fail", ["h\u00e9"], {"v": 3}),
    ("ERR ValueError to a version 1 client", "fail", ["no"], {}),
    ("ERR ValueError to a version 2 client", "fail", ["no"], {"v": 2}),
    ("ERR unknown method", "nope", [], {"v": 3}),
    ("ERR unknown method to a version 1 client", "nope", [], {}),
    ("ERR wrong number of arguments", "echo", [], {"v": 3}),
    ("ERR result that cannot be packed", "a_set", [], {"v": 3}),
    ("STREAM_DONE of an empty stream", "count", [0], {"v": 3}),
    ("introspection ping", "_zerorpc_ping", [], {"v": 3}),
    ("introspection name", "_zerorpc_name", [], {"v": 3}),
    ("introspection list", "_zerorpc_list", [], {"v": 3}),
    ("introspection help", "_zerorpc_help", ["echo"], {"v": 3}),
    ("introspection help of an undocumented method", "_zerorpc_help", ["undocumented"], {"v": 3}),
    ("introspection help of an unknown method", "_zerorpc_help", ["nope"], {"v": 3}),
]


def record_answers(tape: Tape, wire: Wire) -> None:
    for entry, method, args, header in ANSWERS:
        message_id = uuid4().hex.encode()
        wire.send({"message_id": message_id, **header}, method, args)
        tape.store(entry, "server_to_client", wire.receive_answer(message_id))


def record_server_heartbeat(tape: Tape, wire: Wire) -> None:
    """`wait` answers only after `release`; meanwhile its channel carries heartbeats."""
    wire.send(new_header(), "wait", [])
    _, payload = wire.receive_named("_zpc_hb")
    tape.store("heartbeat", "server_to_client", payload)
    wire.send(new_header(), "release", [])
    for _ in ("release", "wait"):
        wire.receive_named("OK")


def record_streams(tape: Tape, wire: Wire) -> None:
    for method, end in (("count", "STREAM_DONE"), ("count_and_fail", "ERR")):
        request = new_header()
        wire.send(request, method, [2])
        _, payload = wire.receive_named("STREAM")
        tape.store(f"STREAM of {method}: item 0", "server_to_client", payload)
        wire.send(new_header(request["message_id"]), "_zpc_more", [PYTHON_SLOTS])
        _, payload = wire.receive_named("STREAM")
        tape.store(f"STREAM of {method}: item 1", "server_to_client", payload)
        _, payload = wire.receive_named(end)
        tape.store(f"{end} of {method}", "server_to_client", payload)


def record_node_client() -> None:
    for _ in range(ATTEMPTS):
        tape = Tape("zerorpc-node Client", node_versions())
        if node_showed_its_burst(tape):
            tape.write("node_client.json")
            return
    raise RuntimeError(f"no burst of credits [1] to [50] in {ATTEMPTS} attempts")


def node_showed_its_burst(tape: Tape) -> bool:
    def command(endpoint: str) -> list[str]:
        script = NODE_RIG / "capture.js"
        return ["node", str(script), endpoint, str(int(SHORT_HEARTBEAT_S * 1000))]

    names = ["no_arguments", "integers", "floats", "nothing", "date"]
    names += ["texts", "bytes", "nested", "iris_model_predict"]
    with listening(command) as (wire, process):
        record_calls(tape, wire, names)
        record_heartbeat(tape, wire)
        grants = record_node_credit(tape, wire)
        ended_well(process)
    return grants == [NODE_CAPACITY, *NODE_BURST]


def record_node_credit(tape: Tape, wire: Wire) -> list[int]:
    """One item, and the credit for it; then a burst which fills the client's buffer."""
    (header, _, _), payload = wire.receive_named("stream")
    tape.store("request stream", "client_to_server", payload)
    channel = header["message_id"]
    grants: list[int] = []
    for burst, grants_expected in ((1, 1), (NODE_CAPACITY, len(NODE_BURST))):
        for item in range(burst):
            wire.send(new_header(channel), "STREAM", item)
        for _ in range(grants_expected):
            (_, _, args), payload = wire.receive_named("_zpc_more")
            grants += args
            tape.store(f"credit {args[0]}", "client_to_server", payload)
    wire.send(new_header(channel), "STREAM_DONE", [])
    return grants


def record_crafted() -> None:
    """Requests of protocol versions whose libraries no longer install, made by hand.

    msgpack before 0.5 had one raw type for text and bytes, and neither `bin` nor `str 8`:
    ids of 32 characters are `raw 16` (da 00 20), as use_bin_type=False still packs them.
    """
    tape = Tape("crafted", {"msgpack": importlib.metadata.version("msgpack")})
    first, second, later = (uuid4().hex.encode() for _ in range(3))
    crafted: list[tuple[str, Direction, object]] = [
        (
            "version 1 request: no `v`",
            "client_to_server",
            ({b"message_id": first}, b"iris_model_predict", [{b"petal_width": 0.2}]),
        ),
        (
            "version 2 request",
            "client_to_server",
            ({b"message_id": second, b"v": 2}, b"iris_model_predict", [{b"petal_width": 0.2}]),
        ),
        (
            "version 2 heartbeat which carries credit",
            "client_to_server",
            ({b"message_id": later, b"response_to": second, b"v": 2}, b"_zpc_hb", [100]),
        ),
        (
            "version 1 error answer",
            "server_to_client",
            ({b"message_id": later, b"response_to": first}, b"ERR", [b"NameError('nope')"]),
        ),
    ]
    for name, direction, event in crafted:
        tape.store(name, direction, msgpack.packb(event, use_bin_type=False))
    for entry in tape.entries:
        entry["crafted"] = True
    tape.write("crafted.json")


if __name__ == "__main__":
    record_python_client()
    record_python_server()
    record_node_client()
    record_crafted()
