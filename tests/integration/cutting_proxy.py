"""A tcp proxy that breaks connections, as networks do: what was on its way is gone."""

import contextlib
import socket
import struct
import threading

#: Closing a socket with this sends a reset, and drops what lies in the kernel's buffers.
RESET = struct.pack("ii", 1, 0)
CHUNK_BYTES = 65_536


class CuttingProxy:
    """Passes bytes on to one address, until it is told to lose them or to cut the connections."""

    def __init__(self, target: str) -> None:
        host, _, port = target.removeprefix("tcp://").rpartition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        #: What arrives on the connections of today while this is set is thrown away, and sets the
        #: other. Those that are made after the next cut have another one.
        self._loses = threading.Event()
        self._has_lost = threading.Event()
        self.connections = 0
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self._connect(near)

    def _connect(self, near: socket.socket) -> None:
        try:
            far = socket.create_connection(self._target)
        except OSError:
            near.close()
            return
        with self._lock:
            loses = self._loses
            self._sockets += [near, far]
            self.connections += 1
        for source, sink in ((near, far), (far, near)):
            threading.Thread(target=self._pump, args=(source, sink, loses), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, loses: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(CHUNK_BYTES):
                if loses.is_set():
                    self._has_lost.set()
                else:
                    sink.sendall(chunk)

    def lose_and_cut(self, timeout_s: float = 5.0) -> None:
        """Throw away what comes next, and then break all connections; new ones work again."""
        self._has_lost.clear()
        self._loses.set()
        assert self._has_lost.wait(timeout_s), "nothing was on its way"
        self._cut()

    def _cut(self) -> None:
        with self._lock:
            broken, self._sockets = self._sockets, []
            self._loses = threading.Event()
        for end in broken:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            # Closing alone does not wake a thread that receives.
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def close(self) -> None:
        """Listen no longer, and break what there is."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        self._listener.close()
        self._cut()
