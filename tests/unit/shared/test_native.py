"""Compiled modules or their source: which is used, and whether they are of the same day."""

import os
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES

import pytest

from zeropool.shared import native

SUFFIX = EXTENSION_SUFFIXES[0]
WHERE = "import zeropool.cli.main, zeropool.shared.polling as p; print(p.__file__)"


@pytest.fixture
def tree(tmp_path):
    """A repository with one module that is compiled and one that is not."""
    (tmp_path / "setup.py").touch()
    gateway = tmp_path / "gateway"
    gateway.mkdir()
    for name in ("core.py", "plain.py", f"core{SUFFIX}", f"native__mypyc{SUFFIX}"):
        (gateway / name).touch()
        os.utime(gateway / name, (1000.0, 1000.0))
    return tmp_path


def changes(file, at=2000.0):
    os.utime(file, (at, at))


def test_nothing_is_outdated_that_is_as_it_was_compiled(tree):
    assert native.outdated(tree) == []


def test_a_source_that_has_changed_since_is_outdated(tree):
    changes(tree / "gateway/core.py")

    assert native.outdated(tree) == ["gateway/core.py"]


def test_a_module_that_is_not_compiled_is_never_outdated(tree):
    changes(tree / "gateway/plain.py")

    assert native.outdated(tree) == []


def test_where_nothing_is_compiled_nothing_is_outdated(tree):
    for library in tree.rglob(f"*{SUFFIX}"):
        library.unlink()
    changes(tree / "gateway/core.py")

    assert native.outdated(tree) == []


def test_installed_files_are_not_looked_at(tree):
    (tree / "setup.py").unlink()
    changes(tree / "gateway/core.py")

    assert native.outdated(tree) == []


def test_the_source_is_run_where_the_environment_says_so():
    environment = os.environ | {native.PURE: "1"}
    found = subprocess.run(
        [sys.executable, "-c", WHERE], env=environment, capture_output=True, text=True, check=True
    )

    assert found.stdout.rstrip().endswith("shared/polling.py")


@pytest.mark.parametrize(("said", "is_refused"), [(None, False), ("", False), ("1", True)])
def test_the_environment_refuses_what_is_compiled(monkeypatch, said, is_refused):
    monkeypatch.delenv(native.PURE, raising=False)
    if said is not None:
        monkeypatch.setenv(native.PURE, said)

    assert native.is_refused() is is_refused
