"""Metrics and health by HTTP, on threads beside the gateway's loop. It contains no policy.

`/metrics` for Prometheus, `/healthz`: the loop answers, `/readyz`: calls may be sent here, `/` for
people.
The standard library's server, with a bound on everything that a client chooses: how many come, how
long they take, how much they send. One answer to a connection, then it is closed.
"""

from __future__ import annotations

import http.server
import io
import logging
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from zeropool.gateway.exposition import expose
from zeropool.gateway.inquiry import Inquiry
from zeropool.gateway.metrics import Snapshot
from zeropool.gateway.page import page
from zeropool.shared import endpoints
from zeropool.shared.errors import ConfigError
from zeropool.shared.logs import fields

log = logging.getLogger("zeropool.http")

#: A loop that has not answered for so long hangs: it answers within a millisecond otherwise.
LOOP_TIMEOUT_S = 1.0
#: From the connection to the end of the request's head, and for each write of the answer.
CLIENT_TIMEOUT_S = 2.0
#: Prometheus and kubelet send about 500.
MAX_HEAD_BYTES = 8 * 1024
#: Clients that are served at a time; above them, who has said nothing for longest has to go.
MAX_CLIENTS = 16
#: How long a client over the bound waits for another one's end.
ROOM_TIMEOUT_S = 0.5
#: How often the thread that accepts looks whether it should end.
STOP_POLL_S = 0.2

_END_OF_HEAD = b"\r\n\r\n"
_TEXT = "text/plain; charset=utf-8"
_HTML = "text/html; charset=utf-8"


class _Handler(http.server.BaseHTTPRequestHandler):
    """One client: reads one request, gives one answer."""

    server: _Server
    error_content_type = _TEXT
    error_message_format = "%(message)s\n"

    def version_string(self) -> str:
        """What the `Server` header says."""
        return "zeropool"

    def handle(self) -> None:
        """Read the head as a whole, within one time limit; then parse and answer it."""
        head = self.server.read_head(self.connection)
        if head is None:
            return
        self.rfile.close()
        self.rfile = io.BytesIO(head)
        self.connection.settimeout(CLIENT_TIMEOUT_S)
        self.handle_one_request()

    def do_GET(self) -> None:
        """Answer a request."""
        respond = _RESPONSES.get(self.path.partition("?")[0])
        if respond is None:
            self._send(HTTPStatus.NOT_FOUND, _TEXT, b"see /, /metrics, /healthz, /readyz\n")
            return
        try:
            snapshot = self.server.inquiry.ask(LOOP_TIMEOUT_S)
        except TimeoutError:
            text = f"the gateway's loop has not answered for {LOOP_TIMEOUT_S} s\n"
            self._send(HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, text.encode())
            return
        self._send(*respond(snapshot, self.headers.get("Accept", "")))

    do_HEAD = do_GET  # noqa: N815 - named by the standard library

    def _send(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as inherited
        """One line at DEBUG, without a client's own text beyond the log's bounds."""
        log.debug(format, *args)


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """Accepts on one thread, and gives each client its own, up to `MAX_CLIENTS`."""

    daemon_threads = True
    request_queue_size = MAX_CLIENTS

    def __init__(self, address: endpoints.Tcp, inquiry: Inquiry) -> None:
        self.inquiry = inquiry
        self._room = threading.BoundedSemaphore(MAX_CLIENTS)
        self._lock = threading.Lock()
        #: Clients whose request is not here yet, the oldest first.
        self._silent: dict[socket.socket, None] = {}
        host = "" if endpoints.is_wildcard(address.host) else address.host
        if ":" in address.host:
            self.address_family = socket.AF_INET6
        super().__init__((host, address.port), _Handler)

    def server_bind(self) -> None:
        """Bind; the base class would ask a name server for this machine's name."""
        socketserver.TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as inherited
        """Serve a client on a thread of its own, or close its connection where all are taken."""
        if not self._has_room():
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:
            # No thread can be started.
            self._room.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as inherited
        """As inherited, and make room for another client at the end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401, ARG002 - as inherited
        """Log a failure in the form of the log. A client that went away is none."""
        error = sys.exception()
        level = logging.DEBUG if isinstance(error, OSError) else logging.ERROR
        log.log(level, "client not served", exc_info=error)

    def read_head(self, connection: socket.socket) -> bytes | None:
        """The head of a request; None where it does not come, or is too large."""
        with self._lock:
            self._silent[connection] = None
        try:
            return _read_head(connection)
        except OSError:
            return None
        finally:
            with self._lock:
                self._silent.pop(connection, None)

    def _has_room(self) -> bool:
        if self._room.acquire(blocking=False):
            return True
        with self._lock:
            oldest = next(iter(self._silent), None)
            if oldest is not None:
                del self._silent[oldest]
                _hang_up(oldest)
        return self._room.acquire(timeout=ROOM_TIMEOUT_S)


class Httpd:
    """The HTTP side of one gateway. Its owner polls `fileno` and calls `answer`."""

    def __init__(self, bind: str) -> None:
        self._bind = bind
        self._inquiry = Inquiry()

    def open(self) -> None:
        """Listen, and serve from now on.

        Raises:
            ConfigError: it cannot listen there.
        """
        try:
            self._server = _Server(endpoints.parse_http(self._bind), self._inquiry)
        except OSError as error:
            reason = error.strerror or str(error)
            raise ConfigError(f"http.bind = {self._bind!r}: cannot bind: {reason}") from error
        self._inquiry.open()
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(STOP_POLL_S,), name="http", daemon=True
        )
        self._thread.start()
        log.info("listening", extra=fields(http=self._bind))

    def close(self) -> None:
        """Stop listening; clients that wait for the loop are told that it does not answer."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._inquiry.close()

    def fileno(self) -> int:
        """File descriptor to poll: somebody asks."""
        return self._inquiry.fileno()

    def answer(self, snapshot: Callable[[], Snapshot]) -> None:
        """Answer those who ask."""
        self._inquiry.answer(snapshot)


def _read_head(connection: socket.socket) -> bytes | None:
    until = time.monotonic() + CLIENT_TIMEOUT_S
    head = b""
    while _END_OF_HEAD not in head and len(head) <= MAX_HEAD_BYTES:
        left_s = until - time.monotonic()
        if left_s <= 0:
            return None
        connection.settimeout(left_s)
        received = connection.recv(MAX_HEAD_BYTES)
        if not received:
            return None
        head += received
    return head if len(head) <= MAX_HEAD_BYTES else None


def _hang_up(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        # It has gone by itself.
        log.debug("client was gone")


def _metrics(snapshot: Snapshot, accept: str) -> tuple[HTTPStatus, str, bytes]:
    body, content_type = expose(snapshot, accept)
    return HTTPStatus.OK, content_type, body


def _page(snapshot: Snapshot, _accept: str) -> tuple[HTTPStatus, str, bytes]:
    return HTTPStatus.OK, _HTML, page(snapshot)


def _health(_snapshot: Snapshot, _accept: str) -> tuple[HTTPStatus, str, bytes]:
    return HTTPStatus.OK, _TEXT, b"ok\n"


def _readiness(snapshot: Snapshot, _accept: str) -> tuple[HTTPStatus, str, bytes]:
    if snapshot.unready:
        text = "".join(f"{reason}\n" for reason in snapshot.unready)
        return HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, text.encode()
    return HTTPStatus.OK, _TEXT, b"ready\n"


_Respond = Callable[[Snapshot, str], tuple[HTTPStatus, str, bytes]]
_RESPONSES: dict[str, _Respond] = {
    "/": _page,
    "/metrics": _metrics,
    "/healthz": _health,
    "/readyz": _readiness,
}
