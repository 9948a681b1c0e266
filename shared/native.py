"""Whether the compiled modules are used: those of the packages that `setup.py` could compile.

With ``ZEROPOOL_PURE`` in the environment the same modules run as Python source: for debuggers, and
for tests that replace parts of them.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

#: Set to anything: run the source.
PURE = "ZEROPOOL_PURE"
_SUFFIXES = importlib.machinery.EXTENSION_SUFFIXES
#: `setup.py` gives this name to the library of a package.
_LIBRARY = "native__mypyc"
_ROOT = Path(__file__).resolve().parent.parent
_PACKAGES = ("client", "gateway", "shared", "workers")


class _SourceFinder:
    """Finds the modules of our packages as if nothing had been compiled."""

    @staticmethod
    def find_spec(
        name: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,  # noqa: ARG004 - the protocol of `sys.meta_path`
    ) -> importlib.machinery.ModuleSpec | None:
        """Find one of our modules; packages, and what is not ours, are left to others."""
        if path is None or not name.startswith("zeropool."):
            return None
        last = name.rpartition(".")[2]
        for folder in path:
            source = Path(folder) / f"{last}.py"
            if source.is_file():
                return importlib.util.spec_from_file_location(name, source)
        return None


def is_refused() -> bool:
    """Tell whether the environment says that the source is to run."""
    return bool(os.environ.get(PURE))


def choose() -> None:
    """Do as the environment says; before any of the compiled modules is imported."""
    if is_refused() and _SourceFinder not in sys.meta_path:
        sys.meta_path.insert(0, _SourceFinder)


def is_used() -> bool:
    """Tell whether this process runs compiled modules."""
    from zeropool.shared import polling  # noqa: PLC0415 - `choose` comes first

    return not str(polling.__file__).endswith(".py")


def outdated(root: Path = _ROOT) -> list[str]:
    """Files that have changed since they were compiled; only where the repository is."""
    if not (root / "setup.py").exists():
        # Installed files all have the time of their installation.
        return []
    return [
        str(source.relative_to(root))
        for package in _PACKAGES
        for library in (root / package).glob(f"{_LIBRARY}*")
        for source in sorted((root / package).rglob("*.py"))
        if _is_compiled(source) and source.stat().st_mtime > library.stat().st_mtime
    ]


def _is_compiled(source: Path) -> bool:
    return any(source.with_suffix(suffix).exists() for suffix in _SUFFIXES)
