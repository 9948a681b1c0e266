"""Fixtures that more than one kind of test shares."""

import contextlib
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from zeropool.shared import native

native.choose()
from harness import Command, Service  # noqa: E402 - it imports what may be compiled

# A shell without job control starts what it puts in the background with INT ignored, and every
# command that a test starts would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure() -> None:
    if os.environ.get(native.PURE):
        return
    if os.environ.get("ZEROPOOL_REQUIRE_COMPILED") and not native.is_used():
        raise pytest.UsageError("nothing is compiled, and ZEROPOOL_REQUIRE_COMPILED is set")
    if files := native.outdated():
        raise pytest.UsageError(
            f"changed since they were compiled: {', '.join(files)}; "
            f"`make install`, or {native.PURE}=1"
        )


def pytest_report_header() -> str:
    return "zeropool: compiled modules" if native.is_used() else "zeropool: Python source"


@pytest.fixture(scope="session")
def iris_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A Zeropool that hosts the iris model on two workers; tests must leave it as it was."""
    service = Service(tmp_path_factory.mktemp("iris"), workers=2)
    try:
        yield service.ready()
    finally:
        service.stop()


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder of mode 0700 for sockets, whose paths pytest's `tmp_path` can make too long."""
    with tempfile.TemporaryDirectory(prefix="zp-") as path:
        yield Path(path)


@pytest.fixture
def stopped_at_the_end() -> Iterator[Callable[[Any], Any]]:
    """Takes processes that a test starts; each is stopped, also when another refuses to."""
    with contextlib.ExitStack() as stack:

        def keep(command: Command) -> Command:
            stack.callback(command.stop)
            return command

        yield keep


@pytest.fixture
def serve(tmp_path: Path, stopped_at_the_end: Callable[[Any], Any]) -> Callable[..., Service]:
    """Starts `zeropool serve` with a configuration: `serve(toml, workers=2, …)`, not yet ready."""

    def start(toml: str = "", **options: Any) -> Service:
        folder = tmp_path / f"service-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        service: Service = stopped_at_the_end(Service(folder, toml, **options))
        return service

    return start
