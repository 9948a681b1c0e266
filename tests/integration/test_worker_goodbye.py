"""A worker that is told to stop says goodbye after its last result, and the gateway hears both."""

import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Command, free_endpoint, model_tables, wait_until

from zeropool.client import Client

#: Long on its way, below the limit of a reply.
LARGE = 60_000_000


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose name is short enough for sockets, unlike pytest's."""
    with tempfile.TemporaryDirectory(prefix="zp-") as path:
        yield Path(path)


@pytest.fixture
def endpoint() -> str:
    return free_endpoint()


@pytest.fixture
def worker(folder: Path, endpoint: str) -> Iterator[Command]:
    """The only worker of a gateway."""
    (folder / "zeropool.toml").write_text(model_tables("fixture_models.once.LargeOnceModel"))
    env = {"ZEROPOOL_GATEWAY_BIND": endpoint, "XDG_RUNTIME_DIR": str(folder)}
    processes = [Command([name], cwd=folder, extra_env=env) for name in ("gateway", "worker")]
    try:
        processes[1].wait_for_output("ready")
        yield processes[1]
    finally:
        for process in processes:
            process.stop()


@pytest.mark.parametrize("characters", [1, LARGE])
def test_a_stopping_workers_last_result_arrives_though_nothing_may_be_repeated(
    worker: Command, endpoint: str, characters: int
):
    answers: list[Any] = []

    def call() -> None:
        with Client(endpoint) as client:
            answers.append(
                client.call("large_once_predict", {"characters": characters, "sleep_s": 0.5})
            )

    caller = threading.Thread(target=call)
    caller.start()
    with Client(endpoint) as client:
        wait_until(lambda: client.call("get_status")["workers"][0]["in_flight"], "a running call")
    worker.send(signal.SIGTERM)
    assert worker.wait() == 0
    caller.join(20)
    assert [len(answer) for answer in answers] == [characters]
