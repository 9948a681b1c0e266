"""What the figures were measured on, without anything that tells whose machine it is."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

import msgspec
import zmq

PACKAGES = ("zeropool", "iris-model", "zerorpc", "gevent", "pyzmq", "msgpack", "msgspec", "numpy",
            "onnxruntime", "scikit-learn", "schema", "grpcio", "litserve", "fastapi", "uvicorn",
            "mosec")  # fmt: skip


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Hardware and software under a run."""

    cpu: str
    #: Those that this process may use.
    cores: int
    system: str
    python: str
    libzmq: str
    packages: dict[str, str]


def this_machine() -> Machine:
    """Describe the machine that runs this."""
    return Machine(
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)),
        system=f"{platform.system()} {platform.machine()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        libzmq=zmq.zmq_version(),
        packages={name: version for name in PACKAGES if (version := _version(name))},
    )


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return "unknown"


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
