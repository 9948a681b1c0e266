"""libzmq's own proxy, in C, between a ROUTER and a DEALER, with one Python worker that echoes.

No model, no validation, no decoding: what is left when a message only crosses a ROUTER and a
worker. The proxy has a process for itself, and so has the worker. A REP worker leaves the caller's
address to libzmq and may only answer what it was asked last; a DEALER worker sees the address, as
one must that answers in another order or many calls at once.

    python benchmarks/proxy_server.py tcp://127.0.0.1:4242 --worker rep
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import zmq
from ready import tell_ready


def _proxy(front_endpoint: str, back_endpoint: str) -> None:
    with zmq.Context() as context:
        front, back = context.socket(zmq.ROUTER), context.socket(zmq.DEALER)
        front.bind(front_endpoint)
        back.bind(back_endpoint)
        zmq.proxy(front, back)


def _echo_by_rep(worker: zmq.Socket[bytes]) -> None:
    receive, send = worker.recv, worker.send
    while True:
        send(receive())


def _echo_by_dealer(worker: zmq.Socket[bytes]) -> None:
    receive, send = worker.recv_multipart, worker.send_multipart
    while True:
        send(receive())


WORKERS = {"rep": (zmq.REP, _echo_by_rep), "dealer": (zmq.DEALER, _echo_by_dealer)}


def main() -> None:
    """Serve until terminated; as the worker, when it is told what to echo from."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("endpoint")
    parser.add_argument("--worker", choices=WORKERS, default="rep")
    parser.add_argument("--is-worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    kind, echo = WORKERS[options.worker]
    if options.is_worker:
        with zmq.Context() as context, context.socket(kind) as worker:
            worker.connect(options.endpoint)
            tell_ready()
            echo(worker)
    back_endpoint = f"ipc://{Path.cwd()}/back"
    # It ends with the group that this process leads.
    subprocess.Popen(
        [sys.executable, __file__, back_endpoint, "--is-worker", f"--worker={options.worker}"]
    )
    _proxy(options.endpoint, back_endpoint)


if __name__ == "__main__":
    main()
